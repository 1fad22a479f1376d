"""What a sweep leaves in MLflow, a real sqlite store, also in one that comes late."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from support import toys
from support.tracked import START, begun, client, live, record, runs
from support.waiting import until
from sweep.config.schema import SweepConfig
from sweep.records import INTERRUPTED_REASON
from sweep.tracking.backfill import backfill_sweep, mark_uncounted
from sweep.tracking.labels import MAX_TEXT_CHARS
from sweep.tracking.logged_models import ModelEntry, log_models
from sweep.tracking.runs import SweepRuns
from sweep.tracking.tracker import PageLines, Tracker


@pytest.fixture
def here(mlflow_here: Path) -> Path:
    """A working directory with a store in its default place."""
    return mlflow_here


@pytest.fixture
def config(here: Path) -> SweepConfig:
    """The toy sweep."""
    return toys.config(here / "runs")


def history(store: MlflowClient, run: Run, key: str) -> list[tuple[int, float]]:
    """A metric's steps and values."""
    return [(metric.step, metric.value) for metric in store.get_metric_history(run.info.run_id, key)]


def test_commits_on_the_hub_are_tags(here: Path, config: SweepConfig) -> None:
    """Those that the sweep keeps to; what comes from no hub has none."""
    commit = 40 * "a"
    model = config.model.model_copy(update={"path": "owner/name", "revision": commit})
    tracker = Tracker.start(config.model_copy(update={"model": model}), "first")
    assert tracker.finish("FINISHED", []) == ""
    (parent,), _ = runs(client(here))
    assert {key: tag for key, tag in parent.data.tags.items() if key.endswith(".revision")} == {
        "model.revision": commit
    }


def test_a_sweep_is_a_parent_with_one_nested_run_a_trial(here: Path, config: SweepConfig) -> None:
    """Names, tags, params, curve, final metrics, times, status and the resolved configuration are all there."""
    tracker = Tracker.start(config, "first")
    live(tracker, record(0))
    live(tracker, record(1, setting={"alpha": 0.123456, "beta": 2}, phase="finalist", seed=7))
    assert tracker.finish("FINISHED", [record(0)]) == ""
    (parent,), (one, two) = runs(client(here))
    assert parent.info.run_id == tracker.run_id
    assert (parent.info.run_name, parent.info.status) == ("first", "FINISHED")
    assert parent.data.params["space.beta.high"] == "10.0"
    assert parent.data.params["train.lr"] == "0.01"
    wanted = {"objective": "wtnpo", "model": "toy", "data": "authors", "split": "forget10", "recipe": "default"}
    assert wanted.items() <= parent.data.tags.items()
    assert {"git", "torch", "definitions"} <= parent.data.tags.keys()
    assert parent.data.tags["score"].endswith("tau=0.95")
    assert (
        "storage:"
        in (here / "mlruns" / parent.info.experiment_id / parent.info.run_id / "artifacts" / "config.yaml").read_text()
    )
    assert one.data.tags["mlflow.parentRunId"] == two.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (one.info.run_name, two.info.run_name) == (
        "#0 0.250 alpha=1.5 beta=5 seed=0",
        "finalist #1 0.250 alpha=0.1235 beta=2 seed=7",
    )
    assert one.data.params == {"alpha": "1.5", "beta": "5"}
    assert (
        wanted | {"phase": "search", "index": "0", "seed": "0", "status": "finished"}
    ).items() <= one.data.tags.items()
    assert history(client(here), one, "loss") == [(1, -0.5), (2, -1.5)]
    assert history(client(here), one, "forget/es") == [(1, 0.75), (2, 0.5), (4, 0.125)]  # the toy trains 4 epochs
    assert (one.info.status, one.info.start_time, one.info.end_time) == (
        "FINISHED",
        1_700_000_000_000,
        1_700_000_010_000,
    )
    assert tracker.run_id_of(record(0)) == one.info.run_id
    assert tracker.run_id_of(record(5)) == ""


