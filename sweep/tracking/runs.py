"""MLflow runs of a sweep: create, log and end them, and find them again by their tags."""

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
"""MLflow status for each state of a trial that has ended."""
PARAMS = ("objective", "space", "fixed", "retain", "search", "score", "seed", "seeds", "train", "target", "recipe")
"""Configuration blocks logged as params of the parent; its artifact config.yaml holds the whole configuration."""
LONGEST = 5000
"""Maximum length of a param or a tag in characters; MLflow accepts 6000 and 8000."""
BATCH = 900
"""Maximum number of metrics in one request; MLflow accepts 1000 metrics, params and tags together."""
LIBRARIES = ("torch", "transformers", "ray", "optuna")
"""Libraries whose versions may change a sweep's numbers, and are logged as tags."""


class Runs:
    """MLflow runs of one sweep. Each method blocks and may raise; a repeated call duplicates nothing."""

    def __init__(self, config: SweepConfig, name: str, run_id: str | None = None) -> None:
        """Choose the store and the experiment without opening them; `run_id` is as in `Tracker.start`."""
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
        """The location of the sweep's runs, without a password."""
        return Logged(tracking_uri=redact(self.uri), experiment=self.experiment, run_id=self.run_id)

    def open(self) -> None:
        """Find or create the experiment and the parent run; end the nested runs that a dead driver left running."""
        if self._opened:
            return
        self._client = client_of(self.uri)
        self._experiment_id = experiment_id(self._client, self.experiment)
        self.run_id = self._parent()
        self._adopt()
        self._client.update_run(self.run_id, status="RUNNING")
        self._opened = True

    def describe(self) -> None:
        """Log the parent's params and the resolved configuration, unless done before."""
        if self._described:
            return
        self.open()
        blocks = self._config.model_dump(mode="json", include=set(PARAMS))
        there = self._client.get_run(self.run_id).data.params  # MLflow refuses to change one
        self._send(self.run_id, params={key: value for key, value in _flat(blocks) if key not in there})
        self._client.log_text(self.run_id, dump(self._config), "config.yaml")
        self._described = True

    def begin(self, record: Record) -> str:
        """Return the run id of this attempt; create the run if it is missing."""
        self.open()
        key = attempt(record)
        if key not in self.attempts:
            # If the answer is lost the run exists nevertheless, and the next try finds it.
            there = list(self._search(f"tags.attempt = '{key}' and {self._own}")) if key in self._tried else []
            self._tried.add(key)
            self.attempts[key] = (there or [self._created(record)])[0].info.run_id
            self._send(self.attempts[key], params=_params(record.setting))
        return self.attempts[key]

    def log(self, record: Record) -> None:
        """Log the news of a trial: create its run if it is missing, and end the run if the trial has ended."""
        run_id, key = self.begin(record), attempt(record)
        if record.state != "running":
            self.end(record)
        elif new := record.curve[self._points.get(key, 0) :]:
            self._send(run_id, [metric for point in new for metric in _point_metrics(record, point)])
            self._points[key] = len(record.curve)

    def end(self, record: Record) -> None:
        """Log everything that the record holds, and end its run."""
        run_id = self.begin(record)
        last = int(record.setting.get("train.epochs", self._config.train.epochs))
        curve = [metric for point in record.curve for metric in _point_metrics(record, point)]
        final = metrics_of(record.metrics, step=last, timestamp=ms(record.ended))
        self._send(run_id, curve + final, _params(record.setting), _trial_tags(record))
        status = "KILLED" if record.reason == INTERRUPTED else STATUS[record.state]
        self._client.set_terminated(run_id, status, ms(record.ended))
        self._ended.add(attempt(record))

    def missing(self, records: Sequence[Record]) -> list[Record]:
        """Return the records of ended trials whose runs have not been ended."""
        return [r for r in records if r.state != "running" and attempt(r) not in self._ended]

    def finish(self, status: Status, records: Sequence[Record]) -> None:
        """Log the missing attempts, then end the parent; the runs of interrupted trials end as KILLED."""
        self.open()
        self._adopt()
        for record in self.missing(records):
            self.end(record)
        self.describe()
        self._terminate(self._client.get_run(self.run_id), status, status.lower())

    def _parent(self) -> str:
        """Return the id of the sweep's parent run; create the run if it is missing."""
        run = None if self._resumed is None else self._found(self._resumed)
        if run is None:
            self._resumed = ""  # if the answer is lost, the next try finds the run by its folder
            tags = cut(self._tags | _sweep_tags(self._config, self._name))
            run = self._client.create_run(self._experiment_id, ms(now()), tags, self._name)
        return str(run.info.run_id)

    def _found(self, run_id: str) -> Run | None:
        """Return the newest parent run with this id or of the sweep's folder, None if there is none."""
        folder = str(self._config.storage / self._name)
        runs = self._search(f"tags.sweep = '{self._name}'")
        return next((run for run in runs if run.info.run_id == run_id or run.data.tags.get("folder") == folder), None)

    def _created(self, record: Record) -> Run:
        """Create the nested run of this attempt."""
        tags = cut(self._tags | _trial_tags(record) | {"mlflow.parentRunId": self.run_id})
        name = _title(self._config.objective, record)
        return self._client.create_run(self._experiment_id, ms(record.started), tags, name)

    @property
    def _own(self) -> str:
        """The search filter that selects the parent's nested runs."""
        return f"tags.`mlflow.parentRunId` = '{self.run_id}'"

    def _adopt(self) -> None:
        """Load the existing nested runs; end those still running, because their driver is gone."""
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
        """End a run now, but never before its start, even if the machine's clock was set back since."""
        self._client.set_tag(run.info.run_id, "status", label)
        self._client.set_terminated(run.info.run_id, status, max(ms(now()), run.info.start_time))

    def _send(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log params and tags with the first batch of metrics; log non-finite values as a tag instead."""
        finite = [m for m in metrics if math.isfinite(m.value)]
        others = [f"{m.key}={m.value} at step {m.step}" for m in metrics if not math.isfinite(m.value)]
        labels = cut(dict(tags or {}) | ({"nonfinite": ", ".join(others)} if others else {}))
        values = [Param(*item) for item in cut(params or {}).items()]
        self._client.log_batch(run_id, finite[:BATCH], values, [RunTag(*item) for item in labels.items()])
        for start in range(BATCH, len(finite), BATCH):
            self._client.log_batch(run_id, finite[start : start + BATCH])


def default_experiment(config: SweepConfig) -> str:
    """Return the experiment of a sweep that names none: `<model>-<data>`, which compares objectives side by side."""
    return f"{config.model.name}-{config.data.name}"


def attempt(record: Record) -> str:
    """Return a key unique to the attempt: phase, index and start time, which differs when a trial runs again."""
    return f"{record.phase}/{record.index}/{ms(record.started)}"


def _title(objective: str, record: Record) -> str:
    """Return a readable run name: the objective, the setting and the seed."""
    values = [f"{key}={f'{v:.4g}' if isinstance(v, float) else v}" for key, v in record.setting.items()]
    return " ".join([objective.rpartition(".")[2], *values, f"seed={record.seed}"])


def _shared_tags(config: SweepConfig) -> dict[str, str]:
    """Return the tags that parent and nested runs share, so that one table can compare objectives."""
    return {
        "objective": config.objective,
        "model": config.model.name,
        "data": config.data.name,
        "split": config.data.paper_split,
        "recipe": config.recipe,
        "git": revision(),
    }


def _sweep_tags(config: SweepConfig, name: str) -> dict[str, str]:
    """Return the parent's own tags: its folder, the definitions of its metrics, the versions of libraries."""
    # MLflow rejects the star of `score/tau_*` in a tag's name.
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
    """Return the commits of the model, target and data that come from the Hugging Face hub."""
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
    """Return the metrics of one epoch; their timestamp depends on the epoch alone, so that MLflow drops repeats."""
    step = int(point["epoch"])
    values = {key: value for key, value in point.items() if key != "epoch"}
    return metrics_of(values, step=step, timestamp=ms(record.started) + step)


def metrics_of(values: Mapping[str, float], *, step: int, timestamp: int) -> list[Metric]:
    """Convert the values to MLflow metrics; the timestamp is in milliseconds."""
    return [Metric(key, float(value), timestamp, step) for key, value in values.items()]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of nested blocks as its dotted key, `block.key`, and its text."""
    if not isinstance(value, dict):
        yield key, str(value)
        return
    for name, item in value.items():
        yield from _flat(item, f"{key}.{name}" if key else name)


def cut(texts: Mapping[str, str]) -> dict[str, str]:
    """Truncate the texts to the length that MLflow accepts; mark those that were cut, with their full length."""
    short = {
        key: f"{text[:LONGEST]} ... (cut, {len(text)} characters)" for key, text in texts.items() if len(text) > LONGEST
    }
    return dict(texts) | short


def ms(seconds: float) -> int:
    """Convert seconds to whole milliseconds, MLflow's unit of time."""
    return round(seconds * 1000)
