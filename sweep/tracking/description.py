"""Description of a sweep's own run, which MLflow's page of the run shows as Markdown."""

from collections.abc import Mapping

from sweep.config.schema import SweepConfig
from sweep.config.stored import sweep_arguments
from sweep.redaction import escape_markdown
from sweep.tracking.metrics import BEST_SCORE, FINISHED_TRIALS
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
    title = escape_markdown(f"{config.objective} on {config.model.name}, {config.data.name}")
    return "\n\n".join(
        [
            f"**{title}: the sweep {STATES[status]}.**",
            f"It searches {searched}. {_describe_progress(status, n_finished)}",
            f"{'If it stopped, go' if status == 'RUNNING' else 'Go'} on with `{resume}`.",
            f"Files: `{config.storage / name}`",
        ]
    )


def _describe_progress(status: str, n_finished: int) -> str:
    """Describe how far a sweep is; while it runs, its metrics tell it, which change with every trial."""
    if status == "RUNNING":
        return f"The metrics `{FINISHED_TRIALS}` and `{BEST_SCORE}` tell how far it is."
    return f"{n_finished} trials are finished."


def add_links(text: str, experiment_id: str, view_key: str) -> str:
    """Add to a description the links that show the sweep's trials as a table and as charts."""
    table = format_place(experiment_id, view_key)
    charts = format_place(experiment_id, view_key, compareRunsMode="CHART")
    return f"{text}\n\n[All trials, lowest score first]({table}) · [Charts of settings and score]({charts})"