def test_the_sweeps_own_run_tells_how_far_it_is(
    here: Path, config: SweepConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link is printed once, while the sweep runs; description, best score and count follow the trials."""
    tracker = Tracker.start(config, "first")
    pages = PageLines([tracker, tracker])
    worse, better = record(0, metrics={"score": 0.5}), record(1, metrics={"score": 0.25})
    pages.on_trial_update(begun(worse))
    live(tracker, worse)
    until(lambda: tracker.is_open)
    live(tracker, better)
    for _ in range(2):
        pages.on_trial_update(better)
    until(lambda: not tracker._runs.find_missing([worse, better]))
    store = client(here)
    (parent,), _ = runs(store)
    command, link = tracker.ui_lines
    assert capsys.readouterr().out == f"runs:\n{command}\n{link}\n"
    assert "the sweep is running." in parent.data.tags["mlflow.note.content"]
    assert tracker.finish("KILLED", [worse, better]) == ""
    (parent,), _ = runs(store)
    assert "the sweep was interrupted." in parent.data.tags["mlflow.note.content"]
    assert link.split("/", 3)[3] in parent.data.tags["mlflow.note.content"]
    assert history(store, parent, "best_score") == [(1, 0.5), (2, 0.25)]
    assert history(store, parent, "finished_trials") == [(1, 1.0), (2, 2.0)]
    folder = here / "mlruns" / parent.info.experiment_id / parent.info.run_id / "artifacts"
    assert "extraction strength" in yaml.safe_load((folder / "definitions.yaml").read_text())["forget/es"]
    view = link.rpartition("viewStateShareKey=")[2]
    assert json.loads(store.get_experiment(parent.info.experiment_id).tags[f"mlflow.sharedViewState.{view}"])


def test_a_changed_view_stays(here: Path, config: SweepConfig) -> None:
    """It is the user's once it is made."""
    backfill_sweep(config, "first", "FINISHED", [record(0)])
    store = client(here)
    (parent,), _ = runs(store)
    (key,) = [key for key in store.get_experiment(parent.info.experiment_id).tags if "sharedViewState" in key]
    store.set_experiment_tag(parent.info.experiment_id, key, "mine")
    backfill_sweep(config, "first", "FINISHED", [record(0)])
    assert store.get_experiment(parent.info.experiment_id).tags[key] == "mine"


def test_how_a_trial_ended(here: Path, config: SweepConfig) -> None:
    """The status is MLflow's, the state and the reason are tags."""
    ends = [
        ("finished", "the loss was nan", "FINISHED"),
        ("failed", "its process died", "FAILED"),
        ("failed", INTERRUPTED_REASON, "KILLED"),
        ("pruned", "", "KILLED"),
    ]
    ended = [record(index, state=state, reason=reason) for index, (state, reason, _) in enumerate(ends)]
    assert backfill_sweep(config, "ends", "FAILED", ended)[0] == 4
    (parent,), nested = runs(client(here))
    assert parent.info.status == "FAILED"
    told = [(run.data.tags["status"], run.data.tags.get("reason", ""), run.info.status) for run in nested]
    assert told == ends


def test_a_trial_that_never_ended_is_killed(here: Path, config: SweepConfig) -> None:
    """When the sweep ends, a trial that is still running has nobody who would end its run."""
    tracker = Tracker.start(config, "stopped")
    tracker.on_trial_update(begun(record(0)))
    assert tracker.finish("KILLED", [begun(record(0))]) == ""
    (parent,), (run,) = runs(client(here))
    assert (parent.info.status, run.info.status, run.data.tags["status"]) == ("KILLED", "KILLED", "interrupted")


def test_numbers_that_are_not_finite_become_a_tag(here: Path, config: SweepConfig) -> None:
    """MLflow would store infinity as 1.8e308."""
    curve = [{"epoch": 1, "loss": float("nan"), "forget/es": 0.5}]
    backfill_sweep(
        config, "diverged", "FINISHED", [record(0, curve=curve, metrics={"score": 1.0, "loss": float("-inf")})]
    )
    _, (run,) = runs(client(here))
    assert run.data.metrics == {"forget/es": 0.5, "score": 1.0}
    assert run.data.tags["nonfinite"] == "loss=nan at step 1, loss=-inf at step 4"


def test_a_long_param_is_cut_and_says_so(here: Path, config: SweepConfig) -> None:
    """Seven characters more than are kept."""
    backfill_sweep(config, "long", "FINISHED", [record(0, setting={"note": "x" * (MAX_TEXT_CHARS + 7)})])
    _, (run,) = runs(client(here))
    assert run.data.params["note"] == "x" * MAX_TEXT_CHARS + f" ... (cut, {MAX_TEXT_CHARS + 7} characters)"


def test_many_metrics_take_more_than_one_request(here: Path, config: SweepConfig) -> None:
    """2001 points, where MLflow refuses more than 1000 in a request."""
    curve = [{"epoch": float(epoch), "loss": float(epoch)} for epoch in range(1, 2002)]
    backfill_sweep(config, "curve", "FINISHED", [record(0, curve=curve)])
    _, (run,) = runs(client(here))
    assert history(client(here), run, "loss") == [(epoch, float(epoch)) for epoch in range(1, 2002)]


def test_filling_in_twice_adds_nothing(here: Path, config: SweepConfig) -> None:
    """Only trials without a run are logged, and a finished run stays as it is."""
    records = [record(0), record(1)]
    assert backfill_sweep(config, "twice", "FINISHED", records[:1])[0] == 1
    assert backfill_sweep(config, "twice", "FINISHED", records)[0] == 1
    assert backfill_sweep(config, "twice", "FINISHED", records)[0] == 0
    parents, nested = runs(client(here))
    assert (len(parents), len(nested)) == (1, 2)
    assert history(client(here), nested[0], "loss") == [(1, -0.5), (2, -1.5)]


def test_a_resumed_sweep_has_the_same_parent_and_doubles_nothing(here: Path, config: SweepConfig) -> None:
    """The driver died: trial 0 is over, of trial 1 only the ledger knows that it is, trial 2 is run again."""
    dead = SweepRuns(config, "resumed")
    dead.log_config()
    live(dead, record(0))
    for index in (1, 2):
        dead.log_attempt(replace(begun(record(index)), curve=record(index).curve[:1]))
    parents, _ = runs(client(here))
    assert parents[0].info.status == "RUNNING"

    again = record(2, started=START + 100, ended=START + 110)
    more = config.model_copy(update={"search": config.search.model_copy(update={"trials": 9})})
    tracker = Tracker.start(more, "resumed", "")
    live(tracker, again)
    assert tracker.finish("FINISHED", [record(0), record(1), again]) == ""
    (parent,), nested = runs(client(here))
    assert (parent.info.run_id, parent.info.status) == (dead.run_id, "FINISHED")
    ends = [(run.data.tags["index"], run.info.status) for run in nested]
    assert ends == [("0", "FINISHED"), ("1", "FINISHED"), ("2", "KILLED"), ("2", "FINISHED")]
    assert history(client(here), nested[1], "loss") == [(1, -0.5), (2, -1.5)]
    assert history(client(here), parent, "finished_trials") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert [run.info.run_name.split(" a")[0] for run in nested] == ["#0 0.250", "#1 0.250", "#2", "#2 0.250"]
    assert (parent.data.params["search.trials"], parent.data.tags["search.trials"]) == ("3", "9")
    assert "search.hours" not in parent.data.tags


def test_a_resumed_sweep_counts_on(here: Path, config: SweepConfig) -> None:
    """Also what ended while MLflow was away, and before it is told of by the end of the sweep."""
    dead = SweepRuns(config, "counts")
    live(dead, record(0))
    again = SweepRuns(config, "counts", dead.run_id, [record(0), record(1, metrics={"score": 0.125})])
    live(again, record(2))
    (parent,), _ = runs(client(here))
    assert history(client(here), parent, "best_score") == [(1, 0.25), (2, 0.125), (3, 0.125)]


def test_runs_that_do_not_count_are_marked(here: Path, config: SweepConfig) -> None:
    """A former best setting's; should it be the best again, the mark goes."""
    records = [record(0), record(0, phase="finalist"), record(1, phase="finalist")]
    _, place = backfill_sweep(config, "more", "FINISHED", records)
    for uncounted, marks in ((records[1:2], [None, "no", None]), (records[2:], [None, None, "no"])):
        mark_uncounted(place, uncounted)
        _, nested = runs(client(here))
        nested = sorted(nested, key=lambda run: (run.data.tags["phase"] != "search", run.data.tags["index"]))
        assert [run.data.tags.get("counted") for run in nested] == marks


def test_the_parent_is_found_by_its_run_id_too(here: Path, config: SweepConfig) -> None:
    """The storage was moved, so that the folder no longer tells; without a run id it is another sweep of that name."""
    first = SweepRuns(config, "moved")
    first.open_sweep_run()
    elsewhere = config.model_copy(update={"storage": here / "other"})
    known = SweepRuns(elsewhere, "moved", first.run_id)
    known.open_sweep_run()
    assert known.run_id == first.run_id
    unknown = SweepRuns(elsewhere, "moved", "")
    unknown.open_sweep_run()
    assert unknown.run_id != first.run_id


def test_a_new_sweep_of_an_old_name_gets_a_parent_of_its_own(here: Path, config: SweepConfig) -> None:
    """Somebody removed the folder and took the name again."""
    backfill_sweep(config, "name", "FINISHED", [])
    Tracker.start(config, "name").finish("FINISHED", [])
    parents, _ = runs(client(here))
    assert len(parents) == 2


def test_a_store_that_comes_late_gets_everything(here: Path, config: SweepConfig) -> None:
    """Nothing can be stored while the sweep runs (a file is where the store's folder should be); at its end all is."""
    store = here / "late"
    store.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
        tracker = Tracker.start(config, "late")
    live(tracker, record(0))
    until(lambda: tracker._last_error != "")
    store.unlink()
    store.mkdir()
    shutil.copy(here / "mlflow.db", store)
    assert tracker.finish("FINISHED", [record(0), record(1)]) == ""
    (parent,), nested = runs(client(store))
    assert parent.data.params["objective"] == "wtnpo"
    assert [history(client(store), run, "loss") for run in nested] == [[(1, -0.5), (2, -1.5)]] * 2


@pytest.mark.parametrize("registry", [None, "mine"])
def test_saved_models_are_logged_once(here: Path, config: SweepConfig, registry: str | None) -> None:
    """On the sweep's run, with the folder as a tag; weights are copied only where a registry is named."""
    tracker = Tracker.start(config, "first")
    assert tracker.finish("FINISHED", []) == ""
    folder = here / "model"
    folder.mkdir()
    (folder / "README.md").write_text("card")
    (folder / "model.safetensors").write_bytes(b"weights")
    entry = ModelEntry(
        name="first-best-compared",
        trial="finalist-0 compared",
        folder=folder,
        card=folder / "README.md",
        params={"alpha": "1.5"},
        tags={"path": str(folder)},
    )
    for _ in range(2):
        log_models(tracker.tracking_run, [entry], registry)
    store = client(here)
    (parent,), _ = runs(store)
    (logged,) = store.search_logged_models([parent.info.experiment_id])
    assert (logged.name, str(logged.status)) == ("first-best-compared", "READY")
    assert (logged.tags["path"], logged.params) == (str(folder), {"alpha": "1.5"})
    assert parent.outputs is not None
    (output,) = parent.outputs.model_outputs
    assert output.model_id == logged.model_id
    copied = {path.name for path in Path(logged.artifact_location).iterdir()}
    assert copied == ({"README.md"} if registry is None else {path.name for path in folder.iterdir()})
    versions = store.search_model_versions("name = 'mine'")
    assert [version.source for version in versions] == ([] if registry is None else [logged.artifact_location])
    for trial, former in (
        ("finalist-5 compared", "finalist-0 compared"),
        ("finalist-0 compared", "finalist-5 compared"),
    ):
        log_models(tracker.tracking_run, [replace(entry, trial=trial)], registry)
        paths = {one.tags["trial"]: one.tags["path"] for one in store.search_logged_models([parent.info.experiment_id])}
        assert paths == {trial: str(folder), former: f"replaced by the model of {trial}"}


@pytest.mark.parametrize(
    ("uri", "shown", "command"),
    [
        (None, "sqlite:///{here}/mlflow.db", "mlflow ui --backend-store-uri sqlite:///{here}/mlflow.db"),
        ("http://me:pw@host:5000", "http://***@host:5000", "http://***@host:5000"),
        (
            "postgresql+psycopg2://me:pw@host/db",
            "postgresql+psycopg2://***@host/db",
            'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"',
        ),
    ],
)
def test_where_the_runs_are_to_be_seen(
    here: Path, config: SweepConfig, monkeypatch: pytest.MonkeyPatch, uri: str | None, shown: str, command: str
) -> None:
    """A server's address, or the command that serves a database; a password stays where it was."""
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracker = Tracker(SweepRuns(config, "shown"))
    assert tracker.tracking_run.tracking_uri == shown.format(here=here)
    (line,) = tracker.ui_lines  # no link before the run is there
    assert line.endswith(command.format(here=here))


def test_objectives_share_an_experiment_unless_the_user_names_one(
    config: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model and data name it, so that objectives are compared in one table."""
    other = config.model_copy(update={"objective": "tnpo"})
    assert SweepRuns(config, "a").experiment == SweepRuns(other, "b").experiment == "toy-authors"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert SweepRuns(config, "a").experiment == "mine"
