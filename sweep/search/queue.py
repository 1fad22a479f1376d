"""The trials that a sweep still has to run, in order, given the trials that its study already holds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat

import optuna
from optuna.trial import TrialState

from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.records import INTERRUPTED_REASON, Phase, Setting, TrialRecord, now
from sweep.search.race import count_racers, hold_race, is_counted, list_race_seeds
from sweep.search.samplers import SAMPLERS
from sweep.search.study import SweepStudy, TrialRequest

SEARCH_SEED_OFFSET = 2**21
"""Offset from the sweep's seed to the search's further seeds: above all race and report seeds."""
MAX_SEED = 2**31
"""Seeds of a configuration lie below it, so that a trial can be run again alone."""
MAX_RACE_FAILURES = 2
"""Failures of a race run after which its setting leaves the race."""


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
            f" for objective {config.objective} and {config.data.paper_split or config.data.name}."
        )
    if not is_in_space(config, paper):
        raise ConfigError(f"search.sampler = 'paper': space and fixed do not hold the paper's setting {paper}.")


def pending_trials(config: SweepConfig, paper: Setting | None, ledger: SweepStudy) -> Iterator[TrialRequest | None]:
    """Yield the trials still to be run, in order; None while the next one waits for the result of running ones.

    The search comes first, with the paper's setting as its first trial where the space holds it. The paper's setting on
    the report seeds needs no result of the search, so it runs while the last search trials finish. Then the best
    settings race, and the winner runs on the report seeds.
    """
    yield from _pending_search_trials(config, paper, ledger)
    yield from _pending_reports(config, paper, ledger)
    while ledger.count_running("search"):
        yield None
    yield from _pending_race_runs(config, paper, ledger)
    yield from _pending_reports(config, hold_race(config, paper, ledger.list_records()).winner, ledger)


def select_planned(config: SweepConfig, paper: Setting | None, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Select from the trials of a sweep that is resumed those that are among the planned ones, as far as is known.

    While its search is not over, as in one that goes on with more trials, nobody knows which runs of an earlier race
    and of its winner will count.
    """
    n_over = sum(record.phase == "search" and record.state in ("finished", "pruned") for record in records)
    race = hold_race(config, paper, records) if n_over == count_search_trials(config) else None
    return [record for record in records if is_counted(record, race, paper)]


def count_search_trials(config: SweepConfig) -> int | None:
    """Return the number of search trials (`search.hours` may end it earlier); None where only hours limit it."""
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None:
        return len(list_settings(config))
    return 1 if config.search.sampler == "paper" else config.search.trials


def count_planned_trials(config: SweepConfig, paper: Setting | None) -> int | None:
    """Return the maximal number of trials of a whole sweep; None where only `search.hours` limits the search.

    The race may end early, and its winner may be the paper's setting.
    """
    search = count_search_trials(config)
    return None if search is None else search + count_race_runs(config, paper) + count_report_runs(config, paper)


def count_race_runs(config: SweepConfig, paper: Setting | None) -> int:
    """Return the maximal number of runs of the race; 0 where the search finds at most one setting by itself."""
    n_trials, n_racers = count_search_trials(config), count_racers(config.search.race)
    is_handed = SAMPLERS[config.search.sampler].list_settings is None and is_in_space(config, paper)
    n_racers = n_racers if n_trials is None else min(n_racers, n_trials - is_handed)
    return n_racers * len(list_race_seeds(config)) if n_racers > 1 else 0


def count_report_runs(config: SweepConfig, paper: Setting | None) -> int:
    """Return the maximal number of runs on report seeds, of the winner and of the paper's setting."""
    return config.seeds * ((config.search.sampler != "paper") + (paper is not None))


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


def choose_search_seed(config: SweepConfig, index: int) -> int:
    """Return the seed of search trial `index`: the trials take turns on `search.seeds` seeds, `seed` the first."""
    turn = index % config.search.seeds
    return (config.seed + SEARCH_SEED_OFFSET + turn) % MAX_SEED if turn else config.seed


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
            yield TrialRequest(phase="search", index=index, seed=choose_search_seed(config, index), setting=setting)
        else:
            yield TrialRequest(phase="search", index=index, seed=attempt.seed, setting=attempt.setting)


def _iter_preset_settings(config: SweepConfig, paper: Setting | None) -> Iterable[Setting | None]:
    """Return the settings of the search trials, by index; None where the sampler chooses one."""
    list_settings = SAMPLERS[config.search.sampler].list_settings
    if list_settings is not None:
        return list_settings(config)
    first = paper if is_in_space(config, paper) else None
    return islice(chain([first], repeat(None)), count_search_trials(config))


def _pending_race_runs(config: SweepConfig, paper: Setting | None, study: SweepStudy) -> Iterator[TrialRequest | None]:
    """Yield the race's runs until it is over; None while no run is left to start before others have ended.

    Rounds come in order, so that idle workers run later rounds ahead. A run that failed is repeated once.
    """
    while True:
        attempts = study.list_attempts("race")
        repeated = [one for one in attempts if _count_failures(one, attempts) >= MAX_RACE_FAILURES]
        decided = [r for r in study.list_records() if r.state != "failed" or r in repeated]
        race = hold_race(config, paper, decided)
        if race.is_over:
            return
        runs = [(r.setting, r.seed) for r in decided if r.phase == "race"]
        waiting = next((run for run in race.next_runs() if run not in runs), None)
        n_running = study.count_running("race")
        if waiting is None:
            while study.count_running("race") == n_running:
                yield None
        else:
            yield _request_repeat(study, "race", *waiting)


def _count_failures(run: TrialRecord, attempts: Iterable[TrialRecord]) -> int:
    """Return how often a trial failed by itself."""
    own = [one for one in attempts if one.index == run.index and one.state == "failed"]
    return sum(one.reason != INTERRUPTED_REASON for one in own)


def _pending_reports(config: SweepConfig, setting: Setting | None, study: SweepStudy) -> Iterator[TrialRequest]:
    """Yield the runs of a setting on the report seeds that have not ended; none for None."""
    if setting is None:
        return
    for seed in range(config.seed + 1, config.seed + 1 + config.seeds):
        runs = study.find_last_attempts("finalist").values()
        if not any((one.setting, one.seed) == (setting, seed) and one.state != "failed" for one in runs):
            yield _request_repeat(study, "finalist", setting, seed)


def _request_repeat(study: SweepStudy, phase: Phase, setting: Setting, seed: int) -> TrialRequest:
    """Request a run of a setting on a seed, with the index that it was given before, else with the next one."""
    runs = study.find_last_attempts(phase)
    own = next((index for index, one in runs.items() if (one.setting, one.seed) == (setting, seed)), None)
    return TrialRequest(phase=phase, index=len(runs) if own is None else own, seed=seed, setting=setting)
