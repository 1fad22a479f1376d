"""Import and make all that a driver needs, for `support.forks`; importing this module does it."""

import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

MODULES = ("sweep.plan.launch_plan", "sweep.run", "sweep.outputs", "sweep.report.write_report", "support.toy_launch")
"""Modules in the order of a driver's imports: the first import of `sweep.cluster` sets Ray's variables."""


def _set() -> dict[str, str]:
    """Import the modules, and return the variables that they set."""
    before = dict(os.environ)
    for name in (*MODULES, "support.workers"):
        import_module(name)
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def _open_databases() -> None:
    """Make a study and an MLflow database, and drop them, because the first of each triggers many imports."""
    import optuna

    from sweep.tracking.store import open_client

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with TemporaryDirectory() as folder:
        optuna.create_study(storage=f"sqlite:///{Path(folder) / 'study.db'}")
        open_client(f"sqlite:///{Path(folder) / 'mlflow.db'}").search_experiments()


gc.disable()  # a collection would find nothing, since all of it stays
_SET = _set()
_open_databases()
SET = {name: value for name, value in _SET.items() if name.startswith(("RAY_", "TUNE_"))}
"""Variables that a driver's imports overwrite."""
DEFAULTS = {name: value for name, value in _SET.items() if name not in SET and not name.startswith("_")}
"""Variables that the imports set only if unset; MLflow's own differ from process to process."""
PATH = list(sys.path)
"""Module search path of a process without the tests' own folders."""
vars(import_module("sweep.report.write_report"))["render_plot"] = lambda _: {
    "png": b"a picture"
}  # rendering takes a second
_theme = import_module("sweep.report.theme")
for _one in (_theme.LIGHT, _theme.DARK):
    _theme.build_vega_config(_one)  # altair reads its schemas once
gc.freeze()
gc.enable()
