"""A storage that nodes do not share: a real Ray node that has other file systems in the place of some folders."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import rays
from support.commands import ROOT, ToyCommand
from support.servers import free_port
from sweep.cluster import shared_storage
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from support.rays import Slots

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")
MOUNTS = (
    "mount -t tmpfs tmpfs {0}/another",
    "mount --bind {0}/read-only {0}/read-only",
    "mount -o remount,bind,ro {0}/read-only",
)
"""What the node does before it joins, in a folder of storages."""
NOT_SEEN = "must be a folder that all nodes share, but node "


@pytest.fixture(scope="module")
def storages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with one file in each."""
    here = tmp_path_factory.mktemp("storages")
    for name in ("shared", "another", "read-only"):
        (here / name).mkdir()
        (here / name / "there").touch()
    return here


@pytest.fixture(scope="module")
def node(ray_slots: "Slots", storages: Path) -> Iterator[None]:
    """A node that has mounted something of its own on two of the storages."""
    private = ["unshare", "--mount", "sh", "-c", f'{" && ".join(MOUNTS).format(storages)} && exec "$@"', "-"]
    if subprocess.run([*private, "true"], capture_output=True).returncode:  # noqa: S603
        pytest.skip("this user may not mount a file system that only one node sees")
    options = [f"--address={ray_slots.nodes.address}", "--num-cpus=1", f"--dashboard-agent-listen-port={free_port()}"]
    with rays.node(options, rays.environment(**rays.VARIABLES), storages / "node.txt", private):
        yield


def left(storage: Path) -> list[str]:
    """What is in it."""
    return [path.name for path in storage.iterdir()]


def test_a_node_alone_needs_to_share_nothing(ray_slots: "Slots") -> None:
    """The driver's own node is not asked, and nothing is written: nobody could, in /proc."""
    shared_storage.check_storage(Path("/proc/runs"))


def test_a_storage_that_all_share(node: None, storages: Path) -> None:
    """All is well; a folder that is not there yet is not made; no probe is left."""
    shared_storage.check_storage(storages / "shared" / "runs")
    assert left(storages / "shared") == ["there"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("another", "it does not see the files that the driver writes in {}"),
        ("read-only", "it cannot write in {} (Read-only file system)"),
    ],
)
def test_a_storage_that_a_node_does_not_share(node: None, storages: Path, name: str, says: str) -> None:
    """What is wrong is said of the node; no probe is left."""
    with pytest.raises(ConfigError) as caught:
        shared_storage.check_storage(storages / name / "runs")
    assert str(caught.value).startswith(f"storage = '{storages / name / 'runs'}' {NOT_SEEN}")
    assert str(caught.value).endswith(f": {says.format(storages / name)}.")
    assert left(storages / name) == ["there"]


def test_a_sweep_is_refused(node: None, ray_slots: "Slots", storages: Path, tmp_path: Path) -> None:
    """In one sentence, before anything is prepared."""
    words = [WTNPO, f"storage={storages / 'another'}", f"cluster.address={ray_slots.nodes.address}"]
    command = ToyCommand(tmp_path, *words, variables=rays.VARIABLES)
    assert command.end() == 2
    *before, error = command.said().splitlines()
    assert error.startswith(f"error: storage = '{storages / 'another'}' {NOT_SEEN}")
    assert before == ["loading Ray and MLflow", "connecting to Ray"]
    assert left(storages / "another") == ["there"]
