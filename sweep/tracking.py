"""MLflow, from the driver alone: one parent run for a sweep, one nested run for every attempt at a trial.

All of it happens in one background thread, so that a store that is slow or dead neither delays nor fails a sweep; what
it did not take while the sweep ran is filled in from the records at the end.
"""

import hashlib
import json
import math
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

# MLflow reads the first two while it is imported. By its own defaults a call to a server that is gone takes 4 minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from eval.definitions import DEFINITIONS
from eval.provenance import revision, versions
from sweep.compose import dump
from sweep.config import SweepConfig
from sweep.ledger import INTERRUPTED
from sweep.record import Logged, Record, Setting
from sweep.redaction import redact

Status: TypeAlias = Literal["FINISHED", "FAILED", "KILLED"]
STATUS: Mapping[str, Status] = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow's word for each state in which a trial is over."""
PARAMS = ("objective", "space", "fixed", "retain", "search", "score", "seed", "seeds", "train", "target", "recipe")
"""The blocks of the configuration that become the parent's params; all of it is in its artifact config.yaml."""
LONGEST = 5000
"""Characters of a param or a tag; MLflow takes 6000 and 8000."""
BATCH = 900
"""Metrics in one request; MLflow takes 1000 metrics, params and tags together."""
PAUSE = 30.0
"""Seconds without a request after one that failed."""
PATIENCE = 120.0
"""Seconds that the end of a sweep waits for what is still to be logged."""
LIBRARIES = ("torch", "transformers", "ray", "optuna")
"""What may move a sweep's numbers."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Stores that `mlflow ui` opens itself; others are servers."""


class TrackingError(RuntimeError):
    """MLflow refused, or could not be reached; the message is one sentence without a password."""


class Tracker:
    """What the driver holds of MLflow: calls that return at once and never raise."""

    def __init__(self, runs: "Runs") -> None:
        """Start the thread that does the work."""
        self._runs = runs
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._last: Callable[[], object] = runs.open
        self._error = ""
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, config: SweepConfig, name: str, run_id: str | None = None) -> "Tracker":
        """Open the sweep's parent run.

        Args:
            config: the sweep.
            name: its name.
            run_id: None for a new sweep; for a resumed one the parent that the ledger knows, or empty: the parent is
                then found by the sweep's folder, or made.
        """
        tracker = cls(Runs(config, name, run_id))
        tracker._jobs.put(tracker._runs.describe)
        return tracker

    def trial_started(self, record: Record) -> None:
        """Open the trial's run."""
        self._jobs.put(partial(self._runs.begin, record))

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """Log a point of the trial's curve; its `epoch` is the step."""
        self._jobs.put(partial(self._runs.point, record, dict(point)))

    def trial_ended(self, record: Record) -> None:
        """Log the final metrics and end the trial's run."""
        self._jobs.put(partial(self._runs.end, record))

    def finish(self, status: Status, records: Sequence[Record]) -> str:
        """Fill in the records that have no run yet, end the parent, and wait for it, no longer than `PATIENCE`.

        Returns:
            Empty where MLflow holds everything, else one line that says what it lacks and why.
        """
        self._last = partial(self._runs.finish, status, tuple(records))
        self._jobs.put(None)
        self._thread.join(PATIENCE)
        error = f"no answer within {PATIENCE:.0f} s" if self._thread.is_alive() else self._error
        over, missing = sum(r.state != "running" for r in records), len(self._runs.missing(records))
        return f"MLflow at {self.tracking_uri} lacks {missing} of {over} trials: {error}" if error else ""

    def run_id_of(self, record: Record) -> str:
        """The trial's MLflow run, empty while there is none."""
        return self._runs.attempts.get(_attempt(record), "")

    @property
    def run_id(self) -> str:
        """The parent's MLflow run, empty while there is none."""
        return self._runs.run_id

    @property
    def experiment(self) -> str:
        """The experiment: MLFLOW_EXPERIMENT_NAME, else `<model>-<data>`."""
        return self._runs.experiment

    @property
    def tracking_uri(self) -> str:
        """The store: MLFLOW_TRACKING_URI, else mlflow.db in the working directory; without a password."""
        return redact(self._runs.uri)

    @property
    def ui_command(self) -> str:
        """The command that shows the runs; for a server its address."""
        uri = self._runs.uri
        if urlsplit(uri).scheme.partition("+")[0] not in DATABASES:
            return self.tracking_uri
        shown = shlex.quote(uri) if uri == self.tracking_uri else '"$MLFLOW_TRACKING_URI"'
        return f"{_program()} ui --backend-store-uri {shown}"

    def _work(self) -> None:
        """Do the jobs in order; after a failure none for a while, because the last one fills them in."""
        for job in iter(self._jobs.get, None):
            if time.monotonic() >= self._paused_until:
                self._try(job)
        self._try(self._last)

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
            self._error = ""
        except Exception as error:
            self._error = _sentence(error)
            self._paused_until = time.monotonic() + PAUSE


