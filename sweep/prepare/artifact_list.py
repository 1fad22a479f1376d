"""List of the artifacts in their folder, for a person who opens it: what each is, and what may be deleted.

It is for people alone: no artifact depends on it, and it may be deleted too.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from sweep.atomic_io import atomic_write
from sweep.config.schema import SweepConfig
from sweep.config.stored import VERSION

LIST_FILE = "README.txt"
LINE_PATTERN = r"([0-9a-f]{16})  .+"
"""A line of the list: the artifact's folder, then what it is."""
HEADER = f"""What the sweeps of this storage share, made once: each folder is named after the hash of its inputs.
A folder that no running sweep uses may be deleted; the next sweep that needs it makes it again, which may take hours.
HASH.lock: held while HASH is made. HASH.part: half-made, worthless after a crash. digests.json: digests of models.
Made by unlearn-sweep; this file, {LIST_FILE}, is for people alone.

"""


def list_artifact(folder: Path, title: str) -> None:
    """Add an artifact that was just made to the list, and drop those that are gone; of two writers, one waits.

    A list that cannot be written is left as it is: the artifact is there.

    Args:
        folder: the artifact's.
        title: what it is.
    """
    file = folder.parent / LIST_FILE
    with suppress(OSError), FileLock(file.with_suffix(".lock")):
        others = [line for line in _read_lines(file) if line[:16] != folder.name]
        kept = [line for line in others if (folder.parent / line[:16]).is_dir()]
        atomic_write(file, HEADER + "\n".join([*kept, _describe_artifact(folder, title)]) + "\n")


def _read_lines(file: Path) -> list[str]:
    """Read the lines that describe an artifact; none where there is no list."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return [line for line in text.splitlines() if re.fullmatch(LINE_PATTERN, line)]


def _describe_artifact(folder: Path, title: str) -> str:
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{folder.name}  {' '.join(title.split())}; made {made} by version {VERSION}, {n_bytes / 1e6:,.1f} MB"


def describe_target(config: SweepConfig) -> str:
    """Describe the target of a sweep: its model, and the rows on which it was fine-tuned here."""
    model, target = config.model, config.target
    if target.path is not None:
        return f"target, given as {target.path}, for {config.data.name}"
    source = "made from its shape" if model.path is None else model.path
    return f"target: {model.name} ({source}) fine-tuned on the rows of {config.data.name}, {config.train.precision}"


def describe_reference(config: SweepConfig, target: Path) -> str:
    """Describe the outputs of the reference, which were read from this target."""
    return f"reference: outputs of the target {target.name} for the rows of {config.data.name}"


def describe_retain_model(config: SweepConfig) -> str:
    """Describe the retain model of a sweep."""
    given = config.retain_model.path
    source = f"given as {given}" if given else f"{config.model.name} fine-tuned without the forget rows"
    return f"retain model, {source}, for {config.data.name}"
