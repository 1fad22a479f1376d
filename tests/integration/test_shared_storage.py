"""A storage that nodes do not share: real Ray nodes, one of which has another file system in its place."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import rays
from support.commands import ROOT
from support.servers import free_port

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")
CHECK = (
    "import sys, ray; from pathlib import Path; from sweep import nodes\n"
    "ray.init(sys.argv[1], log_to_driver=False, logging_level=40); nodes.check(Path(sys.argv[2]))"
)
"""A driver that does nothing else."""


@pytest.fixture(scope="module")
def head() -> Iterator[rays.Head]:
    """One head for all tests."""
    with rays.head(rays.environment()) as up:
        yield up


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder with one file in it."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "there").touch()
    return tmp_path / "shared"


def joins(head: rays.Head, storage: Path, mount: str) -> list[str]:
    """The command of which `ray start` becomes a node that has mounted something of its own; {} is the storage."""
    private = ["unshare", "--mount", "sh", "-c", f'{mount.format(storage)} && exec "$@"', "-"]
    if mount and subprocess.run([*private, "true"], capture_output=True).returncode:  # noqa: S603
        pytest.skip("this user may not mount a file system that only one node sees")
    return private if mount else []


@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ("", ""),
        ("mount -t tmpfs tmpfs {}", "what the driver writes in {} is not seen there"),
        ("mount --bind {0} {0} && mount -o remount,bind,ro {0}", "it cannot write in {} (Read-only file system)"),
    ],
    ids=["shared", "another", "read-only"],
)
def test_a_storage_is_asked_of_every_node(head: rays.Head, storage: Path, mount: str, says: str) -> None:
    """What is wrong is said of the node; a folder that is not there yet is not made; no probe is left."""
    options = [f"--address={head.address}", "--num-cpus=1", f"--dashboard-agent-listen-port={free_port()}"]
    front = joins(head, storage, mount)
    with rays.node(options, rays.environment(), storage.parent / "node.txt", front):
        command = [sys.executable, "-c", CHECK, head.address, str(storage / "runs")]
        checked = subprocess.run(command, env=rays.environment(), capture_output=True, text=True)  # noqa: S603
        launched = launch(head, storage) if "tmpfs" in mount else None
    assert (checked.returncode == 0) == (says == ""), checked.stderr
    assert says.format(storage) in checked.stderr
    assert [path.name for path in storage.iterdir()] == ["there"]
    if launched is not None:
        assert launched.returncode == 2
        assert launched.stderr.startswith(
            f"error: storage = '{storage}' must be a folder that all nodes share, but node "
        )
        assert "prepared" not in launched.stdout


def launch(head: rays.Head, storage: Path) -> "subprocess.CompletedProcess[str]":
    """A whole sweep on the cluster."""
    command = [sys.executable, "-m", "sweep.launch", WTNPO, f"storage={storage}", f"cluster.address={head.address}"]
    return subprocess.run(command, env=rays.environment(), cwd=storage.parent, capture_output=True, text=True)  # noqa: S603


def test_a_node_alone_needs_to_share_nothing(head: rays.Head) -> None:
    """The driver's own node is not asked, and nothing is written: nobody could, in /proc."""
    command = [sys.executable, "-c", CHECK, head.address, "/proc/runs"]
    checked = subprocess.run(command, env=rays.environment(), capture_output=True, text=True)  # noqa: S603
    assert checked.returncode == 0, checked.stderr
