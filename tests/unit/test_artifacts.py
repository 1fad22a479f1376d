"""Artifacts: whole or not there, found again, made by one of two."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from eval.rows.types import DataError
from support.toys import config, dataset
from sweep.errors import ConfigError
from sweep.plan.hub_commits import adopt_commits, hash_local_models, pin_commits
from sweep.prepare import digests
from sweep.prepare.artifacts import (
    MANIFEST_FILE,
    METRICS_FILE,
    Artifacts,
    content_address,
    is_intact,
    locate_artifacts,
    make_once,
)


def make(folder: Path, text: str = "weights") -> bool:
    """Make an artifact of one file; whether there was anything to make."""
    with make_once(folder) as part:
        if part is None:
            return False
        (part / "file").write_text(text)
        return True


def test_address_follows_the_inputs(tmp_path: Path) -> None:
    """The order of the keys does not matter, a value does."""
    assert content_address(tmp_path, {"a": 1, "b": 2}) == content_address(tmp_path, {"b": 2, "a": 1})
    assert content_address(tmp_path, {"a": 1}) != content_address(tmp_path, {"a": 2})


def test_every_precision_has_its_own(tmp_path: Path) -> None:
    """Target, reference and retain model are trained and computed in it; how a pass is split changes nothing."""
    found = [
        locate_artifacts(config(tmp_path, train=train, eval={"every": 1, "suite": "full"}), dataset())
        for train in ({}, {"precision": "master"}, {"precision": "kahan"}, {"tokens": 100, "checkpointing": True})
    ]
    for name in ("target", "reference", "retain_model"):
        folders = [getattr(artifacts, name) for artifacts in found]
        assert len(set(folders)) == 3 and folders[3] == folders[0]


def test_made_once(tmp_path: Path) -> None:
    """The second maker finds it whole and is given nothing to do."""
    assert make(tmp_path / "x")
    assert is_intact(tmp_path / "x")
    assert not make(tmp_path / "x")


@pytest.mark.parametrize("damage", ["weightz", "weight", ""])
def test_damage_is_found_and_mended(tmp_path: Path, damage: str) -> None:
    """A flipped, truncated or empty file is no whole artifact, and is made again."""
    make(tmp_path / "x")
    (tmp_path / "x" / "file").write_text(damage)
    assert not is_intact(tmp_path / "x")
    assert make(tmp_path / "x")
    assert (tmp_path / "x" / "file").read_text() == "weights"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"null", b'{"file": "0"}', b"\xff\xfe", None], ids=repr)
def test_a_damaged_manifest_is_a_damaged_artifact(tmp_path: Path, damage: bytes | None) -> None:
    """Empty, cut, another kind of JSON, wrong, no text, gone: the artifact is made again."""
    make(tmp_path / "x")
    manifest = tmp_path / "x" / MANIFEST_FILE
    manifest.unlink() if damage is None else manifest.write_bytes(damage)
    assert not is_intact(tmp_path / "x")
    assert make(tmp_path / "x") and is_intact(tmp_path / "x")


@pytest.mark.parametrize("damage", ["unlink", "flip", "truncate", "add"])
@pytest.mark.parametrize("file", ["weights", "deep/tokenizer", MANIFEST_FILE])
def test_every_file_is_looked_at(tmp_path: Path, file: str, damage: str) -> None:
    """A file that is gone, has another bit, lacks its end, or was not there: the artifact is not whole."""
    with make_once(tmp_path / "x") as part:
        assert part is not None
        (part / "deep").mkdir()
        for name in ("weights", "deep/tokenizer"):
            (part / name).write_bytes(b"0123456789")
    path = tmp_path / "x" / file
    harm(path, damage)
    assert not is_intact(tmp_path / "x")


def harm(path: Path, damage: str) -> None:
    """Damage a file, or add one beside it."""
    content = path.read_bytes()
    match damage:
        case "unlink":
            path.unlink()
        case "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "truncate":
            path.write_bytes(content[:-1])
        case _:
            path.with_name("other").touch()


def test_a_worker_takes_nothing_that_is_damaged(tmp_path: Path) -> None:
    """What was whole is damaged before a trial loads it: one sentence, and the next launch knows what is missing."""
    artifacts = Artifacts(target=tmp_path / "a", reference=tmp_path / "b", retain_model=None, url=None)
    make(artifacts.target)
    make(artifacts.reference, json.dumps({"forget/es": 1.0}))
    artifacts.fetch()
    harm(artifacts.reference / "file", "flip")
    with pytest.raises(DataError, match=r"^the reference in .*/b was damaged or removed: --resume makes it again\.$"):
        artifacts.fetch()
    assert artifacts.missing_names == ["reference"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.lock", "b", "b.lock"]


def test_the_report_stands_metrics_that_cannot_be_read(tmp_path: Path) -> None:
    """They are as if they were not made yet."""
    artifacts = Artifacts(target=tmp_path / "a", reference=tmp_path / "b", retain_model=None, url=None)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / METRICS_FILE).write_bytes(b'{"forget/es": 0.5}')
    assert artifacts.reference_metrics == {"forget/es": 0.5}
    (tmp_path / "b" / METRICS_FILE).write_bytes(b"\xff{")
    assert artifacts.reference_metrics == {}


def test_a_maker_that_fails_leaves_no_artifact(tmp_path: Path) -> None:
    """Half a folder never gets the artifact's name, and is gone."""
    with pytest.raises(RuntimeError), make_once(tmp_path / "x") as part:
        assert part is not None
        (part / "file").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]
    assert make(tmp_path / "x")


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    """Both start together; one makes it, the other waits and finds it made."""
    barrier = Barrier(2)

    def both(_: int) -> bool:
        barrier.wait()
        return make(tmp_path / "x")

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(both, range(2))) == [False, True]


