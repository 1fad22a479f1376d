"""Describe where the numbers of a sweep come from: date, duration, code, seed and machine."""

from collections.abc import Sequence
from datetime import UTC, datetime

from eval.progress import format_duration
from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.search.queue import compute_busy_hours

MAX_HOSTS = 4
"""Hosts that are named; of more, their number is."""
N_REVISION_CHARS = 10
"""Characters of a commit that are shown."""


def describe_origin(sweep: ReportData) -> list[str]:
    """Describe date, duration, code, seed and machine, as far as they are known, in this order."""
    began = sorted((record for record in sweep.records if record.started), key=lambda record: record.started)
    return [
        *_describe_times(began),
        *map(_describe_revision, sweep.revisions),
        f"seed {sweep.config.seed}",
        *_describe_hosts(began),
        _describe_share(sweep),
    ]


def _describe_times(began: Sequence[TrialRecord]) -> list[str]:
    """Describe the start of the first trial, and for how long trials ran."""
    if not began:
        return []
    last = max(max(record.started, record.ended) for record in began)
    date = datetime.fromtimestamp(began[0].started, UTC)
    seconds = 3600 * compute_busy_hours(began, last)
    return [f"{date.day} {date:%B %Y, %H:%M} UTC", f"trials ran for {format_duration(seconds)}"]


def _describe_revision(revision: str) -> str:
    commit, plus, _ = revision.partition("+dirty")
    return f"code {commit[:N_REVISION_CHARS]}{' with changes' if plus else ''}"


def _describe_hosts(began: Sequence[TrialRecord]) -> list[str]:
    hosts = sorted({record.worker.rpartition(":")[0] for record in began if record.worker})
    return [f"on {', '.join(hosts) if len(hosts) <= MAX_HOSTS else f'{len(hosts)} hosts'}"] if hosts else []


def _describe_share(sweep: ReportData) -> str:
    """Describe what each trial has of the machine."""
    cluster = sweep.config.cluster
    count, kind = (cluster.gpus, "GPU") if cluster.gpus else (cluster.cpus, "core")
    return f"{count:g} {kind}{'' if count == 1 else 's'} a trial"
