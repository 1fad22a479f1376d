"""Forecast the memory of a card, the hours and the disk that a sweep needs, before anything is started.

python -m sweep.launch configs/wtnpo.yaml model=phi-1.5 data=tofu-forget10 cluster=a100 --dry-run
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from eval.rows.types import Dataset
from objectives._base import Objective
from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.prepare import cost, memory
from sweep.prepare.artifacts import Artifacts
from sweep.prepare.budget import Budget
from sweep.prepare.cost import Speed
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

    @property
    def lines(self) -> list[str]:
        """Memory, time and disk, a line each, then what has to be known of them."""
        known = [f"note: {OFFLINE_NOTE}" if self.is_offline else "", f"hint: {self.hint}" if self.hint else ""]
        needs = [
            f"memory: {self._memory_verdict} (most in {self._heaviest_part})",
            f"time: {self.budget.time_text}",
            f"disk: {self.budget.disk_text}",
        ]
        return [*needs, *filter(None, known)]

    @property
    def _heaviest_part(self) -> str:
        """The stage and the part that take most."""
        name, stage = max(self.stages.items(), key=lambda item: item[1].total_bytes)
        part, size = max(vars(stage).items(), key=lambda item: item[1])
        return f"{name}: {part} {format_bytes(size)}"

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


def time_sweep(config: SweepConfig, dataset: Dataset, share: MachineShare | None) -> Speed | None:
    """Time steps of the sweep's model on this machine, which takes seconds.

    Args:
        config: the sweep.
        dataset: its rows.
        share: this machine's memory beside that of the trials; None where they run elsewhere or on GPUs.

    Returns:
        Its speed; None where the trials run elsewhere or on GPUs, do not fit, or have a model too large to try.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    if share is None or not share.n_fitting:
        return None
    from sweep.prepare.speed import measure_speed

    own = cost.load_model_info(config.model, config.target, dataset, config.train.attention)
    rows, n_at_once = cost.encode_sweep_rows(config, dataset), min(share.n_at_once, share.n_fitting)
    return measure_speed(config, _deepest_objective(config), own, rows, n_at_once)


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
