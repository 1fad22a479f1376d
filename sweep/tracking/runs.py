"""MLflow runs of a sweep: create, log and end them, and find them again by their tags."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from mlflow.entities import Metric, Param, Run, RunTag

from sweep.config.compose import dump
from sweep.config.diff import flatten_block
from sweep.config.schema import SweepConfig
from sweep.records import INTERRUPTED_REASON, TrackingRun, TrialRecord, now
from sweep.redaction import redact
from sweep.tracking.address import get_tracking_uri
from sweep.tracking.description import DESCRIPTION_TAG, add_links, describe_state
from sweep.tracking.labels import (
    DEFINITIONS_FILE,
    build_shared_tags,
    build_sweep_tags,
    build_trial_tags,
    define_metrics,
    format_attempt_key,
    format_params,
    format_run_name,
    truncate_texts,
)
from sweep.tracking.metrics import (
    FINISHED_TRIALS,
    build_effect_metrics,
    build_epoch_metrics,
    build_metrics,
    build_progress,
    to_milliseconds,
)
from sweep.tracking.store import get_or_create_experiment, open_client
from sweep.tracking.views import VIEW_TAG, build_view, format_view_key, list_ui_lines

RunStatus: TypeAlias = Literal["FINISHED", "FAILED", "KILLED"]
STATUS_BY_STATE: Mapping[str, RunStatus] = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow status for each state of a trial that has ended."""
PARAM_BLOCKS = (
    "objective",
    "space",
    "fixed",
    "retain",
    "search",
    "score",
    "seed",
    "seeds",
    "train",
    "target",
    "recipe",
)
"""Configuration blocks logged as params of the parent; its artifact config.yaml holds the whole configuration."""
MAX_METRICS_PER_REQUEST = 900
"""Maximum number of metrics in one request; MLflow accepts 1000 metrics, params and tags together."""


