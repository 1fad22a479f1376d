"""Runs a task in several processes that know of one another, as Ray Train would start them, without Ray."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import spawn

PROCESSES = 2


def together(task: Callable[[Path], Any], folder: Path) -> list[Any]:
    """What the task, a function of a module, gives in each of two processes on the CPU."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spawn(_one, (task, folder, port), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]


def _one(rank: int, task: Callable[[Path], Any], folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    torch.distributed.init_process_group("gloo")
    torch.save(task(folder), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
