"""The list of artifacts for a person who opens their folder: one line each, true after a deletion, in nobody's way."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import toys
from sweep.prepare.artifact_list import LIST_FILE, describe_reference, describe_retain_model, describe_target
from sweep.prepare.artifacts import content_address, is_intact, make_once


def make(storage: Path, inputs: int, title: str | None) -> Path:
    """Make an artifact of 1.5 MB."""
    folder = content_address(storage, {"inputs": inputs})
    with make_once(folder, title=title) as part:
        if part is not None:
            (part / "weights").write_bytes(bytes(1_500_000))
    return folder


def lines(folder: Path) -> list[str]:
    """The lines of artifacts, after the text for people."""
    return (folder.parent / LIST_FILE).read_text(encoding="utf-8").partition("\n\n")[2].splitlines()


def test_a_line_says_what_a_folder_is(tmp_path: Path) -> None:
    """Once, with day, version and size, on one line; the checksums know nothing of it."""
    folder = make(tmp_path, 0, "target:\ntoy")
    make(tmp_path, 0, "target: again")
    (line,) = lines(folder)
    assert re.fullmatch(
        rf"{folder.name}  target: toy; made \d{{4}}(-\d\d){{2}} \d\d:\d\d UTC by version .+, 1\.5 MB", line
    )
    assert is_intact(folder)
    (folder.parent / LIST_FILE).unlink()
    assert is_intact(folder)


def test_what_is_deleted_is_no_longer_listed(tmp_path: Path) -> None:
    """At the next artifact; the folder that stays keeps its line."""
    first, second = make(tmp_path, 0, "one"), make(tmp_path, 1, "two")
    for file in first.iterdir():
        file.unlink()
    first.rmdir()
    third = make(tmp_path, 2, "three")
    assert [line[:16] for line in lines(third)] == [second.name, third.name]


def test_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    """Eight artifacts, eight lines."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: make(tmp_path, i, f"number {i}"), range(8)))
    assert sorted(line[:16] for line in lines(made[0])) == sorted(folder.name for folder in made)


def test_a_list_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact is made; a foreign file of that name is no artifact's line."""

    def fail(file: Path, text: str) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("sweep.prepare.artifact_list.atomic_write", fail)
    assert is_intact(make(tmp_path, 0, "target"))
    assert not (tmp_path / ".artifacts" / LIST_FILE).exists()


def test_the_words_for_each_kind(tmp_path: Path) -> None:
    """What it is of, and from what."""
    config = toys.config(tmp_path)
    assert describe_target(config) == "target: toy (made from its shape) fine-tuned on the rows of authors, float32"
    given = config.model_copy(update={"target": config.target.model_copy(update={"path": "/tuned"})})
    assert describe_target(given) == "target, given as /tuned, for authors"
    assert describe_reference(config, Path("/x/abc")) == "reference: outputs of the target abc for the rows of authors"
    assert describe_retain_model(config) == "retain model, toy fine-tuned without the forget rows, for authors"