class SweepRuns:
    """MLflow runs of one sweep. Each method blocks and may raise; a repeated call duplicates nothing."""

    def __init__(
        self, config: SweepConfig, name: str, run_id: str | None = None, records: Sequence[TrialRecord] = ()
    ) -> None:
        """Choose the store and the experiment without opening them; the arguments are as in `Tracker.start`."""
        self.uri = get_tracking_uri()
        self.experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or config.experiment or default_experiment(config)
        self.run_id = ""
        self.run_ids: dict[str, str] = {}
        self._experiment_id = ""
        self._config = config
        self._name = name
        self._resumed_run_id = run_id
        self._tags = build_shared_tags(config)
        self._ended_attempts: set[str] = set()
        self._tried_attempts: set[str] = set()
        self._n_logged_epochs: dict[str, int] = {}
        self._n_logged_effects: dict[str, int] = {}
        self._finished = {format_attempt_key(record): record for record in records if record.state == "finished"}
        self._n_logged_points = 0
        self.is_open = False
        self._has_logged_config = False

    @property
    def tracking_run(self) -> TrackingRun:
        """The location of the sweep's runs, without a password."""
        return TrackingRun(tracking_uri=redact(self.uri), experiment=self.experiment, run_id=self.run_id)

    @property
    def ui_lines(self) -> list[str]:
        """The lines that lead to the runs, as `list_ui_lines` has them."""
        return list_ui_lines(self.uri, self._experiment_id if self.is_open else "", self._view_key)

    @property
    def _view_key(self) -> str:
        return format_view_key(self._name, self.run_id)

    def open_sweep_run(self) -> None:
        """Find or create the experiment and the parent run; end the nested runs that a dead driver left running."""
        if self.is_open:
            return
        self._client = open_client(self.uri)
        self._experiment_id = get_or_create_experiment(self._client, self.experiment)
        parent = self._find_or_create_parent()
        self.run_id = str(parent.info.run_id)
        self._n_logged_points = int(parent.data.metrics.get(FINISHED_TRIALS, 0))
        self._load_attempts()
        self._save_view()
        self._client.update_run(self.run_id, status="RUNNING")
        self._describe("RUNNING")
        self.is_open = True

    def log_config(self) -> None:
        """Log the parent's params and the resolved configuration, unless done before."""
        if self._has_logged_config:
            return
        self.open_sweep_run()
        blocks = self._config.model_dump(mode="json", include=set(PARAM_BLOCKS))
        params = truncate_texts({key: str(value) for key, value in flatten_block(blocks)})
        there = self._client.get_run(self.run_id).data.params
        # MLflow refuses to change a param: what a resumed sweep has changed is a tag of the same name.
        changed = {key: value for key, value in params.items() if there.get(key, value) != value}
        new = {key: value for key, value in params.items() if key not in there}
        self._log_batches(self.run_id, params=new, tags=changed)
        self._client.log_text(self.run_id, dump(self._config), "config.yaml")
        self._client.log_dict(self.run_id, define_metrics(self._config), DEFINITIONS_FILE)
        self._has_logged_config = True

    def start_attempt(self, record: TrialRecord) -> str:
        """Return the run id of this attempt; create the run if it is missing."""
        self.open_sweep_run()
        key = format_attempt_key(record)
        if key not in self.run_ids:
            # If the answer is lost the run exists nevertheless, and the next try finds it.
            there = (
                list(self._search_runs(f"tags.attempt = '{key}' and {self._attempts_filter}"))
                if key in self._tried_attempts
                else []
            )
            self._tried_attempts.add(key)
            self.run_ids[key] = (there or [self._create_attempt_run(record)])[0].info.run_id
            self._log_batches(self.run_ids[key], params=format_params(record.setting))
        return self.run_ids[key]

    def log_attempt(self, record: TrialRecord) -> None:
        """Log the news of a trial: create its run if it is missing, and end the run if the trial has ended."""
        run_id, key = self.start_attempt(record), format_attempt_key(record)
        if record.state != "running":
            self.end_attempt(record)
            self._log_progress([record])
        elif new := record.curve[self._n_logged_epochs.get(key, 0) :]:
            curve = [metric for point in new for metric in build_epoch_metrics(record, point)]
            self._log_batches(run_id, curve + build_effect_metrics(record, self._n_logged_effects.get(key, 0)))
            self._n_logged_effects[key] = len(record.g_effects)
            self._n_logged_epochs[key] = len(record.curve)

    def end_attempt(self, record: TrialRecord) -> None:
        """Log everything that the record holds, and end its run."""
        run_id = self.start_attempt(record)
        last = int(record.setting.get("train.epochs", self._config.train.epochs))
        curve = [metric for point in record.curve for metric in build_epoch_metrics(record, point)]
        final = build_metrics(record.metrics, step=last, timestamp=to_milliseconds(record.ended))
        tags = build_trial_tags(record) | {"mlflow.runName": format_run_name(self._config, record)}
        self._log_batches(run_id, curve + build_effect_metrics(record) + final, format_params(record.setting), tags)
        status = "KILLED" if record.reason == INTERRUPTED_REASON else STATUS_BY_STATE[record.state]
        self._client.set_terminated(run_id, status, to_milliseconds(record.ended))
        self._ended_attempts.add(format_attempt_key(record))

    def find_missing(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Return the records of ended trials whose runs have not been ended."""
        return [r for r in records if r.state != "running" and format_attempt_key(r) not in self._ended_attempts]

    def finish(self, status: RunStatus, records: Sequence[TrialRecord]) -> None:
        """Log the missing attempts, then end the parent; the runs of interrupted trials end as KILLED."""
        self.open_sweep_run()
        self._load_attempts()
        for record in self.find_missing(records):
            self.end_attempt(record)
        self._log_progress(records)
        self.log_config()
        self._describe(status)
        self._terminate_run(self._client.get_run(self.run_id), status, status.lower())

    def _log_progress(self, records: Sequence[TrialRecord]) -> None:
        """Log the parent's metrics after each finished trial that it has no point of."""
        self._finished |= {format_attempt_key(record): record for record in records if record.state == "finished"}
        points = build_progress(self._finished.values())
        if new := points[self._n_logged_points :]:
            self._log_batches(self.run_id, [metric for point in new for metric in point])
            self._n_logged_points = len(points)

    def _describe(self, status: RunStatus | Literal["RUNNING"]) -> None:
        """Set the parent's description while there is no result."""
        text = describe_state(self._config, self._name, status, len(self._finished))
        self._client.set_tag(self.run_id, DESCRIPTION_TAG, add_links(text, self._experiment_id, self._view_key))

    def _save_view(self) -> None:
        """Save the view that the link opens, unless it is there; a user may have changed it."""
        tag = f"{VIEW_TAG}{self._view_key}"
        if tag not in self._client.get_experiment(self._experiment_id).tags:
            searched = [*(self._config.space or self._config.fixed)]
            view = build_view(self._name, self.run_id, searched, to_milliseconds(now()))
            self._client.set_experiment_tag(self._experiment_id, tag, view)

    def _find_or_create_parent(self) -> Run:
        """Return the sweep's parent run; create it if it is missing."""
        run = None if self._resumed_run_id is None else self._find_parent(self._resumed_run_id)
        if run is None:
            self._resumed_run_id = ""  # if the answer is lost, the next try finds the run by its folder
            tags = truncate_texts(self._tags | build_sweep_tags(self._config, self._name))
            run = self._client.create_run(self._experiment_id, to_milliseconds(now()), tags, self._name)
        return run

    def _find_parent(self, run_id: str) -> Run | None:
        """Return the newest parent run with this id or of the sweep's folder, None if there is none."""
        folder = str(self._config.storage / self._name)
        runs = self._search_runs(f"tags.sweep = '{self._name}'")
        return next((run for run in runs if run.info.run_id == run_id or run.data.tags.get("folder") == folder), None)

    def _create_attempt_run(self, record: TrialRecord) -> Run:
        """Create the nested run of this attempt."""
        tags = truncate_texts(self._tags | build_trial_tags(record) | {"mlflow.parentRunId": self.run_id})
        name = format_run_name(self._config, record)
        return self._client.create_run(self._experiment_id, to_milliseconds(record.started), tags, name)

    @property
    def _attempts_filter(self) -> str:
        """The search filter that selects the parent's nested runs."""
        return f"tags.`mlflow.parentRunId` = '{self.run_id}'"

    def _load_attempts(self) -> None:
        """Load the existing nested runs; end those still running, because their driver is gone."""
        for run in self._search_runs(self._attempts_filter):
            key = run.data.tags.get("attempt", "")
            self.run_ids[key] = run.info.run_id
            if run.data.tags.get("status") in STATUS_BY_STATE:
                self._ended_attempts.add(key)
            if run.info.status == "RUNNING":
                self._terminate_run(run, "KILLED", "interrupted")

    def _search_runs(self, condition: str) -> Iterator[Run]:
        token: str | None = None
        while token != "":
            page = self._client.search_runs([self._experiment_id], condition, page_token=token)
            yield from page
            token = page.token or ""

    def _terminate_run(self, run: Run, status: RunStatus, label: str) -> None:
        """End a run now, but never before its start, even if the machine's clock was set back since."""
        self._client.set_tag(run.info.run_id, "status", label)
        self._client.set_terminated(run.info.run_id, status, max(to_milliseconds(now()), run.info.start_time))

    def _log_batches(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log params and tags with the first batch of metrics; log non-finite values as a tag instead."""
        finite = [m for m in metrics if math.isfinite(m.value)]
        others = [f"{m.key}={m.value} at step {m.step}" for m in metrics if not math.isfinite(m.value)]
        labels = truncate_texts(dict(tags or {}) | ({"nonfinite": ", ".join(others)} if others else {}))
        values = [Param(*item) for item in truncate_texts(params or {}).items()]
        self._client.log_batch(
            run_id, finite[:MAX_METRICS_PER_REQUEST], values, [RunTag(*item) for item in labels.items()]
        )
        for start in range(MAX_METRICS_PER_REQUEST, len(finite), MAX_METRICS_PER_REQUEST):
            self._client.log_batch(run_id, finite[start : start + MAX_METRICS_PER_REQUEST])


def default_experiment(config: SweepConfig) -> str:
    """Return the experiment of a sweep that names none: `<model>-<data>`, which compares objectives side by side."""
    return f"{config.model.name}-{config.data.name}"
