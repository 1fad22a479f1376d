"""Bad input: a mutation of a shipped configuration passes a dry run or is one sentence; nothing is started or left.

RANDOM=1 MUTATIONS=20000 python -m pytest tests/unit/test_mutated_configs.py   # so many examples of a law
"""

import os
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eval.shipped_configs import CONFIGS
from support.mutations import Mutation, mutations, words
from sweep.launch import main
from sweep.redaction import MAX_MESSAGE_CHARS

WTNPO = str(CONFIGS / "wtnpo.yaml")
MAIN = sorted(file.name for file in CONFIGS.glob("*.yaml"))
EXAMPLES = settings(
    max_examples=int(os.environ.get("MUTATIONS", "15")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, where no hub can be reached."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return tmp_path


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run prints nothing, which takes it seconds; all is checked by then."""
    monkeypatch.setattr("sweep.plan.dry_run.describe_launch", lambda wanted, command: "")


def children() -> set[str]:
    """The processes that this one has started, threads' children too."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def said(capsys: pytest.CaptureFixture[str], argv: Sequence[str]) -> str:
    """What a dry run says when it refuses, nothing where it passes; it starts and leaves nothing."""
    files, processes = {*Path.cwd().iterdir()}, children()
    code = main([*argv, "--dry-run"])
    out = capsys.readouterr()
    assert ({*Path.cwd().iterdir()}, children()) == (files, processes)
    if code == 0:
        assert out.err == ""
        return ""
    assert (code, out.out) == (2, "")
    assert out.err.startswith("error: ") and out.err.endswith("\n")
    assert out.err.removesuffix("\n").isprintable()
    assert len(out.err) <= MAX_MESSAGE_CHARS + len("error: \n")
    return out.err


@pytest.mark.usefixtures("brief")
@EXAMPLES
@given(mutation=mutations())
def test_any_mutation_of_a_file(capsys: pytest.CaptureFixture[str], here: Path, mutation: Mutation) -> None:
    """It passes, or the sentence names a key that was touched, or the file and the line, or what the hub would give."""
    folder = here / "mine"
    rmtree(folder, ignore_errors=True)
    message = said(capsys, mutation.written(folder))
    named = {*mutation.about, ", line ", "cannot be had from the hub"}
    assert not message or not mutation.about or any(word in message for word in named)


@pytest.mark.usefixtures("brief")
@EXAMPLES
@given(file=st.just("wtnpo.yaml") | st.sampled_from(MAIN), changes=st.lists(words(), min_size=1, max_size=2))
@example(file="wtnpo.yaml", changes=["storage='\ud800'"])
@example(file="wtnpo.yaml", changes=["storage='a\0b'"])
@example(file="wtnpo.yaml", changes=["seed=" + "[" * 900])
def test_any_words_of_the_command_line(capsys: pytest.CaptureFixture[str], file: str, changes: list[str]) -> None:
    """They pass, or are refused with one sentence."""
    said(capsys, [str(CONFIGS / file), *changes])


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (["search.trials=1000000000"], "search.trials = 1000000000 must be less than or equal to 100000."),
        (["search.trials=1000000000", "search.sampler=grid"], "search.trials"),
        (["seeds=10000000"], "seeds = 10000000 must be"),
        (["train.epochs=1000000000000"], "train.epochs"),
        (["target.epochs=1000000000000"], "target.epochs"),
        (["train.batch=1000000000"], "train.batch"),
        (["model.shape.vocabulary=1000000000000"], "model.shape.vocabulary"),
        (["model.shape.heads=1000000", "model.shape.hidden=2000000"], "model.shape.hidden"),
        (["model.shape.layers=65", "model.deepest=64"], "model.shape.layers = 65 must be less than or equal to 64."),
        (["model.shape.layers=1000000", "model.deepest=999999"], "model.shape.layers"),
        (["cluster.processes=1000000"], "cluster.processes"),
        (["cluster.retries=" + "9" * 30], "cluster.retries"),
        (["cluster.retries=1001"], "cluster.retries = 1001 must be less than or equal to 1000."),
        (["data.forget=1000000000"], "data.forget"),
        (["data.seed=" + "9" * 400], "data.seed"),
        (["space.alpha.step=1e-9", "search.sampler=grid"], "space.alpha.step = 1e-09 must divide 0.0 to 5.0 into at"),
        (["space.alpha.step=1e-300"], "space.alpha.step"),
        (["space.alpha.high=1e300"], "space.alpha.high = 1e+300 must be less than or equal to"),
        (["space.train.epochs={low: 1, high: 1e15}", "search.sampler=grid"], "space.train.epochs.high"),
        (["~space.alpha", f"space.alpha={{choices: {[*range(300)]}}}", *["~space.beta"]], "beta is missing"),
        (["experiment=''"], "experiment = '' must have at least 1 character."),
        (["experiment=" + "x" * 300], "experiment must have at most 250 characters."),
        (["train.lr=" + "1" * 3_000], "override 'train.lr=111"),
    ],
)
def test_absurd_numbers(capsys: pytest.CaptureFixture[str], changes: list[str], names: str) -> None:
    """They are refused with their key, before anything is counted out."""
    assert names in said(capsys, [WTNPO, *changes])


@pytest.mark.usefixtures("brief")
def test_the_largest_that_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    """A grid of as many trials as there may be passes; one combination of choices too many does not."""
    assert said(capsys, [WTNPO, "search.sampler=grid", "search.trials=100000", "seeds=1000000"]) == ""
    choices = [*range(1, 101)]
    own = Path("mine.yaml")
    text = (CONFIGS / "wtnpo.yaml").read_text(encoding="utf-8")
    head, _, tail = text.partition("space: ")
    space = {"alpha": {"choices": choices}, "beta": {"choices": choices}}
    own.write_text(f"{head}space: {space}\n{tail.partition(chr(10))[2]}", encoding="utf-8")
    assert said(capsys, [str(own)]) == ""
    space["beta"]["choices"].append(101)
    own.write_text(f"{head}space: {space}\n{tail.partition(chr(10))[2]}", encoding="utf-8")
    assert "space has 10201 combinations" in said(capsys, [str(own)])


@pytest.mark.usefixtures("brief")
def test_a_ledger_is_made_by_its_sweep(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """A dry run opens a database that is there, makes none, and refuses one that could not be made."""
    assert said(capsys, [WTNPO, "ledger=sqlite:///study.db"]) == ""
    assert said(capsys, [WTNPO, f"ledger=sqlite:///{here}/study.db"]) == ""
    assert "ledger = 'sqlite:///nowhere/study.db'" in said(capsys, [WTNPO, "ledger=sqlite:///nowhere/study.db"])
