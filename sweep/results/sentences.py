"""Say in sentences what a sweep found, how its race went, and what its best setting hints at."""

from collections.abc import Iterator, Mapping, Sequence

from eval.metrics.calibrated_score import extraction_strengths
from sweep.config.search_schema import Range
from sweep.config.space import measure_share, validate_space
from sweep.errors import ConfigError
from sweep.records import TrialRecord, Value, format_setting, format_value
from sweep.results.notes import list_notes
from sweep.results.recovery import judge_recovery
from sweep.results.statistics import Finalist, collect_repeat_values, mean, std, summarize_race
from sweep.results.sweep_records import SweepRecords
from sweep.results.target_check import warn_of_weak_target

EDGE_SHARE = 0.02
"""Distance from an end of the searched range, as a share of it, up to which a value lies at that end."""
LOW_MIX = 0.125
"""Mix below which the unlearned weights count as hardly usable."""
LITTLE_FORGOTTEN = 0.9
"""Share of the target's forget ES above which a training counts as having changed little."""
MAX_NAMED_TIES = 3
"""Number of settings tied with the best that the race's sentence names."""


def describe_result(sweep: SweepRecords) -> str:
    """Describe what the sweep found: the verdict on the paper's setting, or the best where the paper has none."""
    if sweep.best is None:
        return "No trial finished."
    if sweep.best.reason:
        return f"Nothing was found: even the best trial has the worst score ({sweep.best.reason})."
    known = judge_recovery(sweep)
    if known is not None and known.verdict != "undecided":
        return known.sentence
    return " ".join([_describe_best(sweep, sweep.best), *([] if known is None else [known.sentence])])


def _describe_best(sweep: SweepRecords, best: TrialRecord) -> str:
    """Describe the best setting by its mean score on report seeds, before these have run by its search trial's."""
    config, scores = sweep.config, collect_repeat_values(sweep.records, best.setting)
    n_seeds = f"{len(scores)} report seed{'s' if len(scores) > 1 else ''}"
    spread = f" ± {std(scores):.3f}" if len(scores) > 1 else ""
    return (
        f"Best setting ({config.objective} on {config.model.name}, {config.data.name}): {format_setting(best.setting)}"
        f" leaves {mean(scores) if scores else best.score:.3f}{spread} of the forget rows extractable at"
        f" {100 * config.score.tau:g} % of retention ({n_seeds if scores else f'search trial {best.index} alone'})."
    )


def describe_race(sweep: SweepRecords) -> str:
    """Describe the race: how many settings were in it, and which are tied with the best; empty without a round."""
    if not sweep.race.n_rounds:
        return ""
    racers = summarize_race(sweep)
    front = f"{len(racers)} settings raced over {sweep.race.n_rounds} seeds"
    ties = racers[1 : len(sweep.race.remaining)]
    if not ties:
        return f"{front}: the best is ahead of all others."
    return f"{front}: {len(ties)} {'is' if len(ties) == 1 else 'are'} tied with the best: {_name_ties(ties)}."


def _name_ties(ties: Sequence[Finalist]) -> str:
    """Name the first settings, each with its mean score in the race."""
    named = [f"{format_setting(one.setting)} ({one.mean:.3f})" for one in ties[:MAX_NAMED_TIES]]
    return ", ".join(named) + (f" and {len(ties) - MAX_NAMED_TIES} more" if len(ties) > MAX_NAMED_TIES else "")


def list_warnings(sweep: SweepRecords, target: Mapping[str, float], n_holdout: int | None) -> list[str]:
    """List what a reader of the result has to know, a sentence each.

    Args:
        sweep: the sweep with its trials.
        target: the metrics of its target; empty if they are not known.
        n_holdout: number of its holdout rows; None if they cannot be loaded.
    """
    weak = warn_of_weak_target(target)
    return [*list_notes(sweep.config, n_holdout), *([weak] if weak else []), *_list_hints(sweep, target)]


def _list_hints(sweep: SweepRecords, target: Mapping[str, float]) -> Iterator[str]:
    """Yield what the best setting hints at: ends of ranges, and training that changes too much or too little."""
    if sweep.best is None or sweep.best.reason:
        return
    yield from _hint_at_ranges(sweep, sweep.best)
    yield from _hint_at_training(sweep, sweep.best, target)


def _hint_at_ranges(sweep: SweepRecords, best: TrialRecord) -> Iterator[str]:
    """Yield a sentence for each value of the best setting that lies at an end of its range."""
    for name, entry in sweep.config.space.items():
        if isinstance(entry, Range) and (end := _find_end(sweep, name, entry, best.setting[name])):
            yield (
                f"the best {name} = {format_value(best.setting[name])} of {sweep.config.objective} lies at the"
                f" {end} end of its range ({entry.low:g} to {entry.high:g}): a {end}er space.{name}.{end} may find a"
                " better setting"
            )


def _hint_at_training(sweep: SweepRecords, best: TrialRecord, target: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence if the best setting on fresh seeds had to be mixed back a lot, or hardly moved the weights."""
    mixes = collect_repeat_values(sweep.records, best.setting, "mix")
    if mixes and mean(mixes) < LOW_MIX:
        yield (
            f"only a mix of {mean(mixes):.3f} of the weights that {sweep.config.objective} unlearned keeps"
            f" {100 * sweep.config.score.tau:g} % of retention: fewer train.epochs, a lower train.lr or a higher"
            " retain.weight may keep more"
        )
    if not (mixes and target):
        return
    score, known = mean(collect_repeat_values(sweep.records, best.setting)), extraction_strengths(target).forget
    if mean(mixes) == 1 and score > LITTLE_FORGOTTEN * known:
        yield (
            f"the best setting of {sweep.config.objective} leaves forget ES at {score:.3f} of the target's {known:.3f},"
            " though nothing was mixed back: a higher train.lr (search.also=[train.lr]) or more train.epochs may forget"
            " more"
        )


def _find_end(sweep: SweepRecords, name: str, entry: Range, value: Value) -> str:
    """Return the end at which a value lies, `low` or `high`; empty inside, and where no value beyond is allowed."""
    if entry.low == entry.high:
        return ""
    step = entry.step or (1 if isinstance(value, int) else EDGE_SHARE * (entry.high - entry.low))
    beyond = {"low": entry.low / 2 if entry.log else entry.low - step, "high": entry.high + step}
    for end, further in beyond.items():
        if measure_share(entry, value, getattr(entry, end)) <= EDGE_SHARE and _is_allowed(sweep, name, {end: further}):
            return end
    return ""


def _is_allowed(sweep: SweepRecords, name: str, end: Mapping[str, float]) -> bool:
    """Return True if the sweep may search a hyper-parameter with this other end of its range."""
    space = {**sweep.config.space, name: sweep.config.space[name].model_copy(update=end)}
    try:
        validate_space(sweep.config.model_copy(update={"space": space}))
    except ConfigError:
        return False
    return True