class Runs:
    """The MLflow runs of one sweep. Each method works at once and may raise; called again, it doubles nothing."""

    def __init__(self, config: SweepConfig, name: str, run_id: str | None = None) -> None:
        """Name the store and the experiment; nothing is opened yet. `run_id` as in `Tracker.start`."""
        self.uri = _store()
        self.experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or f"{config.model.name}-{config.data.name}"
        self.run_id = ""
        self.attempts: dict[str, str] = {}
        self._config = config
        self._name = name
        self._resumed = run_id
        self._tags = _shared_tags(config)
        self._ended: set[str] = set()
        self._described = False

    def open(self) -> None:
        """Find or make the experiment and the parent; close what a driver that died left running."""
        if self.run_id:
            return
        self._client = MlflowClient(tracking_uri=self.uri)
        found = self._client.get_experiment_by_name(self.experiment)
        self._experiment_id = found.experiment_id if found else self._client.create_experiment(self.experiment)
        parent = self._parent()
        self._adopt(parent)
        self._client.update_run(parent, status="RUNNING")
        self.run_id = parent

    def describe(self) -> None:
        """Log the parent's params and the resolved configuration."""
        self.open()
        blocks = self._config.model_dump(mode="json", include=set(PARAMS))
        there = self._client.get_run(self.run_id).data.params  # MLflow refuses to change one
        self._send(self.run_id, params={key: value for key, value in _flat(blocks) if key not in there})
        self._client.log_text(self.run_id, redact(dump(self._config)), "config.yaml")
        self._described = True

    def begin(self, record: Record) -> str:
        """The run of this attempt, made if there is none."""
        self.open()
        attempt = _attempt(record)
        if attempt not in self.attempts:
            tags = _cut(self._tags | _trial_tags(record) | {"mlflow.parentRunId": self.run_id})
            name = _title(self._config.objective, record)
            run = self._client.create_run(self._experiment_id, _ms(record.started), tags, name)
            self.attempts[attempt] = run.info.run_id
            self._send(run.info.run_id, params=_params(record.setting))
        return self.attempts[attempt]

    def point(self, record: Record, point: Mapping[str, float]) -> None:
        """Log one point of the curve."""
        self._send(self.begin(record), _point_metrics(record, point))

    def end(self, record: Record) -> None:
        """Log all that the record holds, and end its run."""
        run_id = self.begin(record)
        last = int(record.setting.get("train.epochs", self._config.train.epochs))
        curve = [metric for point in record.curve for metric in _point_metrics(record, point)]
        final = _metrics(record.metrics, step=last, timestamp=_ms(record.ended))
        self._send(run_id, curve + final, _params(record.setting), _trial_tags(record))
        status = "KILLED" if record.reason == INTERRUPTED else STATUS[record.state]
        self._client.set_terminated(run_id, status, _ms(record.ended))
        self._ended.add(_attempt(record))

    def missing(self, records: Sequence[Record]) -> list[Record]:
        """The trials that are over and whose run does not say so."""
        return [r for r in records if r.state != "running" and _attempt(r) not in self._ended]

    def finish(self, status: Status, records: Sequence[Record]) -> None:
        """Fill in what is missing, then end the parent; trials that were interrupted end as KILLED."""
        self.open()
        self._adopt(self.run_id)
        for record in self.missing(records):
            self.end(record)
        if not self._described:
            self.describe()
        self._terminate(self.run_id, status, status.lower())

    def _parent(self) -> str:
        """The sweep's parent run, found or made."""
        run = None if self._resumed is None else self._found(self._resumed)
        if run is None:
            self._resumed = ""  # should the answer be lost, the next try finds the run by its folder
            tags = _cut(self._tags | _sweep_tags(self._config, self._name))
            run = self._client.create_run(self._experiment_id, run_name=self._name, tags=tags)
        return str(run.info.run_id)

    def _found(self, run_id: str) -> Run | None:
        """The parent with this id, or the newest of the same folder."""
        folder = str(self._config.storage / self._name)
        runs = self._search(f"tags.sweep = '{self._name}'")
        return next((run for run in runs if run.info.run_id == run_id or run.data.tags.get("folder") == folder), None)

    def _adopt(self, parent: str) -> None:
        """Know the nested runs that are there; those that are running have nobody who would end them."""
        for run in self._search(f"tags.`mlflow.parentRunId` = '{parent}'"):
            attempt = run.data.tags.get("attempt", "")
            self.attempts[attempt] = run.info.run_id
            if run.data.tags.get("status") in STATUS:
                self._ended.add(attempt)
            if run.info.status == "RUNNING":
                self._terminate(run.info.run_id, "KILLED", "interrupted")

    def _search(self, condition: str) -> Iterator[Run]:
        token: str | None = None
        while token != "":
            page = self._client.search_runs([self._experiment_id], condition, page_token=token)
            yield from page
            token = page.token or ""

    def _terminate(self, run_id: str, status: Status, label: str) -> None:
        self._client.set_tag(run_id, "status", label)
        self._client.set_terminated(run_id, status)

    def _send(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log params and tags with the first batch of metrics; numbers that are not finite become a tag."""
        finite = [m for m in metrics if math.isfinite(m.value)]
        others = [f"{m.key}={m.value} at step {m.step}" for m in metrics if not math.isfinite(m.value)]
        labels = _cut(dict(tags or {}) | ({"nonfinite": ", ".join(others)} if others else {}))
        values = [Param(*item) for item in _cut(params or {}).items()]
        self._client.log_batch(run_id, finite[:BATCH], values, [RunTag(*item) for item in labels.items()])
        for start in range(BATCH, len(finite), BATCH):
            self._client.log_batch(run_id, finite[start : start + BATCH])


def fill(config: SweepConfig, name: str, status: Status, records: Sequence[Record], run_id: str = "") -> int:
    """Bring MLflow up to the records of a sweep that is over; a second call adds nothing.

    Args:
        config: the sweep.
        name: its name.
        status: how it ended.
        records: its trials.
        run_id: its parent run where the ledger knows it; else it is found by the sweep's folder, or made.

    Returns:
        How many trials were missing.

    Raises:
        TrackingError: MLflow refused, or could not be reached.
    """
    runs = Runs(config, name, run_id)
    try:
        runs.open()
        missing = len(runs.missing(records))
        runs.finish(status, records)
    except Exception as error:
        raise TrackingError(f"MLflow at {redact(runs.uri)}: {_sentence(error)}") from None
    return missing


def log_scores(scores: Mapping[str, Any], path: Path) -> Logged:
    """Log a checkpoint's scores as a run of its own, with their file; the same scores again are the same run.

    Args:
        scores: what `python -m eval.run` wrote.
        path: the file that holds them.

    Raises:
        TrackingError: MLflow refused, or could not be reached.
    """
    uri, experiment = _store(), os.environ.get("MLFLOW_EXPERIMENT_NAME") or "checkpoints"
    try:
        run_id = _score_run(MlflowClient(tracking_uri=uri), experiment, scores, path)
    except Exception as error:
        raise TrackingError(f"MLflow at {redact(uri)}: {_sentence(error)}") from None
    return Logged(tracking_uri=redact(uri), experiment=experiment, run_id=run_id)


def _score_run(client: MlflowClient, experiment: str, scores: Mapping[str, Any], path: Path) -> str:
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    same = client.search_runs([experiment_id], f"tags.scores = '{digest}' and attributes.status = 'FINISHED'")
    if same:
        return str(same[0].info.run_id)
    described = {key: json.dumps(scores[key]) for key in ("data", "template", "versions", "definitions", "left_out")}
    tags = _cut({"scores": digest, "checkpoint": str(scores["checkpoint"]), "git": str(scores["git"])} | described)
    run_id = str(client.create_run(experiment_id, run_name=Path(scores["checkpoint"]).name, tags=tags).info.run_id)
    client.log_batch(run_id, _metrics(scores["metrics"], step=0, timestamp=_ms(time.time())))
    client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id


def _store() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def _attempt(record: Record) -> str:
    """What tells an attempt from every other: a trial that is run again starts at another time."""
    return f"{record.phase}/{record.index}/{_ms(record.started)}"


def _title(objective: str, record: Record) -> str:
    """A name that a person recognises."""
    values = [f"{key}={f'{v:.4g}' if isinstance(v, float) else v}" for key, v in record.setting.items()]
    return " ".join([objective.rpartition(".")[2], *values, f"seed={record.seed}"])


def _shared_tags(config: SweepConfig) -> dict[str, str]:
    """What parent and nested runs have in common, so that objectives can be compared in one table."""
    return {
        "objective": config.objective,
        "model": config.model.name,
        "data": config.data.name,
        "split": config.data.paper_split,
        "recipe": config.recipe,
        "git": revision(),
    }


def _sweep_tags(config: SweepConfig, name: str) -> dict[str, str]:
    """The parent's own tags: where its files are, what its numbers mean, which libraries made them."""
    # MLflow refuses the star of `score/tau_*` in a tag's name.
    definitions = {f"definition/{metric.replace('*', 'N')}": text for metric, text in DEFINITIONS.items()}
    own = {
        "sweep": name,
        "folder": str(config.storage / name),
        "score": f"{DEFINITIONS['score']}; tau={config.score.tau}",
        "seed": str(config.seed),
        "status": "running",
    }
    return own | versions(LIBRARIES) | definitions


def _trial_tags(record: Record) -> dict[str, str]:
    tags = {
        "phase": record.phase,
        "index": str(record.index),
        "attempt": _attempt(record),
        "seed": str(record.seed),
        "status": record.state,
        "reason": record.reason,
        "worker": record.worker,
    }
    return {key: value for key, value in tags.items() if value}


def _params(setting: Setting) -> dict[str, str]:
    return {key: str(value) for key, value in setting.items()}


def _point_metrics(record: Record, point: Mapping[str, float]) -> list[Metric]:
    """A point's time is made from its step: MLflow then takes a point that is logged again for the same one."""
    step = int(point["epoch"])
    values = {key: value for key, value in point.items() if key != "epoch"}
    return _metrics(values, step=step, timestamp=_ms(record.started) + step)


def _metrics(values: Mapping[str, float], *, step: int, timestamp: int) -> list[Metric]:
    return [Metric(key, float(value), timestamp, step) for key, value in values.items()]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested blocks as `block.key` and text."""
    if not isinstance(value, dict):
        yield key, str(value)
        return
    for name, item in value.items():
        yield from _flat(item, f"{key}.{name}" if key else name)


def _cut(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts as long as MLflow takes them; one that is cut says so."""
    cut = {key: f"{text[:LONGEST]} ... (cut, {len(text)} characters)" for key, text in texts.items() if text[LONGEST:]}
    return dict(texts) | cut


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:300]


def _program() -> str:
    """How this environment's `mlflow` is called from the working directory."""
    own = Path(sys.executable).with_name("mlflow")
    if not own.exists() or shutil.which("mlflow") == str(own):
        return "mlflow"
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
