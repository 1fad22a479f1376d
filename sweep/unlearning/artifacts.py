"""Folders addressed by the hash of their inputs: written beside, checksummed, renamed, locked against two writers.

Where the configuration names a URL for them, a node's folder is a copy of what is kept there.
"""

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
from sweep.config import ConfigError, SweepConfig
from sweep.unlearning import remote

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
        url: where they are kept for nodes that share no folder; None: the folders are shared.
    """

    target: Path
    reference: Path
    retain_model: Path | None
    url: str | None

    @property
    def missing(self) -> list[str]:
        """Which of them are yet to be made."""
        return [name for name, folder in self._folders.items() if not _kept(folder, self.url)]

    @property
    def metrics(self) -> Mapping[str, float]:
        """The reference's own metrics; empty where it is not made (yet)."""
        found: dict[str, float] = {}
        if (file := self.reference / METRICS).is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
        elif self.url is not None and remote.holds(self.url, self.reference.name):
            found = json.loads(remote.text(self.url, self.reference.name, METRICS))
        return found

    def fetch(self) -> None:
        """Have them all in their folders on this node, once they are made."""
        for folder in self._folders.values() if self.url is not None else ():
            with made(folder, self.url) as part:
                assert part is None, "trials begin when everything is made"

    @property
    def _folders(self) -> dict[str, Path]:
        folders = {"target": self.target, "reference": self.reference, "retain model": self.retain_model}
        return {name: folder for name, folder in folders.items() if folder is not None}


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
        url=config.artifacts,
    )


@contextmanager
def made(folder: Path, url: str | None = None) -> Iterator[Path | None]:
    """Gives a folder beside to write into, which becomes `folder` at the end; None where the artifact is there already.

    Args:
        folder: the artifact's.
        url: where artifacts are kept as well; what is there is fetched, and what is not is brought there.

    Raises:
        ConfigError: the URL cannot be used, or what is there is damaged.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        kept = url is not None and remote.holds(url, folder.name)
        if whole(folder):
            yield None
        elif url is not None and kept:
            _fetch(folder, url)
            yield None
        else:
            with _beside(folder) as part:
                yield part
        if url is not None and not kept:
            remote.keep(url, folder)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """An empty folder beside, which gets its manifest and takes the folder's place at the end."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    yield part
    (part / MANIFEST).write_text(json.dumps(_checksums(part)), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _fetch(folder: Path, url: str) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    remote.fetch(url, folder.name, part)
    if not whole(part):
        raise ConfigError(f"artifacts = {url!r}: {folder.name} is damaged there: remove it, and it is made again.")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _kept(folder: Path, url: str | None) -> bool:
    """Whether every node can have the artifact."""
    return whole(folder) if url is None else remote.holds(url, folder.name)


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): _checksum(path) for path in files}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
