"""Artifacts at a URL, through a real server of the S3 protocol: made once, fetched by nodes that share no folder."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from support.commands import ROOT, SMALL, Command
from support.servers import answers, free_port, running
from support.toys import config, dataset
from sweep.config import ConfigError
from sweep.unlearning import remote
from sweep.unlearning.artifacts import METRICS, made, plan, whole

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an object store that answers."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    folder = tmp_path_factory.mktemp("objects")
    ready = partial(answers, f"http://127.0.0.1:{port}")
    with running(command, folder, ready), pytest.MonkeyPatch.context() as m:
        for key, value in KEYS.items():
            m.setenv(key, value)
        yield f"127.0.0.1:{port}"


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for artifacts that is empty: a folder, or a bucket of its own."""
    if request.param == "file":
        return (tmp_path / "kept").as_uri()
    server = request.getfixturevalue("server")
    options = f"endpoint_override={server}&scheme=http&region=us-east-1"
    bucket = tmp_path.name.replace("_", "-").strip("-").lower()
    FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")[0].create_dir(bucket)
    return f"s3://{bucket}/artifacts?{options}"


def make(folder: Path, url: str, content: str = "weights") -> bool:
    """Make an artifact of two files; whether there was anything to make."""
    with made(folder, url) as part:
        if part is None:
            return False
        (part / "below").mkdir()
        (part / "below" / "file").write_text(content)
        (part / METRICS).write_text(json.dumps({"score": 0.5}))
        return True


def test_one_node_makes_it_and_the_others_fetch_it(tmp_path: Path, url: str) -> None:
    """Two folders stand for the disks of two nodes."""
    assert not remote.holds(url, "hash")
    assert make(tmp_path / "one" / "hash", url)
    assert remote.holds(url, "hash")
    assert not make(tmp_path / "two" / "hash", url)
    assert whole(tmp_path / "two" / "hash")
    assert (tmp_path / "two" / "hash" / "below" / "file").read_text() == "weights"


def test_what_was_made_without_the_url_is_brought_there(tmp_path: Path, url: str) -> None:
    """A sweep without it had made the artifact; nothing is made again."""
    with made(tmp_path / "one" / "hash") as part:
        assert part is not None
        (part / "file").write_text("weights")
    assert not make(tmp_path / "one" / "hash", url)
    assert not make(tmp_path / "two" / "hash", url)
    assert (tmp_path / "two" / "hash" / "file").read_text() == "weights"


def test_half_a_copy_is_none(tmp_path: Path, url: str) -> None:
    """A node that died while it copied has left files, but nothing that names them."""
    make(tmp_path / "one" / "hash", url)
    files, base = FileSystem.from_uri(url)
    files.delete_file(f"{base}/hash/{remote.CURRENT}")
    assert not remote.holds(url, "hash")
    assert make(tmp_path / "two" / "hash", url, "again")
    assert not make(tmp_path / "three" / "hash", url)
    assert (tmp_path / "three" / "hash" / "below" / "file").read_text() == "again"


def test_damage_there_is_told(tmp_path: Path, url: str) -> None:
    """One byte less: no node takes it, and none is left with half a folder."""
    make(tmp_path / "one" / "hash", url)
    files, base = FileSystem.from_uri(url)
    assert remote.text(url, "hash", "below/file") == "weights"
    with files.open_input_stream(f"{base}/hash/{remote.CURRENT}") as stream:
        inside = stream.read().decode()
    with files.open_output_stream(f"{base}/hash/{inside}/below/file") as out:
        out.write(b"weight")
    with pytest.raises(ConfigError, match=r"hash is damaged there: remove it"):
        make(tmp_path / "two" / "hash", url)
    assert not (tmp_path / "two" / "hash").exists()


def test_a_driver_knows_what_workers_made_elsewhere(tmp_path: Path, url: str) -> None:
    """It has no folder of its own: what is missing, and the reference's metrics, come from the URL."""
    workers = plan(config(tmp_path / "one", artifacts=url), dataset())
    driver = plan(config(tmp_path / "two", artifacts=url), dataset())
    assert driver.missing == ["target", "reference"]
    assert driver.metrics == {}
    for folder in (workers.target, workers.reference):
        make(folder, url)
    assert driver.missing == []
    assert driver.metrics == {"score": 0.5}
    driver.fetch()
    assert whole(driver.target) and whole(driver.reference)


@pytest.mark.parametrize("url", ["s3x://bucket/prefix", "no-url", "s3://"])
def test_a_url_that_is_none(tmp_path: Path, url: str) -> None:
    """One sentence that names the key and the value."""
    with pytest.raises(ConfigError, match=rf"artifacts = '{url}' cannot be used: "):
        remote.holds(url, "hash")


def test_a_sweep_on_another_disk_prepares_nothing(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sweep makes target and reference; the second, with a storage of its own, fetches them."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    words = (str(ROOT / "configs" / "wtnpo.yaml"), *SMALL, "seeds=0", f'artifacts="{url}"')
    first = Command(tmp_path, *words, "storage=one", "--name", "first")
    assert first.end() == 0, first.said()
    assert "prepared target" in first.said()
    second = Command(tmp_path, *words, "storage=two", "--name", "second")
    assert second.end() == 0, second.said()
    assert "prepared" not in second.said()
    scores = [(tmp_path / path / "trials.csv").read_text() for path in ("one/first", "two/second")]
    assert len(set(scores)) == 1
