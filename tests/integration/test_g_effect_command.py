"""The command that measures gradient effects at any checkpoint: its numbers, its output, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from objectives.wtnpo import WTNPO
from support.targets import Prepared, Toy
from sweep.config.schema import GEffectConfig
from sweep.g_effect.__main__ import main
from sweep.trial.outcomes import GEffectResult
from sweep.trial.unlearn import measure_search_suite, run_unlearning

WORDS = ("--objective", "wtnpo", "alpha=1", "beta=1.0")


@pytest.fixture(scope="module")
def toy(prepared: Prepared) -> Toy:
    """The toy sweep in float32 with its artifacts."""
    return prepared()


def written(toy: Toy, out: Path, *words: str) -> dict[str, Any]:
    """What the command writes of the target."""
    assert main([str(toy[1].target), *words, "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_the_numbers_are_those_of_a_trial(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the target, before a trial's first step: of each term, layer and row, and the weights of tokens."""
    effects = toy[0].eval.model_copy(update={"g_effect": GEffectConfig(every=10, by=("layer", "row"))})
    sweep = toy[0].model_copy(update={"eval": effects})
    trial = run_unlearning(sweep, toy[1], WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite)
    expected = next(item for item in trial if isinstance(item, GEffectResult)).g_effect
    trial.close()
    found = written(toy, tmp_path / "out.json", *WORDS, "--by", "row", "layer")
    assert found["rows"] == expected["rows"] == [1, 2, 3]
    for ours, theirs in zip(found["effects"], expected["effects"], strict=True):
        scale = abs(expected["effects"][0]["whole"])
        assert (ours["risk"], ours["term"]) == (theirs["risk"], theirs["term"])
        for key in ("whole", "parts", "layers", "rows"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6 * scale)
    assert found["weights"] == [pytest.approx(one, rel=1e-5) for one in expected["weights"]]
    assert (found["setting"], found["retain"]) == ({"alpha": 1, "beta": 1.0}, {"term": "kl", "weight": 1.0})
    said = capsys.readouterr().out
    assert "wtnpo alpha=1 beta=1 at" in said and "3 forget, 2 holdout, 3 retain rows" in said
    assert "the reference is the checkpoint itself" in said
    for line in ("whole", "shallow", "head", "layer", "row", "0.9 to 1.0"):
        assert line in said


def test_other_rows_terms_and_references(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer rows keep their numbers; without a retain term there is none; λ scales it; a reference is named."""
    few = written(toy, tmp_path / "few.json", *WORDS, "--rows", "2", "--by", "row", "--retain-term", "none")
    assert few["rows"] == [1, 2]
    assert {one["term"] for one in few["effects"]} == {"objective"}
    one, two = (
        written(toy, tmp_path / "term.json", *WORDS, "--retain-term", "nll", f"retain.weight={weight}")["effects"][2]
        for weight in (1, 2)
    )
    assert two["whole"] == pytest.approx(2 * one["whole"], rel=1e-5)
    capsys.readouterr()
    rmu = written(
        toy,
        tmp_path / "rmu.json",
        *("--objective", "rmu", "layer=1", "c=2", "normalize=false", "--reference", str(toy[1].target)),
    )
    assert rmu["weights"] == [] and rmu["reference"]["checkpoint"] == str(toy[1].target)
    said = capsys.readouterr().out
    assert "have no weights" in said and "the checkpoint itself" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("wtnp", "alpha=1"), "objective 'wtnp' is unknown: allowed are ceu, dpo"),
        (("wtnpo", "alpha=1"), "beta is missing: objective wtnpo needs alpha=VALUE, beta=VALUE"),
        (
            ("wtnpo", "alpha=1", "bta=2"),
            "objective wtnpo has no bta: allowed are alpha, beta, retain.weight (",
        ),
        (("wtnpo", "alpha=1", "beta=x"), "beta = 'x' must be a number"),
        (("wtnpo", "alpha=-1", "beta=1"), "alpha = -1 must be a finite number of at least 0"),
        (("rmu", "layer=2", "c=1", "normalize=true"), "layer = 2 must be a layer of "),
        (("ga", "retain.weight=-1"), "retain.weight = -1 must be a finite number of 0 or more"),
        (("ga", "retain.weight=.nan"), "retain.weight = nan must be a finite number of 0 or more"),
        (("ga", "retain.weight=.inf"), "retain.weight = inf must be a finite number of 0 or more"),
        (("ga", "retan.weight=2"), "objective ga has no retan.weight: allowed are retain.weight (nearest: retain"),
        (("ga", "--by", "layr"), "invalid choice: 'layr' (choose from"),
        (("ga", "nonsense"), "nonsense must be NAME=VALUE, as in alpha=1.5"),
        (("ga", "alpha={"), "alpha={: the value is not YAML"),
        (("ga", "data.forget=x"), "data.forget=x is not allowed here"),
        (("ga", "--reference", "nosuch/folder/there"), "nosuch/folder/there: there is no such folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    toy: Toy, words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a model is loaded, with exit code 2."""
    assert main([str(toy[1].target), "--objective", *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and sentence in told.err and told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize("changed", ["config.json", "tokenizer.json"])
def test_a_reference_of_other_tokens_is_refused(
    toy: Toy, changed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a model is loaded: it has one logit more, or two tokens the other way round."""
    other = shutil.copytree(toy[1].target, tmp_path / "other")
    described = json.loads((other / changed).read_text(encoding="utf-8"))
    if changed == "config.json":
        described["vocab_size"] += 1
    else:
        vocabulary = described["model"]["vocab"]
        one, two = [*vocabulary][-2:]
        vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (other / changed).write_text(json.dumps(described), encoding="utf-8")
    assert main([str(toy[1].target), "--objective", "ga", "--reference", str(other)]) == 2
    told = capsys.readouterr()
    assert told.err == (
        f"error: --reference {other} has another vocabulary than {toy[1].target}: it must be the model before"
        " unlearning\n"
    )
    assert told.out == ""
