"""The MLflow runs of a sweep: what is made, logged and ended, and by which names and tags it is found again."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from mlflow.entities import Metric, Param, Run, RunTag

from eval.definitions import DEFINITIONS
from eval.provenance import revision, versions
from sweep.config.compose import dump
from sweep.config.schema import SweepConfig
from sweep.records import INTERRUPTED, Logged, Record, Setting, now
from sweep.redaction import redact
from sweep.tracking.store import client_of, experiment_id, store

Status: TypeAlias = Literal["FINISHED", "FAILED", "KILLED"]
STATUS: Mapping[str, Status] = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow's word for each state in which a trial is over."""
PARAMS = ("objective", "space", "fixed", "retain", "search", "score", "seed", "seeds", "train", "target", "recipe")
"""The blocks of the configuration that become the parent's params; all of it is in its artifact config.yaml."""
LONGEST = 5000
"""Characters of a param or a tag; MLflow takes 6000 and 8000."""
BATCH = 900
"""Metrics in one request; MLflow takes 1000 metrics, params and tags together."""
LIBRARIES = ("torch", "transformers", "ray", "optuna")
"""What may move a sweep's numbers."""


class Runs:
    """The MLflow runs of one sweep. Each method works at once and may raise; called again, it doubles nothing."""

    def __init__(self, config: SweepConfig, name: str, run_id: str | None = None) -> None:
        """Name the store and the experiment; nothing is opened yet. `run_id` as in `Tracker.start`."""
        self.uri = store()
        self.experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or config.experiment or default_experiment(config)
        self.run_id = ""
        self.attempts: dict[str, str] = {}
        self._config = config
        self._name = name
        self._resumed = run_id
        self._tags = _shared_tags(config)
        self._ended: set[str] = set()
        self._tried: set[str] = set()
        self._points: dict[str, int] = {}
        self._opened = False
        self._described = False

    @property
    def logged(self) -> Logged:
        """Where the sweep's runs are, without a password."""
        return Logged(tracking_uri=redact(self.uri), experiment=self.experiment, run_id=self.run_id)

    def open(self) -> None:
        """Find or make the experiment and the parent; close what a driver that died left running."""
        if self._opened:
            return
        self._client = client_of(self.uri)
        self._experiment_id = experiment_id(self._client, self.experiment)
        self.run_id = self._parent()
        self._adopt()
        self._client.update_run(self.run_id, status="RUNNING")
        self._opened = True

    def describe(self) -> None:
        """Log the parent's params and the resolved configuration, once."""
        if self._described:
            return
        self.open()
        blocks = self._config.model_dump(mode="json", include=set(PARAMS))
        there = self._client.get_run(self.run_id).data.params  # MLflow refuses to change one
        self._send(self.run_id, params={key: value for key, value in _flat(blocks) if key not in there})
        self._client.log_text(self.run_id, dump(self._config), "config.yaml")
        self._described = True

    def begin(self, record: Record) -> str:
        """The run of this attempt, made if there is none."""
        self.open()
        key = attempt(record)
        if key not in self.attempts:
            # Should the answer be lost, the run is there all the same, and the next try finds it.
            there = list(self._search(f"tags.attempt = '{key}' and {self._own}")) if key in self._tried else []
            self._tried.add(key)
            self.attempts[key] = (there or [self._created(record)])[0].info.run_id
            self._send(self.attempts[key], params=_params(record.setting))
        return self.attempts[key]

    def log(self, record: Record) -> None:
        """Log what is new of a trial, whose run is made if there is none and ended if it is over."""
        run_id, key = self.begin(record), attempt(record)
        if record.state != "running":
            self.end(record)
        elif new := record.curve[self._points.get(key, 0) :]:
            self._send(run_id, [metric for point in new for metric in _point_metrics(record, point)])
            self._points[key] = len(record.curve)

    def end(self, record: Record) -> None:
        """Log all that the record holds, and end its run."""
        run_id = self.begin(record)
        last = int(record.setting.get("train.epochs", self._config.train.epochs))
        curve = [metric for point in record.curve for metric in _point_metrics(record, point)]
        final = metrics_of(record.metrics, step=last, timestamp=ms(record.ended))
        self._send(run_id, curve + final, _params(record.setting), _trial_tags(record))
        status = "KILLED" if record.reason == INTERRUPTED else STATUS[record.state]
        self._client.set_terminated(run_id, status, ms(record.ended))
        self._ended.add(attempt(record))

    def missing(self, records: Sequence[Record]) -> list[Record]:
        """The trials that are over and whose run does not say so."""
        return [r for r in records if r.state != "running" and attempt(r) not in self._ended]

    def finish(self, status: Status, records: Sequence[Record]) -> None:
        """Fill in what is missing, then end the parent; trials that were interrupted end as KILLED."""
        self.open()
        self._adopt()
        for record in self.missing(records):
            self.end(record)
        self.describe()
        self._terminate(self._client.get_run(self.run_id), status, status.lower())

    def _parent(self) -> str:
        """The sweep's parent run, found or made."""
        run = None if self._resumed is None else self._found(self._resumed)
        if run is None:
            self._resumed = ""  # should the answer be lost, the next try finds the run by its folder
            tags = cut(self._tags | _sweep_tags(self._config, self._name))
            run = self._client.create_run(self._experiment_id, ms(now()), tags, self._name)
        return str(run.info.run_id)

    def _found(self, run_id: str) -> Run | None:
        """The parent with this id, or the newest of the same folder."""
        folder = str(self._config.storage / self._name)
        runs = self._search(f"tags.sweep = '{self._name}'")
        return next((run for run in runs if run.info.run_id == run_id or run.data.tags.get("folder") == folder), None)

    def _created(self, record: Record) -> Run:
        """A nested run of this attempt."""
        tags = cut(self._tags | _trial_tags(record) | {"mlflow.parentRunId": self.run_id})
        name = _title(self._config.objective, record)
        return self._client.create_run(self._experiment_id, ms(record.started), tags, name)

    @property
    def _own(self) -> str:
        """The condition of the parent's nested runs."""
        return f"tags.`mlflow.parentRunId` = '{self.run_id}'"

    def _adopt(self) -> None:
        """Know the nested runs that are there; those that are running have nobody who would end them."""
        for run in self._search(self._own):
            key = run.data.tags.get("attempt", "")
            self.attempts[key] = run.info.run_id
            if run.data.tags.get("status") in STATUS:
                self._ended.add(key)
            if run.info.status == "RUNNING":
                self._terminate(run, "KILLED", "interrupted")

    def _search(self, condition: str) -> Iterator[Run]:
        token: str | None = None
        while token != "":
            page = self._client.search_runs([self._experiment_id], condition, page_token=token)
            yield from page
            token = page.token or ""

    def _terminate(self, run: Run, status: Status, label: str) -> None:
        """End a run now, and not before it began, whatever was done to the machine's clock since."""
        self._client.set_tag(run.info.run_id, "status", label)
        self._client.set_terminated(run.info.run_id, status, max(ms(now()), run.info.start_time))

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
        labels = cut(dict(tags or {}) | ({"nonfinite": ", ".join(others)} if others else {}))
        values = [Param(*item) for item in cut(params or {}).items()]
        self._client.log_batch(run_id, finite[:BATCH], values, [RunTag(*item) for item in labels.items()])
        for start in range(BATCH, len(finite), BATCH):
            self._client.log_batch(run_id, finite[start : start + BATCH])


