"""Artifacts at a URL, in a folder or an object store: made once, fetched by nodes that share no folder."""

import json
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from support.servers import bucket
from support.toys import config, dataset
from sweep.errors import ConfigError
from sweep.prepare import object_store
from sweep.prepare.artifacts import METRICS_FILE, is_intact, locate_artifacts, make_once


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place for artifacts that is empty."""
    return (tmp_path / "kept").as_uri()


@pytest.fixture
def s3(object_store: str, tmp_path: Path) -> str:
    """The same in the object store."""
    return bucket(object_store, tmp_path.name.replace("_", "-").strip("-").lower())


def make(folder: Path, url: str, content: str = "weights") -> bool:
    """Make an artifact of two files; whether there was anything to make."""
    with make_once(folder, url) as part:
        if part is None:
            return False
        (part / "below").mkdir()
        (part / "below" / "file").write_text(content)
        (part / METRICS_FILE).write_text(json.dumps({"score": 0.5}))
        return True


def test_one_node_makes_it_and_the_others_fetch_it(tmp_path: Path, url: str) -> None:
    """Two folders stand for the disks of two nodes."""
    assert not object_store.has_artifact(url, "hash")
    assert make(tmp_path / "one" / "hash", url)
    assert object_store.has_artifact(url, "hash")
    assert not make(tmp_path / "two" / "hash", url)
    assert is_intact(tmp_path / "two" / "hash")
    assert (tmp_path / "two" / "hash" / "below" / "file").read_text() == "weights"


def test_what_was_made_without_the_url_is_brought_there(tmp_path: Path, url: str) -> None:
    """A sweep without it had made the artifact; nothing is made again."""
    with make_once(tmp_path / "one" / "hash") as part:
        assert part is not None
        (part / "file").write_text("weights")
    assert not make(tmp_path / "one" / "hash", url)
    assert not make(tmp_path / "two" / "hash", url)
    assert (tmp_path / "two" / "hash" / "file").read_text() == "weights"


def test_half_a_copy_is_none(tmp_path: Path, url: str) -> None:
    """A node that died while it copied has left files, but nothing that names them."""
    half_a_copy_is_none(tmp_path, url)


def test_half_a_copy_is_none_in_an_object_store(tmp_path: Path, s3: str) -> None:
    """Which has no folders and renames nothing."""
    half_a_copy_is_none(tmp_path, s3)


def half_a_copy_is_none(tmp_path: Path, url: str) -> None:
    """Whoever needs it makes it again, and the next one fetches that."""
    make(tmp_path / "one" / "hash", url)
    files, base = FileSystem.from_uri(url)
    files.delete_file(f"{base}/hash/{object_store.CURRENT_FILE}")
    assert not object_store.has_artifact(url, "hash")
    assert make(tmp_path / "two" / "hash", url, "again")
    assert not make(tmp_path / "three" / "hash", url)
    assert (tmp_path / "three" / "hash" / "below" / "file").read_text() == "again"


def test_damage_there_is_told(tmp_path: Path, url: str) -> None:
    """One byte less: no node takes it, and none is left with half a folder."""
    damage_is_told(tmp_path, url)


def test_damage_in_an_object_store_is_told(tmp_path: Path, s3: str) -> None:
    """In the same words."""
    damage_is_told(tmp_path, s3)


def damage_is_told(tmp_path: Path, url: str) -> None:
    """Where one byte is missing."""
    make(tmp_path / "one" / "hash", url)
    files, base = FileSystem.from_uri(url)
    assert object_store.read_text(url, "hash", "below/file") == "weights"
    with files.open_input_stream(f"{base}/hash/{object_store.CURRENT_FILE}") as stream:
        inside = stream.read().decode()
    with files.open_output_stream(f"{base}/hash/{inside}/below/file") as out:
        out.write(b"weight")
    with pytest.raises(ConfigError, match=r"hash is damaged there: remove it"):
        make(tmp_path / "two" / "hash", url)
    assert not (tmp_path / "two" / "hash").exists()


def test_a_driver_knows_what_workers_made_elsewhere(tmp_path: Path, url: str) -> None:
    """It has no folder of its own: what is missing, and the reference's metrics, come from the URL."""
    workers = locate_artifacts(config(tmp_path / "one", artifacts=url), dataset())
    driver = locate_artifacts(config(tmp_path / "two", artifacts=url), dataset())
    assert driver.missing_names == ["target", "reference"]
    assert driver.reference_metrics == {}
    for folder in (workers.target, workers.reference):
        make(folder, url)
    assert driver.missing_names == []
    assert driver.reference_metrics == {"score": 0.5}
    driver.fetch()
    assert is_intact(driver.target) and is_intact(driver.reference)


@pytest.mark.parametrize("url", ["s3x://bucket/prefix", "no-url", "s3://"])
def test_a_url_that_is_none(tmp_path: Path, url: str) -> None:
    """One sentence that names the key and the value."""
    with pytest.raises(ConfigError, match=rf"artifacts = '{url}' cannot be used: "):
        object_store.has_artifact(url, "hash")