def model_folder(folder: Path, **texts: str) -> Path:
    """A folder with the files of a model; the name of each without its ending is the key."""
    files = {"config": "{}", "weights": "abc", "note": "x"} | texts
    folder.mkdir(parents=True, exist_ok=True)
    for name, ending in (("config", "json"), ("weights", "safetensors"), ("note", "md")):
        (folder / f"{name}.{ending}").write_text(files[name])
    return folder


def places(storage: Path, path: Path, block: str = "model") -> tuple[Path, Path]:
    """Target and reference of the toy sweep on a model, or a target, in a folder."""
    sweep = config(storage)
    own = getattr(sweep, block).model_copy(update={"path": str(path)})
    found = locate_artifacts(sweep.model_copy(update={block: own}), dataset())
    return found.target, found.reference


@pytest.mark.parametrize("block", ["model", "target"])
def test_a_model_in_a_folder_counts_by_its_content(tmp_path: Path, block: str) -> None:
    """Another weight or another configuration is another model; another folder or a file that is not read is none."""
    storage, first = tmp_path / "runs", model_folder(tmp_path / "a")
    found = places(storage, first, block)
    assert places(storage, model_folder(tmp_path / "b"), block) == found
    assert places(storage, model_folder(first, note="y"), block) == found
    seen = [found]
    for change in ({"weights": "abd"}, {"config": "[]"}, {"config": "{ }"}):
        changed = places(storage, model_folder(first, **change), block)
        assert all(one != other for earlier in seen for one, other in zip(changed, earlier, strict=True))
        seen.append(changed)
    assert places(storage, model_folder(first), block) == found
    (first / "tokenizer.json").write_text("{}")
    assert places(storage, first, block) not in seen


def test_a_model_on_the_hub_counts_by_its_commit(tmp_path: Path) -> None:
    """It is not read for its address."""
    sweep = config(tmp_path)
    models = [sweep.model.model_copy(update={"path": "some/model", "revision": commit}) for commit in ("1", "1", "2")]
    first, same, other = (locate_artifacts(sweep.model_copy(update={"model": m}), dataset()).target for m in models)
    assert first == same != other


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest lies beside the artifacts, also for another process, until its size or one of its times changes."""
    read: list[str] = []

    def read_once_more(path: Path) -> str:
        read.append(path.name)
        return path.read_text()

    monkeypatch.setattr(digests, "hash_file", read_once_more)
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**18))
    folder, store = model_folder(tmp_path / "a"), tmp_path / "artifacts"
    store.mkdir()

    def digest() -> str:
        monkeypatch.setattr(digests, "_known", {})
        return digests.digest_model(folder, store)

    first = digest()
    assert digest() == first and sorted(read) == ["config.json", "weights.safetensors"]
    os.utime(folder / "weights.safetensors", ns=(0, 0))
    assert digest() == first and read[2:] == ["weights.safetensors"]
    (store / digests.DIGESTS_FILE).write_text("{")
    assert digest() == first and len(read) == 5


def test_a_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    """It may change once more at the same time of its clock; without artifacts nothing is written."""
    folder, store = model_folder(tmp_path / "a"), tmp_path / "artifacts"
    first = digests.digest_model(folder, store)
    model_folder(folder, weights="abd")
    assert digests.digest_model(folder, store) != first
    assert not store.exists()


def test_a_model_that_changed_since_the_sweep_began_is_refused(tmp_path: Path) -> None:
    """A plan pins the content of a local model as its revision; a stored sweep, and one resumed, ask for it."""
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"one")
    own = config(tmp_path)
    own = own.model_copy(update={"target": own.target.model_copy(update={"path": str(folder)})})
    pinned = pin_commits(own)
    assert hash_local_models(pinned) == {"target": pinned.target.revision}
    assert adopt_commits(own, pinned) == pinned
    weights.write_bytes(b"two")
    with pytest.raises(ConfigError, match=r"holds another model than target\.revision = '[0-9a-f]{16}', with which"):
        hash_local_models(pinned)
