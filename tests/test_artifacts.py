"""Artifacts: whole or not there, found again, made by one of two."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from toys import config, dataset

from sweep.unlearning.artifacts import address, made, plan, whole


def make(folder: Path, text: str = "weights") -> bool:
    """Make an artifact of one file; whether there was anything to make."""
    with made(folder) as part:
        if part is None:
            return False
        (part / "file").write_text(text)
        return True


def test_address_follows_the_inputs(tmp_path: Path) -> None:
    """The order of the keys does not matter, a value does."""
    assert address(tmp_path, {"a": 1, "b": 2}) == address(tmp_path, {"b": 2, "a": 1})
    assert address(tmp_path, {"a": 1}) != address(tmp_path, {"a": 2})


def test_every_precision_has_its_own(tmp_path: Path) -> None:
    """Target, reference and retain model are trained and computed in it; how a pass is split changes nothing."""
    found = [
        plan(config(tmp_path, train=train, eval={"every": 1, "suite": "full"}), dataset())
        for train in ({}, {"precision": "master"}, {"precision": "kahan"}, {"tokens": 100, "checkpointing": True})
    ]
    for name in ("target", "reference", "retain_model"):
        folders = [getattr(artifacts, name) for artifacts in found]
        assert len(set(folders)) == 3 and folders[3] == folders[0]


def test_made_once(tmp_path: Path) -> None:
    """The second maker finds it whole and is given nothing to do."""
    assert make(tmp_path / "x")
    assert whole(tmp_path / "x")
    assert not make(tmp_path / "x")


@pytest.mark.parametrize("damage", ["weightz", "weight", ""])
def test_damage_is_found_and_mended(tmp_path: Path, damage: str) -> None:
    """A flipped, truncated or empty file is no whole artifact, and is made again."""
    make(tmp_path / "x")
    (tmp_path / "x" / "file").write_text(damage)
    assert not whole(tmp_path / "x")
    assert make(tmp_path / "x")
    assert (tmp_path / "x" / "file").read_text() == "weights"


def test_a_maker_that_fails_leaves_no_artifact(tmp_path: Path) -> None:
    """Half a folder never gets the artifact's name."""
    with pytest.raises(RuntimeError), made(tmp_path / "x") as part:
        assert part is not None
        (part / "file").write_text("half")
        raise RuntimeError
    assert not (tmp_path / "x").exists()
    assert make(tmp_path / "x")


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    """Both start together; one makes it, the other waits and finds it made."""
    barrier = Barrier(2)

    def both(_: int) -> bool:
        barrier.wait()
        return make(tmp_path / "x")

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(both, range(2))) == [False, True]
