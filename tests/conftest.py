"""Settings of the whole test run, and the fixtures that tests of several files share.

Tests of the unit tier may run side by side in any order. What starts servers or a cluster is shared: the tests that use
it form a group, which one worker of pytest-xdist runs.
"""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from support import targets
from support.waiting import SCALE, TIER_TIMEOUTS_S

# Toys are too small for two threads, which only wait for one another when the machine is busy.
torch.set_num_threads(1)

# What a check says of a change is about the change, not about luck; RANDOM=1 looks where nobody has looked yet.
settings.register_profile("same", derandomize="RANDOM" not in os.environ, deadline=None)
settings.load_profile("same")

FOREIGN = ("AWS_", "HF_", "HYDRA_", "MLFLOW_", "OPTUNA_", "PG", "RAY_", "SWEEP_", "TOY_", "TRANSFORMERS_")
"""How the variables begin that would change what a command does."""
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
        "RAY_worker_niceness": "0",  # Ray's workers would wait for everybody else on a machine that is shared
    }


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test the time limit of its tier and its group; what takes longest begins first."""
    for item in items:
        tier = item.path.parent.name
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SCALE * TIER_TIMEOUTS_S.get(tier, TIER_TIMEOUTS_S["e2e"])))
        groups = [SHARED[name] for name in getattr(item, "fixturenames", ()) if name in SHARED]
        item.add_marker(pytest.mark.xdist_group(groups[0] if groups else item.path.stem))
    tiers = [*reversed(TIER_TIMEOUTS_S)]
    items.sort(key=lambda item: tiers.index(item.path.parent.name))


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of the tests' own, where Ray keeps its token and libraries their caches."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> targets.Prepared:
    """Gives the toy sweep in a precision, its target trained by the first worker of the session that asks for it."""
    own = tmp_path_factory.getbasetemp()
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return partial(targets.prepared, session / "prepared")
