"""The agenda of a sweep: which trials it still has to run, in order, given what its ledger holds."""

from collections.abc import Iterator, Sequence
from itertools import product

import optuna
from optuna.trial import TrialState

from sweep import space
from sweep.config import SweepConfig
from sweep.ledger import Ledger, Task
from sweep.record import Record, Setting

FINALISTS = 2
"""How many of the best settings are repeated on fresh seeds, beside the paper's."""


def agenda(config: SweepConfig, paper: Setting | None, ledger: Ledger) -> Iterator[Task | None]:
    """What is still to be run, in order; None while the finalists wait for the search's last trials.

    The paper's setting comes first where the space holds it. Its repeats need no result of the search, so they fill the
    time in which the last search trials run; then follow the best settings, all on the same fresh seeds.
    """
    yield from _searches(config, paper, ledger)
    papers = [] if paper is None else [paper]
    yield from _repeats(config, papers, 0, ledger)
    while ledger.running("search"):
        yield None
    yield from _repeats(config, best(ledger.records(), paper), len(papers), ledger)


def best(records: Sequence[Record], paper: Setting | None) -> list[Setting]:
    """The best distinct settings of the search, best first, without the paper's and without the diverged."""
    scored = [r for r in records if r.phase == "search" and r.state == "finished" and not r.reason]
    settings: list[Setting] = []
    for record in sorted(scored, key=lambda r: (r.score, r.index)):
        if record.setting != paper and record.setting not in settings:
            settings.append(record.setting)
    return settings[:FINALISTS]


def planned(config: SweepConfig, paper: Setting | None) -> int:
    """The number of trials of a whole sweep (fewer where the search has fewer distinct settings than finalists)."""
    others = min(FINALISTS, config.search.trials)
    return config.search.trials + config.seeds * (others + (paper is not None))


def reachable(config: SweepConfig, paper: Setting | None) -> bool:
    """Whether the space, with what is fixed, holds the paper's setting."""
    if paper is None or any(paper.get(key) != value for key, value in config.fixed.items()):
        return False
    if paper.keys() != config.fixed.keys() | config.space.keys():
        return False
    params = {key: paper[key] for key in config.space}
    try:
        optuna.trial.create_trial(state=TrialState.WAITING, params=params, distributions=space.distributions(config))
    except ValueError:
        return False
    return True


def _searches(config: SweepConfig, paper: Setting | None, ledger: Ledger) -> Iterator[Task]:
    """The search's trials that are not over; a failed one runs its setting again."""
    last = ledger.last("search")
    for index in range(config.search.trials):
        attempt = last.get(index)
        if attempt is None:
            setting = paper if index == 0 and reachable(config, paper) else None
            yield Task(phase="search", index=index, seed=config.seed, setting=setting)
        elif attempt.state == "failed":
            yield Task(phase="search", index=index, seed=attempt.seed, setting=attempt.setting)


def _repeats(config: SweepConfig, settings: Sequence[Setting], before: int, ledger: Ledger) -> Iterator[Task]:
    """Each setting on the same fresh seeds, less what is over; `before` settings have the numbers before these."""
    last = ledger.last("finalist")
    seeds = range(config.seed + 1, config.seed + 1 + config.seeds)
    for index, (setting, seed) in enumerate(product(settings, seeds), start=before * config.seeds):
        attempt = last.get(index)
        if attempt is None or attempt.state == "failed" or (attempt.setting, attempt.seed) != (setting, seed):
            yield Task(phase="finalist", index=index, seed=seed, setting=setting)
