"""Forecast the memory of a card, the hours and the disk that a sweep needs, before anything is started.

python -m sweep.launch configs/wtnpo.yaml model=phi-1.5 data=tofu-forget10 cluster=a100 --dry-run
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from eval.rows.types import Dataset
from objectives._base import Objective
from sweep.config import space, train_rules
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare import cost, memory
from sweep.prepare.cost import Budget, format_bytes
from sweep.prepare.memory import StageMemory
from sweep.records import Value

CUDA_OVERHEAD_BYTES = 1e9
"""Bytes of a card that CUDA and its libraries are assumed to take for a process."""
MIN_BUSY_TOKENS = 1024
"""Smallest number of positions in a pass that still keeps a card busy."""
REMEDIES: tuple[Mapping[str, object], ...] = (
    {"tokens": MIN_BUSY_TOKENS},
    {"parallel": "fsdp"},
    {"parallel": "fsdp", "tokens": MIN_BUSY_TOKENS},
    {"checkpointing": True},
    {"tokens": MIN_BUSY_TOKENS, "checkpointing": True},
    {"parallel": "fsdp", "tokens": MIN_BUSY_TOKENS, "checkpointing": True},
    {"precision": "kahan"},
    {"precision": "kahan", "tokens": MIN_BUSY_TOKENS},
    {"precision": "kahan", "tokens": MIN_BUSY_TOKENS, "checkpointing": True},
)
"""Changes that are tried if a trial does not fit, by increasing cost: nothing, time, exactness of the moments."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Memory, time and disk that a sweep needs.

    Attributes:
        stages: peak memory of each stage in bytes, by part.
        card_bytes: bytes of a card that a trial may use; None if they are not known, or if it has no GPU.
        remedy: overrides that would make the trial fit, as typed; empty if it fits or nothing helps.
        budget: time and disk.
    """

    stages: Mapping[str, StageMemory]
    card_bytes: float | None
    remedy: str
    budget: Budget

    @property
    def peak_bytes(self) -> int:
        """Peak memory of all stages in bytes."""
        return max(stage.total_bytes for stage in self.stages.values())

    @property
    def has_enough_memory(self) -> bool | None:
        """True if a trial fits into its share of a card; None if that is not known."""
        return None if self.card_bytes is None else _is_within_card(self.stages, self.card_bytes)

    def __str__(self) -> str:
        """Format the parts of the memory as a table, then the verdict, time and disk."""
        return f"{_format_table(self.stages)}\nmemory: {self._memory_verdict}\n{self.budget}"

    @property
    def _memory_verdict(self) -> str:
        peak = format_bytes(self.peak_bytes)
        if self.card_bytes is None:
            return f"{peak}; a trial's share of a card is not known (cluster.gpus, cluster.memory)"
        card = format_bytes(self.card_bytes)
        takes = f"{peak}, and {format_bytes(CUDA_OVERHEAD_BYTES)} for CUDA, of the {card} that a trial has"
        if self.has_enough_memory:
            return f"it fits: {takes}"
        return f"it does not fit: {takes}; " + (
            f"it would fit with {self.remedy}" if self.remedy else "no change of train helps"
        )


def forecast_sweep(config: SweepConfig, dataset: Dataset) -> Forecast:
    """Forecast what a sweep needs; this takes seconds, loads no weights and needs no GPU.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    stages, card = _measure_stages(config, dataset), _usable_card_bytes(config)
    return Forecast(
        stages=stages,
        card_bytes=card,
        remedy="" if card is None else _find_remedy(config, dataset, stages, card),
        budget=cost.estimate_budget(config, dataset),
    )


def _measure_stages(config: SweepConfig, dataset: Dataset) -> dict[str, StageMemory]:
    own, rows = cost.load_model_info(config, dataset), cost.encode_sweep_rows(config, dataset)
    return memory.measure_stages(config, _deepest_objective(config), own.architecture, rows)


def _deepest_objective(config: SweepConfig) -> Objective:
    """Return the objective with the highest values of its space, since only a deeper layer takes more memory."""
    drawn = {name: _highest_value(entry) for name, entry in space.build_distributions(config).items()}
    return space.build_objective(config, config.fixed | drawn)


def _highest_value(entry: BaseDistribution) -> Value:
    if isinstance(entry, CategoricalDistribution):
        return max((value for value in entry.choices if value is not None), key=_as_number)
    assert isinstance(entry, IntDistribution | FloatDistribution)
    return entry.high


def _as_number(value: Value) -> float:
    return value if isinstance(value, int | float) else 0.0


def _usable_card_bytes(config: SweepConfig) -> float | None:
    """Return the bytes of a card that a trial may use; None if they are not known, or if it has no GPU."""
    memory_of_one, gpus = config.cluster.memory, config.cluster.gpus
    return None if memory_of_one is None or not gpus else memory_of_one * 1e9 * min(1.0, gpus)


def _find_remedy(config: SweepConfig, dataset: Dataset, stages: Mapping[str, StageMemory], card: float) -> str:
    """Return the first of `REMEDIES` with which a trial would fit, as overrides; empty if it fits or none helps."""
    if _is_within_card(stages, card):
        return ""
    for change in REMEDIES:
        less = {key: value for key, value in change.items() if key != "tokens" or config.train.tokens > MIN_BUSY_TOKENS}
        changed = config.model_copy(update={"train": config.train.model_copy(update=less)})
        hopeful = {"precision", "parallel"} & less.keys() or _is_within_card(stages, card, but="activations")
        if hopeful and _is_valid(changed) and _is_within_card(_measure_stages(changed, dataset), card):
            return " ".join(f"train.{key}={str(value).lower()}" for key, value in less.items())
    return ""


def _is_valid(config: SweepConfig) -> bool:
    try:
        train_rules.validate_training(config)
    except ConfigError:
        return False
    return True


def _is_within_card(stages: Mapping[str, StageMemory], card: float, but: str = "") -> bool:
    """Check that all stages fit into the card, without the part named by `but`."""
    return max(stage.total_bytes - getattr(stage, but, 0) for stage in stages.values()) + CUDA_OVERHEAD_BYTES <= card


def _format_table(stages: Mapping[str, StageMemory]) -> str:
    """Format the parts of each stage as a table, in one unit."""
    unit, name = (1e9, "GB") if max(stage.total_bytes for stage in stages.values()) >= 1e9 else (1e6, "MB")
    rows = [(part.name, [getattr(stage, part.name) for stage in stages.values()]) for part in fields(StageMemory)]
    rows.append(("together", [stage.total_bytes for stage in stages.values()]))
    head = f"{name:<12}" + "".join(f"{stage:>14}" for stage in stages)
    return "\n".join(
        [head, *(f"{part:<12}" + "".join(f"{size / unit:>14.2f}" for size in sizes) for part, sizes in rows)]
    )
