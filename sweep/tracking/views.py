"""The page of MLflow that shows a sweep's trials: a saved view of the experiment, and the link that opens it.

MLflow's pages begin in their mode for generative AI, which shows no runs. A link chooses the mode and names a saved
view, a tag of the experiment; only the view can choose columns and charts.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from sweep.redaction import redact
from sweep.tracking.address import SERVER_SCHEMES, is_database
from sweep.tracking.store import format_ui_command

VIEW_TAG = "mlflow.sharedViewState."
"""Beginning of the tag of an experiment that holds a saved view; its key follows."""
UI_ADDRESS = "http://127.0.0.1:5000"
"""Address at which `mlflow ui` serves its pages."""
NAME_COLUMN = "attributes.`Run Name`"
NAME_WIDTH, VALUE_WIDTH = 260, 90
"""Widths of columns in pixels."""
SECTION = "sweep"
"""Id of the section that holds a view's charts."""


def format_view_key(name: str, run_id: str) -> str:
    """Return the key of a sweep's view; no other sweep of the experiment has it."""
    return f"{name}-{run_id[:8]}"


def build_view(name: str, run_id: str, searched: Sequence[str], created: int) -> str:
    """Build the saved view of a sweep: its trials, lowest score first, with charts of the settings against the score.

    Args:
        name: the sweep's name.
        run_id: the sweep's own run.
        searched: the hyper-parameters that are columns and axes.
        created: time of creation in milliseconds.

    Returns:
        The value of the experiment's tag, in the format of MLflow 3.17.
    """
    columns = [
        _format_key("metrics", "score"),
        *(_format_key("params", key) for key in searched),
        *(_format_key("metrics", key) for key in ("forget/es", "retain/es")),
        *(_format_key("tags", key) for key in ("phase", "seed")),
    ]
    state = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        "orderByKey": columns[0],
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": [NAME_COLUMN, *columns],
        "columnWidths": {NAME_COLUMN: NAME_WIDTH} | dict.fromkeys(columns, VALUE_WIDTH),
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,
        "compareRunSections": [
            {"uuid": SECTION, "name": f"Sweep {name}", "display": True, "isReordered": True, "columns": 2}
        ],
        "compareRunCharts": _build_charts(searched),
    }
    return json.dumps({"name": name, "createdAt": created, "updatedAt": created, "state": json.dumps(state)})


def list_ui_lines(uri: str, experiment_id: str, view_key: str) -> list[str]:
    """List the lines that lead to the runs: for a database the command that serves its pages, then the link.

    Without an experiment, of which there is none yet, a server's address stands for the link.
    """
    is_file, is_server = is_database(uri), uri.startswith(SERVER_SCHEMES)
    if not experiment_id or not (is_file or is_server):
        return [format_ui_command(uri)]
    address = UI_ADDRESS if is_file else _strip_user(uri)
    command = [format_ui_command(uri)] if is_file else []
    return [*command, f"{address}/{format_place(experiment_id, view_key)}"]


def print_ui_lines(sweeps: Iterable[Iterable[str]]) -> None:
    """Print the lines of several sweeps as `list_ui_lines` has them, each once and on a line of its own."""
    print("runs:", *dict.fromkeys(line for lines in sweeps for line in lines), sep="\n", flush=True)


def format_place(experiment_id: str, view_key: str, **more: str) -> str:
    """Return the part of the link after the server's address; `more` are further keys of the query."""
    # The mode comes first: a terminal may cut the link.
    query = {"workflowType": "machine_learning", "viewStateShareKey": view_key} | more
    return f"#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _build_charts(searched: Sequence[str]) -> list[Mapping[str, Any]]:
    """Build the charts: all settings against the score, each hyper-parameter against it, forgetting against keeping."""
    score, forget, keep = ({"key": key, "type": "METRIC"} for key in ("score", "forget/es", "retain/es"))
    axes = [*(({"key": key, "type": "PARAM"}, score) for key in searched), (forget, keep)]
    charts: list[Mapping[str, Any]] = [
        {"type": "PARALLEL", "selectedParams": [*searched], "selectedMetrics": ["score"], "showAllRuns": True},
        *({"type": "SCATTER", "xaxis": x, "yaxis": y} for x, y in axes),
    ]
    place = {"metricSectionId": SECTION, "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return [{"uuid": f"{SECTION}-{number}", **place, **chart} for number, chart in enumerate(charts)]


def _format_key(kind: str, key: str) -> str:
    return f"{kind}.`{key}`"


def _strip_user(uri: str) -> str:
    """Return a server's address without user, password and query."""
    parts = urlsplit(redact(uri))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
