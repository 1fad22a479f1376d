"""Folders addressed by the hash of their inputs: written beside, checksummed, renamed, locked against two writers."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from eval.data import Dataset
from eval.refusals import refusal_of
from sweep.config import SweepConfig

MANIFEST = "manifest.json"
METRICS = "metrics.json"
"""The reference's own metrics, in its folder."""
FORMAT = 1
"""Raised when an artifact's content changes for the same inputs."""


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Folders of what a sweep needs, addressed by the hash of what they are made from.

    Attributes:
        target: the target, its tokenizer and the rows.
        reference: what the reference says of the rows.
        retain_model: the model that never saw the forget rows; None where no metric asks for it.
    """

    target: Path
    reference: Path
    retain_model: Path | None

    @property
    def missing(self) -> list[str]:
        """Which of them are yet to be made."""
        folders = {"target": self.target, "reference": self.reference, "retain model": self.retain_model}
        return [name for name, folder in folders.items() if folder is not None and not whole(folder)]


def address(storage: Path, inputs: Mapping[str, object]) -> Path:
    """The folder for what is made from these inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return storage / ".artifacts" / hashlib.sha256(text.encode()).hexdigest()[:16]


def whole(folder: Path) -> bool:
    """Whether the folder is there and every file's checksum is the manifest's."""
    manifest = folder / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8")) == _checksums(folder)


def plan(config: SweepConfig, dataset: Dataset) -> Artifacts:
    """Where the sweep's artifacts lie or will lie; nothing is made."""
    inputs: dict[str, object] = {
        "format": FORMAT,
        "rows": dataset.digest,
        "model": config.model.model_dump(exclude={"name", "layers", "deepest"}),
        "target": config.target.model_dump(),
        "precision": config.train.precision,
    }
    target = address(config.storage, inputs)
    refusals = [refusal_of(row.question) for row in dataset.forget]
    said = {"target": target.name, "reduction": config.retain.reduction, "refusals": refusals}
    retain_model = address(config.storage, inputs | {"without": "forget"})
    return Artifacts(
        target=target,
        reference=address(config.storage, said),
        retain_model=retain_model if config.eval.suite == "full" else None,
    )


@contextmanager
def made(folder: Path) -> Iterator[Path | None]:
    """Gives a folder beside to write into, which becomes `folder` at the end; None where `folder` is whole already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if whole(folder):
            yield None
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        (part / MANIFEST).write_text(json.dumps(_checksums(part)), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): _checksum(path) for path in files}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
