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
from sweep.prepare.cost import Budget, in_bytes
from sweep.prepare.memory import Memory
from sweep.records import Value

SPARE = 1e9
"""Bytes of a card that CUDA and its libraries are assumed to take for a process."""
TOKENS = 1024
"""Smallest number of positions in a pass that still keeps a card busy."""
CHANGES: tuple[Mapping[str, object], ...] = (
    {"tokens": TOKENS},
    {"parallel": "fsdp"},
    {"parallel": "fsdp", "tokens": TOKENS},
    {"checkpointing": True},
    {"tokens": TOKENS, "checkpointing": True},
    {"parallel": "fsdp", "tokens": TOKENS, "checkpointing": True},
    {"precision": "kahan"},
    {"precision": "kahan", "tokens": TOKENS},
    {"precision": "kahan", "tokens": TOKENS, "checkpointing": True},
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

    stages: Mapping[str, Memory]
    card: float | None
    remedy: str
    budget: Budget

    @property
    def peak(self) -> int:
        """Peak memory of all stages in bytes."""
        return max(stage.total for stage in self.stages.values())

    @property
    def fits(self) -> bool | None:
        """True if a trial fits into its share of a card; None if that is not known."""
        return None if self.card is None else _fits(self.stages, self.card)

    def __str__(self) -> str:
        """Format the parts of the memory as a table, then the verdict, time and disk."""
        return f"{_table(self.stages)}\nmemory: {self._verdict}\n{self.budget}"

    @property
    def _verdict(self) -> str:
        if self.card is None:
            return f"{in_bytes(self.peak)}; a trial's share of a card is not known (cluster.gpus, cluster.memory)"
        takes = f"{in_bytes(self.peak)}, and {in_bytes(SPARE)} for CUDA, of the {in_bytes(self.card)} that a trial has"
        if self.fits:
            return f"it fits: {takes}"
        return f"it does not fit: {takes}; " + (
            f"it would fit with {self.remedy}" if self.remedy else "no change of train helps"
        )


def forecast(config: SweepConfig, dataset: Dataset) -> Forecast:
    """Forecast what a sweep needs; this takes seconds, loads no weights and needs no GPU.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    stages, card = _stages(config, dataset), _card(config)
    return Forecast(
        stages=stages,
        card=card,
        remedy="" if card is None else _remedy(config, dataset, stages, card),
        budget=cost.budget(config, dataset),
    )


def _stages(config: SweepConfig, dataset: Dataset) -> dict[str, Memory]:
    own, rows = cost.base(config, dataset), cost.texts(config, dataset)
    return memory.stages(config, _deepest(config), own.architecture, rows)


def _deepest(config: SweepConfig) -> Objective:
    """Return the objective with the highest values of its space, since only a deeper layer takes more memory."""
    drawn = {name: _highest(entry) for name, entry in space.distributions(config).items()}
    return space.objective_of(config, config.fixed | drawn)


def _highest(entry: BaseDistribution) -> Value:
    if isinstance(entry, CategoricalDistribution):
        return max((value for value in entry.choices if value is not None), key=_as_number)
    assert isinstance(entry, IntDistribution | FloatDistribution)
    return entry.high


def _as_number(value: Value) -> float:
    return value if isinstance(value, int | float) else 0.0


def _card(config: SweepConfig) -> float | None:
    """Return the bytes of a card that a trial may use; None if they are not known, or if it has no GPU."""
    memory_of_one, gpus = config.cluster.memory, config.cluster.gpus
    return None if memory_of_one is None or not gpus else memory_of_one * 1e9 * min(1.0, gpus)


def _remedy(config: SweepConfig, dataset: Dataset, stages: Mapping[str, Memory], card: float) -> str:
    """Return the first of `REMEDIES` with which a trial would fit, as overrides; empty if it fits or none helps."""
    if _fits(stages, card):
        return ""
    for change in CHANGES:
        less = {key: value for key, value in change.items() if key != "tokens" or config.train.tokens > TOKENS}
        changed = config.model_copy(update={"train": config.train.model_copy(update=less)})
        hopeful = {"precision", "parallel"} & less.keys() or _fits(stages, card, but="activations")
        if hopeful and _can_be_had(changed) and _fits(_stages(changed, dataset), card):
            return " ".join(f"train.{key}={str(value).lower()}" for key, value in less.items())
    return ""


def _can_be_had(config: SweepConfig) -> bool:
    try:
        train_rules.check(config)
    except ConfigError:
        return False
    return True


def _fits(stages: Mapping[str, Memory], card: float, but: str = "") -> bool:
    """Check that all stages fit into the card, without the part named by `but`."""
    return max(stage.total - getattr(stage, but, 0) for stage in stages.values()) + SPARE <= card


def _table(stages: Mapping[str, Memory]) -> str:
    """Format the parts of each stage as a table, in one unit."""
    unit, name = (1e9, "GB") if max(stage.total for stage in stages.values()) >= 1e9 else (1e6, "MB")
    rows = [(part.name, [getattr(stage, part.name) for stage in stages.values()]) for part in fields(Memory)]
    rows.append(("together", [stage.total for stage in stages.values()]))
    head = f"{name:<12}" + "".join(f"{stage:>14}" for stage in stages)
    return "\n".join(
        [head, *(f"{part:<12}" + "".join(f"{size / unit:>14.2f}" for size in sizes) for part, sizes in rows)]
    )
