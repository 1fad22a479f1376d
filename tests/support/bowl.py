"""A toy search: a worker without model and Ray that scores settings by a quadratic bowl; its study is real SQLite."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from support.toys import config as toy_config
from support.trials import PAPER, sides
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.search.queue import pending_trials
from sweep.search.study import SweepStudy

NAME = "toy"


def score(setting: Setting) -> float:
    """A bowl with its lowest point, 0, at alpha 2, beta 3; other hyper-parameters do not matter."""
    alpha, beta = (float(setting.get(name, 0.0)) for name in ("alpha", "beta"))
    return (alpha - 2) ** 2 / 25 + (beta - 3) ** 2 / 100


def finished(record: TrialRecord) -> TrialRecord:
    """The record as a worker would report it at the end; a smaller alpha forgets more and retains less."""
    forget = float(record.setting.get("alpha", 0.0)) / 5
    metrics = sides(forget, (1 + forget) / 2) | {"score": score(record.setting)}
    return replace(record, state="finished", metrics=metrics, curve=[{"epoch": 1}])


def sweep(storage: Path, name: str = NAME, **blocks: object) -> SweepConfig:
    """Make a toy sweep, and the folder of its study."""
    (storage / name).mkdir(parents=True, exist_ok=True)
    return toy_config(storage, **blocks)


def grown(record: TrialRecord, epoch: int) -> TrialRecord:
    """The record after one more epoch."""
    forget = score(record.setting) + 1 / epoch
    return replace(record, curve=[*record.curve, {"epoch": float(epoch), **sides(forget, 1.0)}])


def run(study: SweepStudy, record: TrialRecord) -> None:
    """Run the trial for 4 epochs, unless ASHA prunes it earlier."""
    for epoch in range(1, 5):
        record = grown(record, epoch)
        if study.should_prune(record):
            study.close_attempt(replace(record, state="pruned", reason="it lags"))
            return
    study.close_attempt(finished(record))


def work(config: SweepConfig, paper: Setting | None = PAPER, trials: int = 1000, name: str = NAME) -> list[TrialRecord]:
    """Run up to `trials` pending trials as a single worker, and return the records, as if the process then ended."""
    study = SweepStudy(config, name)
    for task in islice(pending_trials(config, paper, study), trials):
        assert task is not None, "one worker never waits"
        run(study, study.open_attempt(task))
    return study.list_records()


def settings(records: list[TrialRecord]) -> list[tuple[str, int, int, Setting]]:
    """Phase, index, seed and setting of each record."""
    return [(record.phase, record.index, record.seed, record.setting) for record in records]


def parts(tmp_path: Path) -> Iterator[Path]:
    """Two storages."""
    yield from (tmp_path / part for part in ("first", "second"))
