"""Choose the trials whose models a sweep keeps."""

from collections.abc import Sequence

from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.results.saved_models import EarlySaves, expand_kinds
from sweep.results.statistics import find_pareto_front, has_both_es
from sweep.results.sweep_records import SweepRecords
from sweep.search.queue import count_planned_trials


def choose_early_saves(config: SweepConfig, name: str, paper: Setting | None) -> EarlySaves | None:
    """Choose the trials whose models a worker saves as they end; None where none is known before the sweep's end.

    They are the first report trials, or the only trial of a sweep. The paper's setting may turn out to be the best only
    when its first report trial is over: then that trial is run again at the end.
    """
    is_alone = count_planned_trials(config, paper) == 1
    if config.save == "none" or not (config.seeds or is_alone):
        return None
    is_best = is_alone or config.search.sampler == "paper"
    return EarlySaves(
        sweep=name,
        folder=config.storage / name,
        kinds=expand_kinds(config.save_as),
        phase="search" if is_alone else "finalist",
        seed=config.seed if is_alone else config.seed + 1,
        paper=paper,
        paper_label="best" if is_best else "paper" if config.save == "finalists" else "",
    )


def choose_trials(sweep: SweepRecords) -> dict[str, TrialRecord]:
    """Choose the trials whose models the sweep keeps, by label; none before a trial has finished."""
    save = sweep.config.save
    if save == "none" or sweep.best is None:
        return {}
    chosen: dict[str, TrialRecord | None] = {"best": find_delivered(sweep, sweep.best.setting)}
    if save == "finalists" and sweep.paper is not None and sweep.paper != sweep.best.setting:
        chosen["paper"] = find_delivered(sweep, sweep.paper)
    if save == "pareto":
        front = find_pareto_front(list_finished_search(sweep))
        chosen |= {label_trial(record): record for record in front if record is not chosen["best"]}
    return {label: record for label, record in chosen.items() if record is not None}


def find_delivered(sweep: SweepRecords, setting: Setting) -> TrialRecord | None:
    """Return the trial whose model stands for a setting: on the first report seed, else its best in the search."""
    reports = [r for r in sweep.records if r.phase == "finalist" and r.state == "finished" and r.setting == setting]
    first = [record for record in reports if record.seed == sweep.config.seed + 1]
    return next(iter(first), None) or sweep.find_search_trial(setting)


def list_finished_search(sweep: SweepRecords) -> Sequence[TrialRecord]:
    """Return the finished search trials with a forget and a retain ES."""
    return [r for r in sweep.records if r.phase == "search" and r.state == "finished" and has_both_es(r.metrics)]


def label_trial(record: TrialRecord) -> str:
    """Return phase and index of a trial: `search-3`."""
    return f"{record.phase}-{record.index}"
