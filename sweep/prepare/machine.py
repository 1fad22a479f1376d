"""Memory and matrix units of this machine, for trials that it runs itself and without a GPU."""

import os
from dataclasses import dataclass
from pathlib import Path

from sweep.config.schema import ClusterConfig, SweepConfig
from sweep.records import format_bytes
from sweep.training.out_of_memory import MEMORY_SAVING_HINT

WORKER_BYTES = 5e8
"""Bytes that Python and its libraries take in a worker, before it loads a model."""
ALLOCATOR_SHARE = 1.2
"""Resident memory of a worker's tensors, as a share of their own bytes: glibc keeps some that is freed for later."""
DRIVER_BYTES = 1e9
"""Bytes that the driver and Ray's own processes are assumed to take."""
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which Linux says how much memory a container may use, in its two versions of control groups."""
CPU_FILE = "/proc/cpuinfo"
"""File in which Linux lists what the processor can do."""
BFLOAT16_SPEEDS = {"amx_bf16": (2.7, 1.8), "avx512_bf16": (1.5, 1.4)}
"""How many times as quick as float32 kahan and master train SmolLM2-135M, by what the CPU has, the quickest first.

`tests/timings/precision.py` measures it.
"""


@dataclass(frozen=True, kw_only=True)
class MachineShare:
    """The memory of this machine and of the trials on it.

    Attributes:
        tensor_bytes: peak bytes of the tensors of one of a trial's processes, as forecast.
        n_processes: processes of a trial.
        n_at_once: trials that run at once, by `cluster`.
        machine_bytes: bytes of the machine's memory.
    """

    tensor_bytes: int
    n_processes: int
    n_at_once: int
    machine_bytes: float

    @property
    def trial_bytes(self) -> float:
        """Resident bytes that a trial is expected to take."""
        return self.n_processes * (ALLOCATOR_SHARE * self.tensor_bytes + WORKER_BYTES)

    @property
    def n_fitting(self) -> int:
        """Number of trials that fit at once; 1 where one is close to the whole machine."""
        fitting = int((self.machine_bytes - DRIVER_BYTES) / self.trial_bytes)
        return max(fitting, int(self.n_processes * self.tensor_bytes <= self.machine_bytes))

    def __str__(self) -> str:
        """Say in one line how many trials fit."""
        each = f"each takes {format_bytes(self.trial_bytes)} of this machine's {format_bytes(self.machine_bytes)}"
        if self.n_fitting >= self.n_at_once:
            return f"{format_trials(self.n_at_once)} at once: {each}"
        if self.n_fitting:
            return f"{format_trials(self.n_fitting)} at once, not {self.n_at_once}: {each}; {MEMORY_SAVING_HINT}"
        return f"a trial does not fit: {each}; {MEMORY_SAVING_HINT}"


def format_trials(n: int) -> str:
    """Format a number of trials."""
    return "1 trial" if n == 1 else f"{n} trials"


def share_machine(cluster: ClusterConfig, tensor_bytes: int) -> MachineShare | None:
    """Return this machine's memory beside that of its trials; None where they run elsewhere, or on GPUs."""
    if cluster.gpus or cluster.address or os.environ.get("RAY_ADDRESS"):
        return None
    fitting_cores = max(1, int((os.cpu_count() or 1) / cluster.cpus))
    return MachineShare(
        tensor_bytes=tensor_bytes,
        n_processes=cluster.processes,
        n_at_once=min(fitting_cores, cluster.concurrency or fitting_cores),
        machine_bytes=count_machine_bytes(),
    )


def count_machine_bytes() -> float:
    """Count the bytes of memory that this machine has, or its container may use."""
    limits = [Path(file).read_text(encoding="ascii").strip() for file in CONTAINER_LIMITS if Path(file).exists()]
    own = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min([own, *(float(limit) for limit in limits if limit.isdigit())])


def hint_precision(config: SweepConfig) -> str:
    """Return a line that says what is quicker on this CPU than float32; empty where nothing is known to be."""
    is_here = share_machine(config.cluster, 0) is not None and config.model.path is not None
    if not is_here or config.train.precision != "float32" or not Path(CPU_FILE).exists():
        return ""
    flags = Path(CPU_FILE).read_text(encoding="utf-8").split()
    for flag, (kahan, master) in BFLOAT16_SPEEDS.items():
        if flag in flags:
            return (
                f"this CPU has {flag}, with which train.precision=kahan was {kahan} times as quick as float32, and"
                f" master {master} times"
            )
    return ""
