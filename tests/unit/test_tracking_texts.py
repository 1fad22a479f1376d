"""What MLflow shows of a sweep, as texts: links, saved views, names, descriptions, and metrics over the trials."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support import toys
from support.reports import GOOD, NASTY, reported, small
from support.tracked import START, begun, record
from support.trials import PAPER, trial
from sweep.records import INTERRUPTED_REASON, Setting, TrialRecord
from sweep.results.result_text import describe_sweep
from sweep.tracking.description import describe_state
from sweep.tracking.labels import MAX_NAME_CHARS, build_sweep_tags, format_run_name
from sweep.tracking.metrics import build_effect_metrics, build_progress
from sweep.tracking.views import build_view, format_view_key, list_ui_lines

PLACE = "/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=first-0123abcd"


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("sqlite:////a/mlflow.db", f"http://127.0.0.1:5000{PLACE}"),
        ("postgresql+psycopg2://me:pw@host/db", f"http://127.0.0.1:5000{PLACE}"),
        ("http://me:p%40w@host:5000/", f"http://host:5000{PLACE}"),
        ("https://host/mlflow", f"https://host/mlflow{PLACE}"),
    ],
)
def test_the_link(uri: str, link: str) -> None:
    """A server needs no command; a password is in neither line, and a link without a user can be clicked."""
    *command, last = list_ui_lines(uri, "7", format_view_key("first", "0123abcdef"))
    assert last == link
    assert len(command) == (0 if uri.startswith("http") else 1)
    assert "pw" not in " ".join([*command, last])


@pytest.mark.parametrize(("uri", "line"), [("http://host", "http://host"), ("databricks", "databricks")])
def test_no_link_to_what_is_not_there(uri: str, line: str) -> None:
    """Before there is an experiment, and where the pages are others."""
    assert list_ui_lines(uri, "" if uri == "http://host" else "7", "first-") == [line]


def test_the_view_shows_the_trials_of_one_sweep() -> None:
    """Lowest score first, score and searched hyper-parameters as columns, and charts of these."""
    view = json.loads(build_view("first", "0123abcdef", ["alpha", "train.lr"], 5))
    state = json.loads(view["state"])
    assert (view["name"], view["createdAt"]) == ("first", 5)
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = '0123abcdef'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", True)
    assert state["selectedColumns"][:3] == ["metrics.`score`", "params.`alpha`", "params.`train.lr`"]
    (section,) = state["compareRunSections"]
    parallel, *others = state["compareRunCharts"]
    assert (parallel["selectedParams"], parallel["selectedMetrics"]) == (["alpha", "train.lr"], ["score"])
    assert [chart["xaxis"]["key"] for chart in others] == ["alpha", "train.lr", "forget/es"]
    assert {chart["metricSectionId"] for chart in (parallel, *others)} == {section["uuid"]}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "#22 0.250 alpha=1.5 beta=5 seed=0"),
        ({"phase": "race", "index": 3}, "race #3 0.250 alpha=1.5 beta=5 seed=0"),
        ({"phase": "finalist", "index": 0, "seed": 4}, "finalist #0 0.250 alpha=1.5 beta=5 seed=4"),
        ({"state": "failed", "metrics": {}}, "#22 failed alpha=1.5 beta=5 seed=0"),
        ({"state": "failed", "reason": INTERRUPTED_REASON}, "#22 interrupted alpha=1.5 beta=5 seed=0"),
        ({"state": "running", "metrics": {}}, "#22 alpha=1.5 beta=5 seed=0"),
        ({"setting": {"alpha": 1.5, "beta": 5, "fixed": 1}}, "#22 0.250 alpha=1.5 beta=5 seed=0"),
        ({"setting": {"fixed": 1}}, "#22 0.250 fixed=1 seed=0"),
    ],
)
def test_a_name_begins_with_what_distinguishes_it(changes: dict[str, Any], name: str) -> None:
    """Phase unless search, number, score once there is one; then what is searched, and the seed."""
    assert format_run_name(toys.config(Path("/nowhere")), replace(record(22), **changes)) == name


def test_a_name_fits_into_the_database() -> None:
    """MLflow's column of names is that wide."""
    name = format_run_name(toys.config(Path("/nowhere")), record(1, setting={"note": "x" * 500}))
    assert len(name) == MAX_NAME_CHARS == 250


def test_one_tag_stands_for_all_definitions() -> None:
    """It tells if two sweeps define their metrics alike."""
    one, other = (build_sweep_tags(toys.config(Path("/nowhere"), seed=seed), "first") for seed in (0, 1))
    assert [key for key in one if key.startswith("definition")] == ["definitions"]
    assert one["definitions"].startswith("definitions.yaml, SHA-256 ")
    assert other["definitions"] == one["definitions"]


def points(records: list[TrialRecord]) -> list[dict[str, float]]:
    """The metrics after each finished trial, which share step and time."""
    built = build_progress(records)
    assert [{metric.step for metric in point} for point in built] == [{step} for step in range(1, len(built) + 1)]
    assert all(len({metric.timestamp for metric in point}) == 1 for point in built)
    return [{metric.key: metric.value for metric in point} for point in built]


