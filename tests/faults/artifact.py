"""Damage artifacts, leave them half-written, remove them, or make them twice at once: found, remade, never used.

PYTHONPATH=tests python -m faults.artifact
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, RESUME, SWEEP, Outcome, over, show, start, trials, whole
from sweep.prepare.artifacts import MANIFEST_FILE, METRICS_FILE, ROWS_FILE
from sweep.prepare.artifacts import is_intact as sound
from sweep.training.reference import REFERENCE_FILE

KINDS = ("model.safetensors", "tokenizer.json", "config.json", ROWS_FILE, REFERENCE_FILE, METRICS_FILE, MANIFEST_FILE)
"""Files of the target and of the reference."""
MORE = ("search.trials=1", "search.race=0", "seeds=0", "save=none")
"""Overrides of a sweep whose one trial shows that an artifact is the same as before."""


def truncated(path: Path) -> None:
    """Cut off the second half of the file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """Flip one bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    """Empty the file."""
    path.write_bytes(b"")


def gone(path: Path) -> None:
    """Remove the file."""
    path.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {one.__name__: one for one in (truncated, flipped, empty, gone)}


def folders(here: Path) -> list[Path]:
    """Return the folders of the artifacts, and check that none is unfinished."""
    found = [path for path in (here / "runs" / ".artifacts").iterdir() if path.is_dir()]
    assert all(path.suffix == "" for path in found), found
    return found


def run(here: Path, name: str, *words: str) -> str:
    """Run a sweep of one trial, and return its output."""
    command = start(here, *SWEEP[:-1], name, *MORE, *words)
    assert command.end() == 0, command.said()
    return command.said()


def harmed(here: Path, kinds: tuple[str, ...] = KINDS, damages: tuple[str, ...] = tuple(DAMAGES)) -> int:
    """Damage each kind of file in each way, alone and all together; the next sweep must have the same trials."""
    run(here, "first")
    expected = trials(here, "first")
    for number, damage in enumerate(damages):
        files = [next(path for folder in folders(here) if (path := folder / kind).exists()) for kind in kinds]
        for path in files:
            check_found(path, DAMAGES[damage])
        for path in files:
            DAMAGES[damage](path)
        said = run(here, f"again-{number}")
        assert "prepared target" in said and "prepared reference" in said, said
        assert all(sound(folder) for folder in folders(here))
        assert trials(here, f"again-{number}") == expected
    return len(kinds) * len(damages)


def check_found(path: Path, damage: Callable[[Path], None]) -> None:
    """Check that damage to this file alone is detected, and restore the file."""
    content = path.read_bytes()
    damage(path)
    assert not sound(path.parent), (path, damage)
    path.write_bytes(content)
    assert sound(path.parent)


def half_written(here: Path) -> None:
    """Kill the driver while it prepares; despite a lock and half a folder the next launch must be whole."""
    command = start(here, *SWEEP)
    command.wait_for(f"sweep {NAME}\n")
    parts = here / "runs" / ".artifacts"
    while not list(parts.glob("*.part")) and not command.over:
        pass
    command.signal(signal.SIGKILL)
    command.end()
    for lock in parts.glob("*.lock"):  # a preparer that outlived the driver may have gone on and cleaned up
        lock.with_suffix(".part").mkdir(exist_ok=True)
        (lock.with_suffix(".part") / "model.safetensors").write_bytes(b"half")
        lock.with_suffix("").mkdir(exist_ok=True)
        (lock.with_suffix("") / MANIFEST_FILE).write_text(json.dumps({"model.safetensors": "0"}))
    again = start(here, *SWEEP)
    assert again.end() == 0, again.said()
    whole(here)


def two_at_once(here: Path, kill: bool) -> None:
    """Let two launches prepare the same artifacts: made once, or by the other launch if one is killed meanwhile."""
    words = SWEEP[:-1]
    first, second = start(here, *words, "first", *MORE), start(here, *words, "second", *MORE)
    for command, name in ((first, "first"), (second, "second")):
        command.wait_for(f"sweep {name}\n")
    if kill:
        while not list((here / "runs" / ".artifacts").glob("*.part")):
            pass
        first.signal(signal.SIGKILL)
        first.end()
    else:
        assert first.end() == 0, first.said()
    assert second.end() == 0, second.said()
    assert len(folders(here)) == 2
    if not kill:
        assert first.said().count("prepared target") + second.said().count("prepared target") == 1
        assert trials(here, "first") == trials(here, "second")


def damaged_meanwhile(here: Path, damage: Callable[[Path], None]) -> None:
    """Damage the target before a worker loads it: it must not be used, and --resume must remake it."""
    command = start(here, *SWEEP, *MORE)
    command.wait_for("prepared reference")
    (target,) = [folder for folder in folders(here) if (folder / ROWS_FILE).exists()]
    damage(target / "model.safetensors")
    code, said = command.end(), command.said()
    assert code == 1 and "was damaged or removed: --resume makes it again" in said, said
    before = over(here)
    again = start(here, *RESUME)
    assert again.end() == 0, again.said()
    assert "prepared target" in again.said(), again.said()
    whole(here, before=before)


def removed(here: Path) -> None:
    """Remove all artifacts after the first trial; the worker, which has them in memory, must go on."""
    command = start(here, *SWEEP)
    command.wait_for("search 0 ")
    shutil.rmtree(here / "runs" / ".artifacts")
    assert command.end() == 0, command.said()
    whole(here)


def faults() -> Iterator[Outcome]:
    """Inject each fault once, but damage every kind of file."""
    again = "found by its checksum, made again; trials.csv the same, byte for byte"
    with TemporaryDirectory(prefix="faults-") as folder:
        yield Outcome(fault="a damaged file of an artifact", times=harmed(Path(folder)), held=again, lost="nothing")
    with TemporaryDirectory(prefix="faults-") as folder:
        half_written(Path(folder))
    yield Outcome(fault="a half-written artifact and a lock", times=1, held="made anew; whole", lost="nothing")
    for kill, fault in ((False, "two launches prepare the same"), (True, "and one of them is killed")):
        with TemporaryDirectory(prefix="faults-") as folder:
            two_at_once(Path(folder), kill)
        yield Outcome(fault=fault, times=1, held="made once; the other went on", lost="nothing")
    with TemporaryDirectory(prefix="faults-") as folder:
        damaged_meanwhile(Path(folder), flipped)
    held = "no trial used it, exit code 1, one sentence; whole after --resume"
    yield Outcome(fault="the target is damaged before the trials", times=1, held=held, lost="nothing")
    with TemporaryDirectory(prefix="faults-") as folder:
        removed(Path(folder))
    yield Outcome(fault="all artifacts are removed after the first trial", times=1, held="whole", lost="nothing")


if __name__ == "__main__":
    show(faults())
