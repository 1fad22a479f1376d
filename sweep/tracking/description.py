"""Description of a sweep's own run, which MLflow's page of the run shows as Markdown."""

from collections.abc import Mapping

from sweep.config.schema import SweepConfig
from sweep.config.stored import sweep_arguments
from sweep.tracking.views import format_place

DESCRIPTION_TAG = "mlflow.note.content"
"""Tag of a run that holds its description."""
STATES: Mapping[str, str] = {
    "RUNNING": "is running",
    "FINISHED": "has ended",
    "FAILED": "has failed",
    "KILLED": "was interrupted",
}
"""Words for the status of a sweep's run."""


def describe_state(config: SweepConfig, name: str, status: str, n_finished: int) -> str:
    """Describe a sweep that has no result yet: what runs, how far it is, and how it goes on if it stopped."""
    searched = ", ".join(f"`{key}`" for key in config.space) or "nothing"
    resume = f"python -m sweep.launch --resume {sweep_arguments(config.storage, name)}"
    return "\n\n".join(
        [
            f"**{config.objective} on {config.model.name}, {config.data.name}: the sweep {STATES[status]}.**",
            f"It searches {searched}; {n_finished} trials are finished.",
            f"If it stopped, go on with `{resume}`.",
            f"Files: `{config.storage / name}`",
        ]
    )


def add_links(text: str, experiment_id: str, view_key: str) -> str:
    """Add to a description the links that show the sweep's trials as a table and as charts."""
    table = format_place(experiment_id, view_key)
    charts = format_place(experiment_id, view_key, compareRunsMode="CHART")
    return f"{text}\n\n[All trials, lowest score first]({table}) · [Charts of settings and score]({charts})"
