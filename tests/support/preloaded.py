"""What a driver imports and makes until it ends, for `support.forks`: importing this module is its whole point."""

import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

MODULES = ("sweep.plan.launch_plan", "sweep.run", "sweep.outputs", "sweep.report.write_report", "support.toy_launch")
"""In the order in which a driver imports them: `sweep.run` tells Ray how, before anybody imports it."""


def _set() -> dict[str, str]:
    """Import them; gives the variables that they set."""
    before = dict(os.environ)
    for name in (*MODULES, "support.workers"):
        import_module(name)
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def _open_databases() -> None:
    """Make a study and an MLflow database, and forget them: what makes the first ones imports a lot."""
    import optuna

    from sweep.tracking.store import client_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with TemporaryDirectory() as folder:
        optuna.create_study(storage=f"sqlite:///{Path(folder) / 'study.db'}")
        client_of(f"sqlite:///{Path(folder) / 'mlflow.db'}").search_experiments()


def _script() -> str:
    """The script of a report's page, from a process that ends: what makes it starts threads, and takes seconds."""
    from sweep.report import page

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w", encoding="utf-8") as file:
            file.write(page.script())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        made = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return made


_SET = _set()
_open_databases()
SET = {name: value for name, value in _SET.items() if name.startswith(("RAY_", "TUNE_"))}
"""The variables that a driver sets while it imports, whatever they were."""
DEFAULTS = {name: value for name, value in _SET.items() if name not in SET and not name.startswith("_")}
"""Those that it sets where they are not set; MLflow's own differ from process to process."""
PATH = list(sys.path)
"""Where a process finds its modules that has nothing of the tests' own."""
vars(import_module("sweep.report.page"))["script"] = _script().__str__
_theme = import_module("sweep.report.theme")
for _one in (_theme.LIGHT, _theme.DARK):
    _theme.config(_one)  # altair reads its schemas, once
