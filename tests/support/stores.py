"""What MLflow's database holds, read beside a driver that may be at work."""

import sqlite3
from pathlib import Path


def statuses(here: Path) -> list[str]:
    """How the runs in a folder's mlflow.db have ended, those of sweeps and of trials; none where it is not made yet."""
    if not (here / "mlflow.db").exists():
        return []
    with sqlite3.connect(here / "mlflow.db") as database:
        made = database.execute("select count(*) from sqlite_master where name = 'runs'").fetchone() == (1,)
        return sorted(status for (status,) in database.execute("select status from runs")) if made else []
