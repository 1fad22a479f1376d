"""No file or folder that a command makes is open to those whom the user's umask shuts out."""

from pathlib import Path

from support.comparison import NAME, NAMES, UMASK, Comparison, Launched


def open_to_others(launched: Launched) -> dict[str, str]:
    """What it made that somebody else may read, write or enter, with its mode."""
    return {path: oct(mode) for path, mode in launched.modes.items() if mode & UMASK}


def names(launched: Launched, storage: str) -> set[str]:
    """The names of what lies among the prepared models of a storage."""
    return {Path(path).name for path in launched.modes if path.startswith(f"{storage}/.artifacts/")}


def test_of_a_comparison(comparison: Comparison) -> None:
    """With its ledgers and runs on servers: it made the models and wrote the files of both sweeps."""
    made = {f"runs/{name}/{file}" for name in (NAME, *NAMES) for file in ("report.html", "plots")}
    assert made <= comparison.modes.keys()
    assert "model.safetensors" in names(comparison, "runs")
    assert open_to_others(comparison) == {}


def test_of_a_sweep_by_itself(run_again: Launched) -> None:
    """With its ledger and MLflow's database in files: it fetched the models."""
    made = {"mlflow.db", "mlruns", *(f"elsewhere/found/{file}" for file in ("report.html", "study.db", "plots"))}
    assert made <= run_again.modes.keys()
    assert "model.safetensors" in names(run_again, "elsewhere")
    assert open_to_others(run_again) == {}
