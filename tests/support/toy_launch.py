"""`sweep.launch` with toy trials: the real driver, Ray, study, signals and MLflow, but no torch and nothing to prepare.

PYTHONPATH=.:tests python -m support.toy_launch configs/wtnpo.yaml search.trials=3 seeds=1

Each trial leaves a file in TOY_FOLDER when it begins, so that a test knows the state of the sweep, whatever the load.
The trials from index TOY_HOLD on wait for a file `go` in that folder. TOY_PREPARATION names functions of
`support.workers` that prepare something shared; by default there are none. TOY_RUN names the function that runs a
trial, `held` by default.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.launch import main
from sweep.signals import enable_fast_exit

if TYPE_CHECKING:
    from sweep.prepare.preparers import Preparer


# Modules that import Ray are imported in functions, because the driver must set Ray's variables first.


def _toy_makers(*_: object) -> "Sequence[Preparer]":
    from support import workers

    folder = Path(os.environ.get("TOY_FOLDER", "."))
    names = os.environ.get("TOY_PREPARATION", "").split()
    return [partial(getattr(workers, name), folder) for name in names]


def use_toys() -> None:
    """Make every sweep of this process run toy trials."""
    import sweep.cluster  # noqa: F401 (Ray reads its variables when it is imported)
    from support import workers
    from sweep.export import delivery
    from sweep.prepare import preparers
    from sweep.report import page
    from sweep.trial import runner

    folder, hold = os.environ.get("TOY_FOLDER"), os.environ.get("TOY_HOLD")
    toy_run = getattr(workers, os.environ.get("TOY_RUN", "held"))
    toy = partial(toy_run, None if folder is None else Path(folder), None if hold is None else int(hold))
    vars(runner)["unlearn"] = partial(workers.toy_unlearn, toy)
    vars(preparers)["missing_preparers"] = _toy_makers
    vars(delivery)["choose_trials"] = lambda _: {}  # a toy has no model
    vars(page)["build_vega_script"] = lambda: "no script"  # bundling it takes seconds in each process
    _leave_out_of_ray()


def _leave_out_of_ray() -> None:
    """Start Ray here without its dashboard, its log monitor and its autoscaler, which no toy sweep needs.

    They are three Python processes for each Ray that starts.
    """
    from ray._private import utils
    from ray._private.node import Node

    for start in (Node.start_api_server, Node.start_log_monitor, Node.start_monitor):
        setattr(Node, start.__name__, lambda *_, **__: None)
    vars(utils)["get_dashboard_dependency_error"] = lambda: ImportError("not needed")  # of the agent of each node


if __name__ == "__main__":
    enable_fast_exit()
    use_toys()
    sys.exit(main())
