"""`sweep.launch` with toy trials: the real driver, Ray, study, signals and MLflow, but no torch and nothing to prepare.

PYTHONPATH=.:tests python -m support.toy_launch configs/wtnpo.yaml search.trials=3 seeds=1

With TOY_FOLDER in its environment, and TOY_HOLD, the trials from that index on wait for a file `go` in that folder, in
which each leaves a file when it begins: a test knows where the sweep stands, whatever the load. TOY_PREPARATION names
the functions of `support.workers` that make what the trials share; by default nothing does. TOY_RUN names the one that
runs a trial: `held` by default.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.launch import main
from sweep.signals import exit_at_once

if TYPE_CHECKING:
    from sweep.prepare.preparers import Maker


# Ray is imported where the driver does so, which tells it how first: so is what imports it.


def _toy_makers(*_: object) -> "Sequence[Maker]":
    from support import workers

    folder = Path(os.environ.get("TOY_FOLDER", "."))
    names = os.environ.get("TOY_PREPARATION", "").split()
    return [partial(getattr(workers, name), folder) for name in names]


def use_toys() -> None:
    """Let every sweep of this process run toy trials."""
    from support import workers
    from sweep.trial import runner  # noqa: F401, I001 (first of all)

    folder, hold = os.environ.get("TOY_FOLDER"), os.environ.get("TOY_HOLD")
    toy_run = getattr(workers, os.environ.get("TOY_RUN", "held"))
    toy = partial(toy_run, None if folder is None else Path(folder), None if hold is None else int(hold))
    vars(runner).update(unlearn=partial(workers.toy_unlearn, toy), makers=_toy_makers)
    _leave_out_of_ray()


def _leave_out_of_ray() -> None:
    """Let a Ray that starts here be without its dashboard, its log monitor and its autoscaler, which nobody asks.

    They are four processes of Python, whose start takes longer than a toy sweep.
    """
    from ray._private import utils
    from ray._private.node import Node

    for start in (Node.start_api_server, Node.start_log_monitor, Node.start_monitor):
        setattr(Node, start.__name__, lambda *_, **__: None)
    vars(utils)["get_dashboard_dependency_error"] = lambda: ImportError("not needed")  # of the agent of each node


if __name__ == "__main__":
    exit_at_once()
    use_toys()
    sys.exit(main())
