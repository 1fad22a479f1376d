"""Artifact folders, addressed by the hash of their inputs: checksummed, renamed into place, locked against two writers.

If the configuration names a URL for artifacts, a node's folder is a copy of the one at the URL.

Checksums are compared over every byte, when a sweep is planned and by each worker before it loads an artifact. That
takes about as long as loading does, and a worker that keeps its model between trials does it only once.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from eval.rows.refusals import choose_refusal
from eval.rows.types import DataError, Dataset
from sweep.atomic_io import atomic_write
from sweep.config.model_schema import ModelConfig, RetainModelConfig, TargetConfig
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare import object_store
from sweep.prepare.artifact_list import list_artifact
from sweep.prepare.digests import digest_model, hash_file
from sweep.records import StepProgress

ARTIFACTS_DIR = ".artifacts"
"""Folder of the artifacts, in the storage."""
ROWS_FILE = "rows.json"
TEMPLATE_FILE = "template.json"
RETAIN_VALUES_FILE = "retain.json"
MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.json"
"""The reference's own metrics, in its folder."""
BASE_METRICS_FILE = "base_metrics.json"
"""The same metrics of the model before it was fine-tuned, in the target's folder; empty if that was not done here."""
CHECKPOINT_SUFFIX = ".checkpoint"
"""Suffix of the folder beside an artifact from which its fine-tuning goes on after a kill."""
FORMAT_VERSION = 3
"""Version of the artifacts' format: increased when the same inputs yield another content."""


@dataclass(frozen=True, kw_only=True)
class StageProgress(StepProgress):
    """Progress of a stage of the preparation; defined here, where the driver can import it without transformers.

    Attributes:
        stage: name of the artifact that is made.
    """

    stage: str


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Folders of a sweep's artifacts, addressed by the hash of their inputs.

    Attributes:
        target: the target, its tokenizer and the rows.
        reference: the reference's outputs for the rows.
        retain_model: the model that never saw the forget rows; None if no metric needs it.
        url: location from which nodes without a shared folder copy them; None: the folders are shared.
    """

    target: Path
    reference: Path
    retain_model: Path | None
    url: str | None

    @property
    def missing_names(self) -> list[str]:
        """Names of the artifacts that are yet to be made."""
        return [name for name, folder in self._folders_by_name.items() if not _is_available(folder, self.url)]

    @property
    def reference_metrics(self) -> Mapping[str, float]:
        """The reference's own metrics; empty if it has not been made (yet)."""
        return self._read_metrics(self.reference / METRICS_FILE)

    @property
    def base_metrics(self) -> Mapping[str, float]:
        """The metrics of the model from which the target was fine-tuned; empty if they are not known (yet)."""
        return self._read_metrics(self.target / BASE_METRICS_FILE)

    def _read_metrics(self, file: Path) -> Mapping[str, float]:
        name = file.parent.name
        if self.url is not None and not file.is_file() and object_store.has_artifact(self.url, name):
            return _parse_mapping(object_store.read_text(self.url, name, file.name))
        return _parse_mapping(file.read_text(encoding="utf-8", errors="replace")) if file.is_file() else {}

    def fetch(self) -> None:
        """Bring all artifacts, once they are made, intact into their folders on this node.

        Raises:
            DataError: one was damaged or removed since it was made.
        """
        for name, folder in self._folders_by_name.items():
            if is_intact(folder):  # checked without the lock, so that workers check in parallel
                continue
            with make_once(folder, self.url) as part:
                if part is not None:
                    raise DataError(f"the {name} in {folder} was damaged or removed: --resume makes it again.")

    @property
    def _folders_by_name(self) -> dict[str, Path]:
        folders = {"target": self.target, "reference": self.reference, "retain model": self.retain_model}
        return {name: folder for name, folder in folders.items() if folder is not None}


def content_address(storage: Path, inputs: Mapping[str, object]) -> Path:
    """Return the folder of the artifact that is made from these inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return storage / ARTIFACTS_DIR / hashlib.sha256(text.encode()).hexdigest()[:16]


def is_intact(folder: Path) -> bool:
    """Check that the folder exists and that the checksum of every file is the manifest's."""
    try:
        listed = _parse_mapping((folder / MANIFEST_FILE).read_text(encoding="utf-8", errors="replace"))
        return bool(listed) and listed == _checksum_files(folder)
    except OSError:  # it does not exist, one of its files is being replaced, or the disk cannot be read
        return False


