"""Settings of the whole test run, and the fixtures that tests of several files share.

Tests of the unit tier may run side by side in any order. What starts servers or a cluster is shared: the tests that use
it form a group, which one worker of pytest-xdist runs.
"""

import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from support import commands, servers
from support.waiting import SCALE, TIER_TIMEOUTS_S, until

if TYPE_CHECKING:
    from alembic.config import Config

    from support import rays
    from support.comparison import Comparison, Launched
    from support.targets import Prepared

# Slow imports are in functions that only the workers of pytest-xdist call: the process that starts them has none.

# What a check says of a change is about the change, not about luck; RANDOM=1 looks where nobody has looked yet.
settings.register_profile("same", derandomize="RANDOM" not in os.environ, deadline=None)
settings.load_profile("same")

FOREIGN = ("AWS_", "HF_", "HYDRA_", "MLFLOW_", "OPTUNA_", "PG", "RAY_", "SWEEP_", "TOY_", "TRANSFORMERS_")
"""How the variables begin that would change what a command does."""
MEMORY = Path("/dev/shm")  # noqa: S108 (folders in it have names that nobody guesses)
"""Where files are in memory."""
SHARED = {"comparison": "servers", "mlflow_server": "servers", "object_store": "servers", "postgres": "servers"} | {
    "ray_slots": "ray"
}
"""The fixtures that are made once, and the group of the tests that use them."""


def pytest_configure(config: pytest.Config) -> None:
    """Forget what the parent of this process happens to be: its signal handlers, its umask, its variables."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
    os.umask(0o022)
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # of a worker for each core most would have nothing to do
        "RAY_worker_niceness": "0",  # Ray's workers would wait for everybody else on a machine that is shared
    }


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test the time limit of its tier and its group; what takes longest begins first."""
    for item in items:
        tier = item.path.parent.name
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SCALE * TIER_TIMEOUTS_S.get(tier, TIER_TIMEOUTS_S["e2e"])))
        groups = [SHARED[name] for name in getattr(item, "fixturenames", ()) if name in SHARED]
        _grouped(item, groups[0] if groups else item.path.stem)
    tiers = [*reversed(TIER_TIMEOUTS_S)]
    items.sort(key=lambda item: tiers.index(item.path.parent.name))


def _grouped(item: pytest.Item, group: str) -> None:
    """Have a worker of pytest-xdist name a test with its group, by which tests are dealt out.

    The mark `xdist_group` is of no use here: pytest-xdist 3.8 adds it to a name that pytest 9.2 keeps elsewhere.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        item._id = item.id.parse(f"{item.nodeid}@{group}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the tests without garbage collections, and leave what they share out of all later ones.

    What is imported stays: a collection of it takes long and finds nothing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish() -> None:
    """Let torch use one thread: toys are too small for two, which only wait for one another on a busy machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of the tests' own, where Ray keeps its token and libraries their caches."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(folder))
        yield folder


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder of the test's own; in the unit tier in memory, since a study waits for the disk at each commit."""
    if request.path.parent.name != "unit" or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < 2**29:
        yield tmp_path
        return
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """What shipped configurations say together is composed once; tests of composing ask for `composed_anew`.

    Their files are read once even then.
    """
    from support import composing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweep.config.compose.compose_yaml", composing.composed)
        for source in composing.SOURCES:
            patch.setattr(source, "load_config", composing.loading_once(source.load_config))
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_once() -> Iterator[None]:
    """How Optuna's and MLflow's tables came about, which each opening of a database reads from files, is read once."""
    from alembic.script import ScriptDirectory

    read, kept = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def once(config: "Config") -> ScriptDirectory:
        place = config.get_main_option("script_location")
        return kept.get(place) or kept.setdefault(place, read(config))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


@pytest.fixture
def composed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each load composes anew, as a command does."""
    from sweep.config import yaml_files

    monkeypatch.setattr("sweep.config.compose.compose_yaml", yaml_files.compose_yaml)


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """No process of a command outlives the tests; those that are ending have a while for it."""
    yield
    with suppress(AssertionError):
        until(lambda: not commands.left_over(), 90 * SCALE)
    assert commands.left_over() == {}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> "Prepared":
    """Gives the toy sweep in a precision, its target trained by the first worker of the session that asks for it."""
    from support import targets

    own = tmp_path_factory.getbasetemp()
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return partial(targets.prepared, session / "prepared")


@pytest.fixture(scope="session")
def ray_slots() -> "Iterator[rays.Slots]":
    """One Ray for the tests that run toy trials as drivers; `support.rays` is imported where it is needed."""
    from support import rays

    with rays.slots() as up:
        yield up


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one PostgreSQL, with a database for MLflow and one for ledgers."""
    with servers.postgres(["mlflow", "ledgers"]) as url:
        yield url


@pytest.fixture
def postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of one PostgreSQL, without the password, which is in the environment."""
    monkeypatch.setenv("PGPASSWORD", servers.PASSWORD)
    return postgres_server


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the MLflow server has its artifacts and its log."""
    return tmp_path_factory.mktemp("mlflow_server")


@pytest.fixture(scope="session")
def mlflow_server(postgres_server: str, mlflow_folder: Path) -> Iterator[str]:
    """The address of one MLflow server, over PostgreSQL."""
    store, password = f"{postgres_server}/mlflow", {"PGPASSWORD": servers.PASSWORD}
    with servers.mlflow(store, mlflow_folder, servers.free_port(), password) as address:
        yield address


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of one object store."""
    with servers.object_store(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def object_store(object_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host and port of one object store, whose keys are in the environment."""
    for key, value in servers.KEYS.items():
        monkeypatch.setenv(key, value)
    return object_server


@pytest.fixture(scope="session")
def comparison(
    postgres_server: str,
    mlflow_server: str,
    mlflow_folder: Path,
    object_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> "Comparison":
    """One finished comparison of two real sweeps, on all the servers; its tests read and change nothing."""
    from support.comparison import Servers, compare

    with pytest.MonkeyPatch.context() as patch:
        for key, value in servers.KEYS.items():
            patch.setenv(key, value)
        artifacts = servers.bucket(object_server, "comparison")
    used = Servers(tracking=mlflow_server, mlflow=mlflow_folder, postgres=postgres_server, artifacts=artifacts)
    return compare(tmp_path_factory.mktemp("comparison"), used)


@pytest.fixture(scope="session")
def run_again(comparison: "Comparison") -> "Launched":
    """The found setting of the comparison's first sweep, run again by the command that its summary has for it."""
    from support.comparison import run_found_again

    return run_found_again(comparison)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without runs, to be copied: making one takes seconds, so that the session makes one."""
    from sweep.tracking.store import open_client

    own = tmp_path_factory.getbasetemp()
    path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mlflow.db"
    open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def mlflow_here(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose mlflow.db, MLflow's default place, has no runs yet."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path
