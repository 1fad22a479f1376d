"""Time and disk of sweeps, and how they are said."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.records import format_bytes

PEAK_FLOPS = {
    "A100": {"float32": 19.5e12, "bfloat16": 312e12},
    "H100": {"float32": 67e12, "bfloat16": 989e12},
    "H200": {"float32": 67e12, "bfloat16": 989e12},
}
"""Peak operations per second of a card, by `cluster.accelerator` and type (NVIDIA's data sheets: SXM, dense)."""
ASSUMED_PEAK_SHARE = 0.4
"""Share of the peak that a trial is assumed to reach; not measured."""
START_S = 15
"""Seconds that Ray and its workers are assumed to take to start."""


@dataclass(frozen=True, kw_only=True)
class ArtifactCost:
    """Cost of an artifact: bytes of disk, and hours to make it (0: it is there; None: the speed is not known)."""

    disk_bytes: int
    hours: float | None


@dataclass(frozen=True, kw_only=True)
class KeptModels:
    """Models that a sweep keeps: their number, the bytes of each, and if each trial on a front comes on top."""

    number: int
    each_bytes: int
    has_front: bool = False


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Time and disk of a sweep.

    Attributes:
        n_trials: number of trials; None if only `search.hours` ends the search.
        trial_hours: hours for a trial, without the full metrics, of one card or of this machine beside others; None if
            the speed is not known.
        n_at_once: trials at once on this machine, whose speed was measured; 0 where hours are those of a card.
        artifact_costs: cost of each artifact by its folder, so that sweeps that share one pay for it once.
        models: the models that the sweep keeps.
        checkpoint_bytes: bytes of disk for the checkpoints of each training while it runs; 0 if none runs that long.
    """

    n_trials: int | None
    trial_hours: float | None
    n_at_once: int = 0
    artifact_costs: Mapping[Path, ArtifactCost]
    models: KeptModels = KeptModels(number=0, each_bytes=0)
    checkpoint_bytes: int = 0

    @property
    def total_hours(self) -> float | None:
        """Hours of one card for all trials and the artifacts that they share; None if not known."""
        return _sum_hours([self])

    @property
    def time_text(self) -> str:
        """The time, as text."""
        if self.trial_hours is None:
            return f"not known (only for cluster.accelerator = {' or '.join(PEAK_FLOPS)}, or a smaller model on cores)"
        each = format_seconds(3600 * self.trial_hours)
        if self.n_at_once:
            whole = f"{format_wall_time([self])}: " if self.n_trials is not None else ""
            prepare = f"{format_seconds(3600 * hours)} to prepare, " if (hours := _sum_prepare_hours([self])) else ""
            at_once = f"{each} a trial, {self.n_at_once} at once"
            return f"{whole}{prepare}{at_once} (steps of this model, timed on this machine now)"
        total = "" if self.total_hours is None else f"{self.total_hours:.2g} hours of one card, "
        return f"{total}{self.trial_hours:.2g} hours a trial, assuming {ASSUMED_PEAK_SHARE:.0%} of the card's peak"

    @property
    def disk_text(self) -> str:
        """The disk, as text."""
        more = f", {format_bytes(self.checkpoint_bytes)} for each long training while it runs (cluster.checkpoint)"
        return f"{_format_disk([self])}{more if self.checkpoint_bytes else ''}"


def summarize_budgets(budgets: Sequence[Budget]) -> str:
    """Summarize time and disk of several sweeps in one line; artifacts that they share count once."""
    hours, time = _sum_hours(budgets), "not known"
    if hours is not None and all(one.n_at_once for one in budgets):
        time = f"{format_wall_time(budgets)} (steps of these models, timed on this machine now)"
    elif hours is not None:
        time = f"{hours:.2g} hours of one card, assuming {ASSUMED_PEAK_SHARE:.0%} of its peak"
    return f"together: time {time}; disk {_format_disk(budgets)}"


def format_wall_time(budgets: Sequence[Budget]) -> str:
    """Format the time that sweeps take on this machine, whose trials run several at once; known speeds are assumed."""
    prepare = _sum_prepare_hours(budgets)
    trials = sum((one.n_trials or 0) * (one.trial_hours or 0.0) for one in budgets)
    return f"about {format_seconds(START_S + 3600 * (prepare + trials / min(one.n_at_once for one in budgets)))}"


def format_seconds(seconds: float) -> str:
    """Format a duration of a forecast, which is known roughly, with two digits: in s, min, h or days."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{_format_digits(seconds / unit)} {name}"
    return f"{_format_digits(seconds)} s"


def _format_digits(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


def _sum_prepare_hours(budgets: Sequence[Budget]) -> float:
    """Sum the hours of the artifacts that are to be made, once each; those that are not known count as none."""
    return sum(cost.hours or 0.0 for cost in _merge_artifacts(budgets))


def _sum_hours(budgets: Sequence[Budget]) -> float | None:
    """Sum the hours of all trials and artifacts; None if those of one sweep's trials are not known."""
    total = _sum_prepare_hours(budgets)
    for one in budgets:
        if one.n_trials is None or one.trial_hours is None:
            return None
        total += one.n_trials * one.trial_hours
    return total


def _format_disk(budgets: Sequence[Budget]) -> str:
    shared = f"{format_bytes(sum(cost.disk_bytes for cost in _merge_artifacts(budgets)))} for what the trials share"
    return shared + _merge_models([one.models for one in budgets])


def _merge_models(kept: Sequence[KeptModels]) -> str:
    """Format the bytes of the kept models of all sweeps."""
    number, size = sum(one.number for one in kept), sum(one.number * one.each_bytes for one in kept)
    if not number:
        return ""
    fronts = [format_bytes(one.each_bytes) for one in kept if one.has_front]
    more = f" and {' or '.join(dict.fromkeys(fronts))} for each trial on a front" if fronts else ""
    return f", {format_bytes(size)} for {'the kept model' if number == 1 else f'{number} kept models'}{more}"


def _merge_artifacts(budgets: Sequence[Budget]) -> Collection[ArtifactCost]:
    """Return the cost of every artifact of the sweeps, once each."""
    return {folder: cost for one in budgets for folder, cost in one.artifact_costs.items()}.values()
