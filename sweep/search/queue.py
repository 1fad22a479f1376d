"""The trials that a sweep still has to run, in order, given the trials that its study already holds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, product, repeat

import optuna
from optuna.trial import TrialState

from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.records import Setting, TrialRecord, now
from sweep.search.samplers import SAMPLERS
from sweep.search.study import SweepStudy, TrialRequest

N_FINALISTS = 2
"""Number of best settings that are repeated on fresh seeds, besides the paper's."""


def validate_search(config: SweepConfig, paper: Setting | None) -> None:
    """Check that the search can be run as configured.

    Raises:
        ConfigError: `search.sampler` is paper but the paper has no setting or the space does not hold it, the
            sampler's list of settings cannot be built, or `search.stop` is asha but not every epoch is evaluated.
    """
    if config.search.stop == "asha" and config.eval.every != 1:
        raise ConfigError(f"eval.every = {config.eval.every} must be 1 where search.stop = 'asha'.")
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None:
        list_settings(config)
    if config.search.sampler != "paper":
        return
    if paper is None:
        raise ConfigError(
            f"search.sampler = 'paper': the paper has no setting of {', '.join([*config.space, *config.fixed])}"
            f" for objective {config.objective} and {config.data.paper_split}."
        )
    if not is_in_space(config, paper):
        raise ConfigError(f"search.sampler = 'paper': space and fixed do not hold the paper's setting {paper}.")


def pending_trials(config: SweepConfig, paper: Setting | None, ledger: SweepStudy) -> Iterator[TrialRequest | None]:
    """Yield the trials still to be run, in order; None while the finalists wait for the last search trials.

    The paper's setting comes first where the space holds it. Its repeats need no result of the search, so they run
    while the last search trials finish; the repeats of the best settings follow, all on the same fresh seeds.
    """
    yield from _pending_search_trials(config, paper, ledger)
    papers = [] if paper is None else [paper]
    yield from _pending_repeats(config, papers, 0, ledger)
    while ledger.has_running_trials("search"):
        yield None
    yield from _pending_repeats(config, select_finalists(ledger.list_records(), paper), len(papers), ledger)


def select_finalists(records: Sequence[TrialRecord], paper: Setting | None) -> list[Setting]:
    """Return the best distinct settings of the search, best first; the paper's and diverged ones are left out."""
    scored = [r for r in records if r.phase == "search" and r.state == "finished" and not r.reason]
    settings: list[Setting] = []
    for record in sorted(scored, key=lambda r: (r.score, r.index)):
        if record.setting != paper and record.setting not in settings:
            settings.append(record.setting)
    return settings[:N_FINALISTS]


def count_search_trials(config: SweepConfig) -> int | None:
    """Return the number of search trials (`search.hours` may end it earlier); None where only hours limit it."""
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None:
        return len(list_settings(config))
    return 1 if config.search.sampler == "paper" else config.search.trials


def count_planned_trials(config: SweepConfig, paper: Setting | None) -> int | None:
    """Return the maximal number of trials of a whole sweep; None where only `search.hours` limits the search.

    The search may find fewer distinct settings than there are finalists.
    """
    search = count_search_trials(config)
    if search is None:
        return None
    others = min(N_FINALISTS, search - (config.search.sampler == "paper"))
    return search + config.seeds * (others + (paper is not None))


def is_in_space(config: SweepConfig, paper: Setting | None) -> bool:
    """Return True if `space` and `fixed` together hold the paper's setting."""
    if paper is None or any(paper.get(key) != value for key, value in config.fixed.items()):
        return False
    if paper.keys() != config.fixed.keys() | config.space.keys():
        return False
    params = {key: paper[key] for key in config.space}
    try:
        optuna.trial.create_trial(
            state=TrialState.WAITING, params=params, distributions=space.build_distributions(config)
        )
    except ValueError:
        return False
    return True


def compute_busy_hours(attempts: Iterable[TrialRecord], at: float) -> float:
    """Return the hours in which at least one trial ran; the time between two runs of a sweep does not count.

    Args:
        attempts: attempts in the order in which they began, each with its start and, once it has ended, its end.
        at: the current time, in Unix seconds.
    """
    seconds = until = before = 0.0
    for attempt in attempts:
        if attempt.started < before:  # the machine's clock was set back between two runs of the sweep
            until = 0.0
        before, ended = attempt.started, attempt.ended or at
        seconds += max(0.0, ended - max(before, until))
        until = max(until, ended)
    return seconds / 3600


def _pending_search_trials(config: SweepConfig, paper: Setting | None, ledger: SweepStudy) -> Iterator[TrialRequest]:
    """Yield the search trials that have not ended; failed ones repeat their setting, pruned ones count as ended."""
    last = ledger.find_last_attempts("search")
    for index, setting in enumerate(_iter_preset_settings(config, paper)):
        attempt = last.get(index)
        if attempt is not None and attempt.state != "failed":
            continue
        if (
            config.search.hours is not None
            and compute_busy_hours(ledger.list_attempts("search"), now()) >= config.search.hours
        ):
            return
        if attempt is None:
            yield TrialRequest(phase="search", index=index, seed=config.seed, setting=setting)
        else:
            yield TrialRequest(phase="search", index=index, seed=attempt.seed, setting=attempt.setting)


def _iter_preset_settings(config: SweepConfig, paper: Setting | None) -> Iterable[Setting | None]:
    """Return the settings of the search trials, by index; None where the sampler chooses one."""
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None:
        return list_settings(config)
    first = paper if is_in_space(config, paper) else None
    return islice(chain([first], repeat(None)), count_search_trials(config))


def _pending_repeats(
    config: SweepConfig, settings: Sequence[Setting], before: int, ledger: SweepStudy
) -> Iterator[TrialRequest]:
    """Yield the repeats of each setting on the same fresh seeds that have not ended; `before` settings come first."""
    last = ledger.find_last_attempts("finalist")
    seeds = range(config.seed + 1, config.seed + 1 + config.seeds)
    for index, (setting, seed) in enumerate(product(settings, seeds), start=before * config.seeds):
        attempt = last.get(index)
        if attempt is None or attempt.state == "failed" or (attempt.setting, attempt.seed) != (setting, seed):
            yield TrialRequest(phase="finalist", index=index, seed=seed, setting=setting)