def default_experiment(config: SweepConfig) -> str:
    """The experiment of a sweep that names none: `<model>-<data>`, so that objectives can be compared in it."""
    return f"{config.model.name}-{config.data.name}"


def attempt(record: Record) -> str:
    """What tells an attempt from every other: a trial that is run again starts at another time."""
    return f"{record.phase}/{record.index}/{ms(record.started)}"


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
    return own | _commits(config) | versions(LIBRARIES) | definitions


def _commits(config: SweepConfig) -> dict[str, str]:
    """The commits of what comes from the hub."""
    blocks = {name: getattr(config, name) for name in ("model", "target", "data")}
    commits = {f"{name}.revision": getattr(block, "revision", None) for name, block in blocks.items()}
    return {key: commit for key, commit in commits.items() if commit is not None}


def _trial_tags(record: Record) -> dict[str, str]:
    tags = {
        "phase": record.phase,
        "index": str(record.index),
        "attempt": attempt(record),
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
    return metrics_of(values, step=step, timestamp=ms(record.started) + step)


def metrics_of(values: Mapping[str, float], *, step: int, timestamp: int) -> list[Metric]:
    """The values as MLflow's metrics; the timestamp is in milliseconds."""
    return [Metric(key, float(value), timestamp, step) for key, value in values.items()]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested blocks as `block.key` and text."""
    if not isinstance(value, dict):
        yield key, str(value)
        return
    for name, item in value.items():
        yield from _flat(item, f"{key}.{name}" if key else name)


def cut(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts as long as MLflow takes them; one that is cut says so."""
    short = {
        key: f"{text[:LONGEST]} ... (cut, {len(text)} characters)" for key, text in texts.items() if len(text) > LONGEST
    }
    return dict(texts) | short


def ms(seconds: float) -> int:
    """Milliseconds, as MLflow counts time."""
    return round(seconds * 1000)