def test_progress_counts_trials_in_the_order_of_their_ends() -> None:
    """What failed or runs counts for nothing; scores of fresh seeds are no best score."""
    search = [record(index, metrics={"score": score}) for index, score in enumerate([0.5, 0.3, 0.4])]
    late = replace(search[0], ended=START + 99)
    finalist = record(0, phase="finalist", metrics={"score": 0.1}, ended=START + 120)
    others = [record(3, state="failed", metrics={}), begun(record(4))]
    expected = [(1, 0.3), (2, 0.3), (3, 0.3), (4, 0.3)]
    assert points([finalist, late, *others, *search[1:]]) == [
        {"finished_trials": count, "best_score": best} for count, best in expected
    ]
    assert points([finalist]) == [{"finished_trials": 1}]
    assert [one["best_score"] for one in points(search)] == [0.5, 0.3, 0.3]


def test_gradient_effects_are_metrics_by_step() -> None:
    """Of the objective, whole and in parts; of the retain term; and of both. A repeat has the same time."""
    term: dict[str, Any] = {"risk": "forget", "layers": [], "rows": []}
    parts = {"embeddings": -1.0, "shallow": -2.0, "middle": -3.0, "deep": -4.0, "head": -5.0}
    objective = term | {"term": "objective", "whole": -15.0, "parts": parts}
    retain_term = term | {"term": "retain_term", "whole": 5.0, "parts": parts}
    later = {"step": 8, "effects": [objective, retain_term], "rows": [], "weights": []}
    own = record(0, g_effects=[later | {"step": 0, "effects": [objective]}, later])
    built = build_effect_metrics(own)
    named = {"g_effect/forget": -15.0} | {f"g_effect/forget_{part}": value for part, value in parts.items()}
    found = [{m.key: m.value for m in built if m.step == step} for step in (0, 8)]
    assert found == [named, named | {"g_effect/forget_retain_term": 5.0, "g_effect/forget_all_terms": -10.0}]
    again = build_effect_metrics(own, 1)
    assert {m.timestamp for m in again} == {m.timestamp for m in built if m.step == 8} == {1000 * START + 8}


def test_a_running_sweep_says_how_it_goes_on() -> None:
    """What runs, how far it is, and the command after an interruption."""
    text = describe_state(toys.config(Path("/nowhere")), "first", "KILLED", 3)
    assert text.startswith("**wtnpo on toy, authors: the sweep was interrupted.**")
    assert "It searches `alpha`, `beta`. 3 trials are finished." in text
    assert "Go on with `python -m sweep.launch --resume first storage=/nowhere`" in text


def test_the_result_begins_with_the_verdict() -> None:
    """Then the best setting beside the paper's, by their report seeds, and the commands that run them again."""
    sweep = small()
    text = describe_sweep(sweep, Path("runs/mine"))
    assert text.startswith("**Better than the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): ")
    table = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| "))
    assert table["alpha"] == "2.1 | 1.5"
    score = table["**forget ES at equal retention (the score)**, lower is better"]
    assert score == "0.300 ± 0.100 | 0.467 ± 0.153"
    assert table["measured on"] == "3 report seeds | 3 report seeds"
    assert "`python -m sweep.launch runs/mine/best.yaml`" in text
    assert "runs/mine/report.html" in text
    assert "--resume" not in text


def test_an_interrupted_sweep_tells_how_to_go_on() -> None:
    """Instead of what to run again; without report seeds the table has the settings alone."""
    scored = [trial(0, PAPER, 0.5), trial(1, GOOD, 0.2)]
    stopped = replace(trial(2, GOOD, 0.0), state="failed", metrics={}, reason=INTERRUPTED_REASON)
    text = describe_sweep(reported(*scored, stopped), Path("runs/mine"))
    assert "Go on with `python -m sweep.launch --resume mine storage=/nowhere`." in text
    assert "| beta | 6 | 7 |" in text
    assert "measured on" not in text


def test_a_setting_cannot_break_the_text() -> None:
    """Markup and bars of a table are text."""
    odd: Setting = {"alpha": f"a|b{NASTY}", "beta": 6.0}
    text = describe_sweep(reported(trial(0, odd, 0.2), space={}, fixed=PAPER), Path("runs/mine"))
    assert "| a\\|b\\</script\\>" in text
    assert "<" not in text.replace("\\<", "")


def test_a_sweep_without_a_finished_trial() -> None:
    """There is nothing to show but how to go on."""
    assert describe_sweep(reported(), Path("runs/mine")).startswith("**No trial finished.**")


def test_the_link_survives_a_round_trip() -> None:
    """The query behind the fragment is what MLflow's pages read."""
    (link,) = list_ui_lines("http://host", "7", "three.wga-0123abcd")
    query = parse_qs(urlsplit(link).fragment.partition("?")[2])
    assert query == {"workflowType": ["machine_learning"], "viewStateShareKey": ["three.wga-0123abcd"]}
