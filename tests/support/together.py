"""Run a task in several processes of one process group, without Ray."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import spawn

from sweep.training.distributed import host_rendezvous, join_process_group

PROCESSES = 2


def together(task: Callable[[Path], Any], folder: Path) -> list[Any]:
    """Run the task, a module-level function, in each of two processes on the CPU, and return their results by rank."""
    there = host_rendezvous()
    spawn(_one, (task, folder, there.port), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]


def _one(rank: int, task: Callable[[Path], Any], folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    join_process_group(port, rank, PROCESSES)
    torch.save(task(folder), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