def locate_artifacts(config: SweepConfig, dataset: Dataset) -> Artifacts:
    """Return the folders of the sweep's artifacts, made or not; make nothing.

    A model on the hub counts by its commit, and one in a folder by its content, wherever it lies. The content is read
    here, on the driver when it plans, or known from an earlier time.

    Raises:
        DataError: a file of a local model cannot be read.
    """
    store = config.storage / ARTIFACTS_DIR
    inputs: dict[str, object] = {
        "format": FORMAT_VERSION,
        "rows": dataset.digest,
        "model": _describe_model(config.model, store),
        "target": _describe_model(config.target, store),
        "precision": config.train.precision,
    }
    target = content_address(config.storage, inputs)
    refusals = [choose_refusal(row.question) for row in dataset.forget]
    said = {"target": target.name, "reduction": config.retain.reduction, "refusals": refusals}
    given = {} if config.retain_model.path is None else {"retain_model": _describe_model(config.retain_model, store)}
    retain_model = content_address(config.storage, inputs | {"without": "forget"} | given)
    return Artifacts(
        target=target,
        reference=content_address(config.storage, said),
        retain_model=retain_model if config.eval.suite == "full" else None,
        url=config.artifacts,
    )


def _describe_model(block: ModelConfig | TargetConfig | RetainModelConfig, store: Path) -> dict[str, object]:
    """Return what a model is made from: its configuration, with the content of a folder instead of its path."""
    values = block.model_dump(exclude={"name", "layers", "deepest", "min_es"})
    if block.path is None or not Path(block.path).is_dir():
        return values
    return values | {"path": digest_model(Path(block.path), store), "revision": None}


@contextmanager
def make_once(folder: Path, url: str | None = None, title: str | None = None) -> Iterator[Path | None]:
    """Yield a temporary folder to write into, which becomes `folder` at the end; None if the artifact is there already.

    Args:
        folder: the artifact's.
        url: location that stores artifacts as well: download from there, or upload what it lacks.
        title: what it is, for the list of artifacts in their folder; None: it is not listed.

    Raises:
        ConfigError: the URL cannot be used, or the artifact there is damaged.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        kept = url is not None and object_store.has_artifact(url, folder.name)
        if is_intact(folder):
            yield None
        elif url is not None and kept:
            download_folder(folder, url, folder.name)
            yield None
        else:
            with write_folder(folder) as part:
                yield part
            if title is not None:
                list_artifact(folder, title)
        if url is not None and not kept:
            object_store.upload_artifact(url, folder)


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which gets a manifest of its files and replaces `folder` at the end."""
    with _replace_folder(folder) as part:
        yield part
        (part / MANIFEST_FILE).write_text(json.dumps(_checksum_files(part)), encoding="utf-8")


def download_folder(folder: Path, url: str, name: str) -> None:
    """Replace a folder by the one that has this name at the URL, if its checksums are right.

    Raises:
        ConfigError: the URL cannot be used, or the folder there is damaged.
    """
    with _replace_folder(folder) as part:
        object_store.download_artifact(url, name, part)
        if not is_intact(part):
            raise ConfigError(f"artifacts = {url!r}: {name} is damaged there: remove it, and it is made again.")


def add_text(folder: Path, name: str, text: str) -> None:
    """Write a text into a folder of `write_folder`, and its checksum into the manifest."""
    atomic_write(folder / name, text)
    listed = _parse_mapping((folder / MANIFEST_FILE).read_text(encoding="utf-8", errors="replace"))
    atomic_write(folder / MANIFEST_FILE, json.dumps(listed | {name: hash_file(folder / name)}))


@contextmanager
def _replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which replaces `folder` at the end, and its checkpoint; after an error it is removed."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        shutil.rmtree(folder.with_suffix(CHECKPOINT_SUFFIX), ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _is_available(folder: Path, url: str | None) -> bool:
    """Check that every node can get the artifact."""
    return is_intact(folder) if url is None else object_store.has_artifact(url, folder.name)


def _parse_mapping(text: str) -> dict[str, Any]:
    """Parse JSON text that holds a mapping; return an empty one for anything else."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _checksum_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return {str(path.relative_to(folder)): hash_file(path) for path in files}
