"""Run a sweep from Python, in a script or a notebook.

from sweep import run_sweep
ran = run_sweep("wtnpo", {"search.trials": 8}, name="first")
ran.best, ran.verdict, ran.trials
"""

import html
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from sweep.errors import BrokenOffError, ConfigError, SweepFailedError
from sweep.records import Setting, TrackingRun, TrialRecord
from sweep.signals import CallerSignals

if TYPE_CHECKING:
    from pandas import DataFrame

    from sweep.plan.launch_plan import LaunchPlan
    from sweep.plan.sweep_plan import SweepPlan
    from sweep.run import SweepResult


@dataclass(frozen=True, kw_only=True)
class FinishedSweep:
    """A sweep that has ended.

    Attributes:
        name: its name.
        folder: the folder of its files.
        best: the best setting; None where no trial finished.
        verdict: sentence on the best setting beside the paper's; empty where there is no paper's setting.
        text: the result in words and its table, as the sweep printed them.
        records: the last attempt of every trial: search, race and report.
        tracking_run: the place of its MLflow runs.
    """

    name: str
    folder: Path
    best: Setting | None
    verdict: str
    text: str
    records: Sequence[TrialRecord]
    tracking_run: TrackingRun

    @cached_property
    def trials(self) -> "DataFrame":
        """All trials, a row each: phase, index, seed, state and seconds, then setting, metrics and reason."""
        from pandas import DataFrame

        return DataFrame([_build_row(record) for record in self.records])

    @cached_property
    def curves(self) -> "DataFrame":
        """The metrics of every trial after each of its epochs: phase, index and epoch, then the metrics."""
        from pandas import DataFrame

        points = [{"phase": one.phase, "index": one.index, **point} for one in self.records for point in one.curve]
        return DataFrame(points)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        read: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return read

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder / "report.html"

    def __str__(self) -> str:
        """Return the result in words, its table, and the place of the report."""
        return f"{self.text}\nreport: {self.report}"

    def _repr_html_(self) -> str:
        """Return the result for a notebook, with a link to the report."""
        link = f'<a href="{html.escape(self.report.as_uri())}" target="_blank">report</a>'
        return f"<pre>{html.escape(self.text)}</pre>{link}"


def run_sweep(
    config: str | Path | Mapping[str, Any],
    overrides: Mapping[str, object] | Sequence[str] = (),
    *,
    name: str | None = None,
    resume: bool = False,
) -> FinishedSweep:
    """Run a sweep and return its result; files, MLflow runs and printed lines are those of `python -m sweep.launch`.

    It may be called in any thread, and installs no signal handler: Ctrl-C is the caller's, and ends the sweep as it
    ends other code. Whatever ended it, the same call with `resume=True` continues.

    Args:
        config: a config file, the name of a shipped one (`wtnpo`), or what such a file holds.
        overrides: values by key, as `{"search.trials": 8, "model": "tiny"}`, or texts as on the command line.
        name: the sweep's name; None makes one of the config's name and the time.
        resume: continue the sweep of this name if there is one.

    Raises:
        ConfigError: the configuration is wrong; the message is one sentence.
        DataError: the rows are wrong.
        SweepFailedError: something that the sweep needs failed; the finished trials are kept.
    """
    began = time.monotonic()
    with _locate_config(config) as file:
        words = [str(file), *_format_overrides(overrides)]
        plan = _plan_sweep(words, name, resume)
    signals = CallerSignals()
    try:
        (ran,) = _run_plan(plan, signals, began)
    except BrokenOffError as error:
        raise SweepFailedError(f"{error}; call run_sweep again with name={plan.name!r} and resume=True") from error
    return _describe_result(ran, plan.plans[0])


@contextmanager
def _locate_config(config: str | Path | Mapping[str, Any]) -> Iterator[str | Path]:
    """Yield the config's file or name; a mapping is written to a file for the time of the block."""
    if not isinstance(config, Mapping):
        yield config
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(yaml.safe_dump({**config}, sort_keys=False), encoding="utf-8")
        yield file


def _format_overrides(overrides: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Format values by key as the overrides of a command line; texts are taken as they are."""
    if isinstance(overrides, str):
        raise ConfigError(f"overrides = {overrides!r} must be a dictionary, or a list of texts such as ['seed=1'].")
    if isinstance(overrides, Mapping):
        return [f"{key}={_format_value(value)}" for key, value in overrides.items()]
    return [*overrides]


def _format_value(value: object) -> str:
    """Format a value in the grammar of Hydra's overrides."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_format_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_format_value, value)) + "]"
    if isinstance(value, Path):
        return _format_value(str(value))
    return json.dumps(value, ensure_ascii=False)


def _plan_sweep(words: Sequence[str], name: str | None, resume: bool) -> "LaunchPlan":
    """Plan a new sweep, or the rest of the one with this name if it shall be resumed and is there."""
    from sweep.config.compose import load
    from sweep.config.request import find_config
    from sweep.plan import hub_commits, launch_plan

    if resume and name is None:
        raise ConfigError("resume = True needs the name of a sweep: name='...'.")
    is_there = name is not None and resume and (load(find_config(words[0]), words[1:]).storage / name).is_dir()
    plan = launch_plan.plan_resume(words, name) if is_there and name else launch_plan.plan_new(words, name)
    if plan.is_comparison:
        raise ConfigError(f"{words[0]} holds several sweeps: call run_sweep for each, or use python -m sweep.launch.")
    hub_commits.check_commits(plan.plans[0].config)
    return plan


def _run_plan(plan: "LaunchPlan", signals: CallerSignals, began: float) -> "list[SweepResult]":
    """Run the sweep, write its files and print its results."""
    from sweep import outputs, run
    from sweep.atomic_io import translate_disk_full

    with translate_disk_full(plan.folder.parent):
        ran = run.run_sweeps(plan.plans, plan.preparers, signals)
        outputs.write_outputs(plan, ran, time.monotonic() - began)
    return ran


def _describe_result(ran: "SweepResult", plan: "SweepPlan") -> FinishedSweep:
    from sweep import outputs
    from sweep.results.recovery import judge_recovery

    found = judge_recovery(ran)
    return FinishedSweep(
        name=ran.name,
        folder=plan.folder,
        best=None if ran.best is None else ran.best.setting,
        verdict="" if found is None else found.sentence,
        text=outputs.format_result(outputs.render_result(plan, ran)),
        records=ran.records,
        tracking_run=ran.tracking_run,
    )


def _build_row(record: TrialRecord) -> dict[str, object]:
    seconds = record.ended - record.started if record.ended else None
    front = {key: getattr(record, key) for key in ("phase", "index", "seed", "state")}
    return {**front, "seconds": seconds, **record.setting, **record.metrics, "reason": record.reason}
