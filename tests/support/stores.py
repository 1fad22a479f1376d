"""Read MLflow's database while a driver may be running."""

import sqlite3
from pathlib import Path


def statuses(here: Path) -> list[str]:
    """Return the sorted statuses of all runs in a folder's mlflow.db, of sweeps and trials; none if it is missing."""
    if not (here / "mlflow.db").exists():
        return []
    with sqlite3.connect(here / "mlflow.db") as database:
        made = database.execute("select count(*) from sqlite_master where name = 'runs'").fetchone() == (1,)
        return sorted(status for (status,) in database.execute("select status from runs")) if made else []
