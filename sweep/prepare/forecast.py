"""Forecast the memory of a card, the hours and the disk that a sweep needs, before anything is started.

python -m sweep.launch configs/wtnpo.yaml model=phi-1.5 data=tofu-forget10 cluster=a100 --dry-run
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from eval.rows.types import Dataset
from objectives._base import Objective
from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.prepare import cost, memory
from sweep.prepare.artifacts import Artifacts
from sweep.prepare.cost import Budget
from sweep.prepare.machine import MachineShare, hint_precision, share_machine
from sweep.prepare.memory import StageMemory
from sweep.records import Value, format_bytes
from sweep.training.out_of_memory import MEMORY_SAVING_HINT

OFFLINE_NOTE = "the hub is not reached: by model.architecture, with tokens of a tokenizer made from the rows"
"""First line of a forecast without the model's own configuration and tokenizer."""
LORA_KEYS = {"unlearning": "train.lora", "fine-tuning": "target.lora"}
"""Keys that have a stage train adapters, by stage."""
CUDA_OVERHEAD_BYTES = 1e9
"""Bytes of a card that CUDA and its libraries are assumed to take for a process."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Memory, time and disk that a sweep needs.

    Attributes:
        stages: peak memory of each stage in bytes, by part.
        card_bytes: bytes of a card that a trial may use; None if they are not known, or if it has no GPU.
        budget: time and disk.
        machine: this machine's memory beside that of its trials; None where they run elsewhere, or on GPUs.
        hint: what would be quicker; empty where nothing is known.
        is_offline: True if the model could not be had from the hub, so that `model.architecture` stands in for it.
    """

    stages: Mapping[str, StageMemory]
    card_bytes: float | None
    budget: Budget
    machine: MachineShare | None = None
    hint: str = ""
    is_offline: bool = False

    @property
    def peak_bytes(self) -> int:
        """Peak memory of all stages in bytes."""
        return max(stage.total_bytes for stage in self.stages.values())

    @property
    def has_enough_memory(self) -> bool | None:
        """True if a trial fits into its share of a card; None if that is not known."""
        return None if self.card_bytes is None else self.peak_bytes + CUDA_OVERHEAD_BYTES <= self.card_bytes

    def __str__(self) -> str:
        """Format the parts of the memory as a table, then the verdict, time and disk."""
        first = f"{OFFLINE_NOTE}\n" if self.is_offline else ""
        last = f"\nhint: {self.hint}" if self.hint else ""
        return f"{first}{self._memory_table}\nmemory: {self._memory_verdict}\n{self.budget}{last}"

    @property
    def _memory_verdict(self) -> str:
        peak = format_bytes(self.peak_bytes)
        if self.machine is not None:
            return f"{peak}; {self.machine}"
        if self.card_bytes is None:
            return f"{peak}; a trial's share of a card is not known (cluster.gpus, cluster.memory)"
        card = format_bytes(self.card_bytes)
        takes = f"{peak}, and {format_bytes(CUDA_OVERHEAD_BYTES)} for CUDA, of the {card} that a trial has"
        if self.has_enough_memory:
            return f"it fits: {takes}"
        return f"it does not fit: {takes}; {MEMORY_SAVING_HINT}{self._other_remedies}"

    @property
    def _other_remedies(self) -> str:
        """Further ways to take less memory: shards where all weights are trained, adapters where those do not fit."""
        full = [name for name, stage in self.stages.items() if stage.gradients == stage.weights]
        shards = (
            ", as does train.parallel=fsdp on several cluster.processes"
            if {*LORA_KEYS} & {*self.stages} <= {*full}
            else ""
        )
        large = [name for name in full if self.stages[name].total_bytes + CUDA_OVERHEAD_BYTES > (self.card_bytes or 0)]
        return shards + "".join(f"; {LORA_KEYS[name]}.rank=16 has the {name} train adapters alone" for name in large)

    @property
    def _memory_table(self) -> str:
        """The parts of each stage as a table, in one unit."""
        unit, name = (1e9, "GB") if self.peak_bytes >= 1e9 else (1e6, "MB")
        rows = [(part.name, part.name) for part in fields(StageMemory)] + [("together", "total_bytes")]
        lines = [f"{name:<12}" + "".join(f"{stage:>14}" for stage in self.stages)]
        for label, part in rows:
            sizes = [getattr(stage, part) / unit for stage in self.stages.values()]
            lines.append(f"{label:<12}" + "".join(f"{size:>14.2f}" for size in sizes))
        return "\n".join(lines)


def forecast_sweep(config: SweepConfig, dataset: Dataset, artifacts: Artifacts) -> Forecast:
    """Forecast what a sweep needs; this takes seconds, loads no weights and needs no GPU.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    own = cost.load_model_info(config.model, config.target, dataset, config.train.attention)
    rows = cost.encode_sweep_rows(config, dataset)
    stages = memory.measure_stages(config, _deepest_objective(config), own.architecture, rows)
    return Forecast(
        stages=stages,
        card_bytes=_usable_card_bytes(config),
        budget=cost.estimate_budget(config, dataset, artifacts),
        machine=share_machine(config.cluster, max((stage.total_bytes for stage in stages.values()), default=0)),
        hint=hint_precision(config),
        is_offline=own.is_offline,
    )


def _deepest_objective(config: SweepConfig) -> Objective:
    """Return the objective with the highest values of its space, since only a deeper layer takes more memory."""
    drawn = {name: _highest_value(entry) for name, entry in space.build_distributions(config).items()}
    return space.build_objective(config, config.fixed | drawn)


def _highest_value(entry: BaseDistribution) -> Value:
    if isinstance(entry, CategoricalDistribution):
        return max((value for value in entry.choices if isinstance(value, int | float)), default=str(entry.choices[0]))
    assert isinstance(entry, IntDistribution | FloatDistribution)
    return entry.high


def _usable_card_bytes(config: SweepConfig) -> float | None:
    """Return the bytes of a card that a trial may use; None if they are not known, or if it has no GPU."""
    memory_of_one, gpus = config.cluster.memory, config.cluster.gpus
    return None if memory_of_one is None or not gpus else memory_of_one * 1e9 * min(1.0, gpus)
