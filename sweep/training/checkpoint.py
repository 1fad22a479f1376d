"""Checkpoints of a training that takes long: after a kill or the loss of its node it goes on, to the bit.

A checkpoint is a folder. Its manifest names the step and the files with their checksums, and is replaced last: at any
moment the folder holds the last whole checkpoint, or none. The place in the stream of batches is the number of steps,
since the stream of a seed is always the same. In several processes each writes its shards, or process 0 the whole
model; all of them load the same checkpoint or none.
"""

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from transformers import PreTrainedModel

from sweep.atomic_io import atomic_write
from sweep.training.distributed import (
    gather_objects,
    local_tensor,
    rank,
    shared_clock,
    world_size,
    wrap_shard,
)

MANIFEST_FILE = "manifest.json"
MAX_WRITING_SHARE = 0.1
"""Share of the time that writing may take: checkpoints that take longer to write are written less often."""

State = dict[str, Any]
"""Tensors, numbers, texts and None, in lists, tuples and dicts: all that `torch.load` reads without running code."""


class Checkpoint:
    """Checkpoint of one training, which is read here once and replaced every few minutes while the training runs.

    Attributes:
        n_steps: number of steps that were done when it was written; 0 if there was none that fits.
        notes: the caller's own state at that step; empty if there was none.
        collect_notes: returns the caller's own state, to be written.
    """

    def __init__(
        self, folder: Path | None, inputs: Mapping[str, object], minutes: float | None, model: PreTrainedModel
    ) -> None:
        """Read the checkpoint, if it is whole and was written for the same inputs by as many processes.

        Args:
            folder: place of this training's checkpoint; no other training uses it.
            inputs: all that the training depends on.
            minutes: time from the start, or from the last checkpoint, after which one is written; if this or the folder
                is None, nothing is read or written.
            model: the model that is trained.
        """
        self._folder = None if minutes is None else folder
        own = {"processes": world_size(), "is_sharded": isinstance(model, FSDPModule), "torch": torch.__version__}
        self._inputs = hashlib.sha256(json.dumps({**inputs, **own}, sort_keys=True, default=str).encode()).hexdigest()
        self._shard = rank() if isinstance(model, FSDPModule) else 0
        self._interval_s = math.inf if minutes is None else 60 * minutes
        self._next_write = shared_clock() + self._interval_s
        self._state = self._read()
        self.n_steps: int = self._state.get("n_steps", 0)
        self.notes: State = self._state.get("notes", {})
        self.collect_notes: Callable[[], State] = dict

    def restore(self, model: PreTrainedModel, optimizer: Optimizer) -> int:
        """Set trained weights and optimizer to the checkpoint's, if there is one; return its number of steps."""
        if self.n_steps:
            _restore_weights(model, self._state["weights"])
            _restore_optimizer(optimizer, self._state["optimizer"])
        self._state = {}
        return self.n_steps

    def write_when_due(self, model: PreTrainedModel, optimizer: Optimizer, n_steps: int, at: float) -> None:
        """Write the state after `n_steps` steps if it is time; the `shared_clock` showed `at` in the last of them.

        Where the disk has no room, the last checkpoint stays, and the training goes on.
        """
        if self._folder is None or at < self._next_write:
            return
        began = shared_clock()
        written = gather_objects(self._write_shard(self._folder, model, optimizer, n_steps))
        if rank() == 0:
            self._commit(self._folder, n_steps, {name: digest for own in written for name, digest in own.items()})
        now = shared_clock()
        self._next_write = now + max(self._interval_s, (now - began) / MAX_WRITING_SHARE)

    def remove(self) -> None:
        """Remove the checkpoint, because the work is done."""
        if self._folder is not None and rank() == 0:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> State:
        """Return the state for this process; empty unless every process finds its own."""
        own = {} if self._folder is None else self._read_shard(self._folder)
        return own if all(gather_objects(bool(own))) else {}

    def _read_shard(self, folder: Path) -> State:
        """Return the state that this process reads; empty if it is missing, damaged, or of another training."""
        try:
            manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
            file = folder / self._name_file(manifest["n_steps"])
            if manifest["inputs"] != self._inputs or manifest["files"][file.name] != _hash_file(file):
                return {}
            state: State = torch.load(file, "cpu", weights_only=True, mmap=True)
            return state
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write_shard(self, folder: Path, model: PreTrainedModel, optimizer: Optimizer, n_steps: int) -> dict[str, str]:
        """Write the state of this process, where it holds some of its own; return the file's checksum by its name."""
        if self._shard != rank():
            return {}
        file, own = folder / self._name_file(n_steps), optimizer.state_dict()
        own["state"] = {i: {k: _as_stored(v) for k, v in of.items()} for i, of in own["state"].items()}
        weights = {name: _as_stored(weight) for name, weight in _trained_weights(model).items()}
        state = {"n_steps": n_steps, "notes": self.collect_notes(), "weights": weights, "optimizer": own}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as out:
                torch.save(state, out)
            return {file.name: _hash_file(file)}
        except OSError as error:
            print(f"warning: no checkpoint could be written: {error}", file=sys.stderr, flush=True)
            return {file.name: ""}

    def _commit(self, folder: Path, n_steps: int, files: Mapping[str, str]) -> None:
        """Name the written files in the manifest if all are whole, and remove those of the other checkpoint."""
        others = {path.name for path in folder.glob("*.pt")} - files.keys()
        if all(files.values()):
            manifest = {"inputs": self._inputs, "n_steps": n_steps, "files": files}
            atomic_write(folder / MANIFEST_FILE, json.dumps(manifest))
        for name in others if all(files.values()) else files:
            (folder / name).unlink(missing_ok=True)

    def _name_file(self, n_steps: int) -> str:
        return f"{n_steps}-{self._shard}.pt"


def _trained_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _as_stored(value: Any) -> Any:
    """Return what this process holds of a tensor, with a storage of just its size; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    own = local_tensor(value.detach())
    return own if own.untyped_storage().nbytes() == own.nbytes else own.clone()


@torch.no_grad()
def _restore_weights(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    for name, weight in _trained_weights(model).items():
        local_tensor(weight).copy_(weights[name])


def _restore_optimizer(optimizer: Optimizer, state: State) -> None:
    """Load the optimizer's state as copies on the device: what was read is mapped to the file."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def copy_value(value: Any, parameter: Tensor) -> Any:
        if not isinstance(value, Tensor):
            return value
        own = value.to(parameter.device, copy=True)
        return wrap_shard(own, parameter) if own.dim() else own  # a counter of steps is never sharded

    values = {i: {k: copy_value(v, parameters[i]) for k, v in own.items()} for i, own in state["state"].items()}
    optimizer.load_state_dict({"state": values, "param_groups": state["param_groups"]})


def _hash_file(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
