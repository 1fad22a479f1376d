"""Preparation and one trial on the toy model, end to end without Ray."""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from eval.metrics.calibrated_score import ExtractionStrengths, extraction_strengths
from eval.suite import evaluate
from objectives._base import Answers, Objective, needed
from objectives.ga import GA
from objectives.wtnpo import WTNPO
from support.targets import FULL, Prepared, Toy, made
from support.toys import config, dataset
from sweep.config.schema import GEffectConfig, SweepConfig
from sweep.prepare.artifacts import MANIFEST_FILE, RETAIN_VALUES_FILE, Artifacts, StageProgress, locate_artifacts
from sweep.prepare.preparers import missing_preparers
from sweep.records import StepProgress, TrialRecord
from sweep.training import checkpoint
from sweep.training.weights import snapshot_weights
from sweep.trial.outcomes import EpochResult, GEffectResult, TrialOutcome
from sweep.trial.runner import run_trial, unlearn
from sweep.trial.session import get_session
from sweep.trial.unlearn import measure_full_suite, measure_search_suite, run_unlearning


@pytest.fixture(scope="module")
def toy(prepared: Prepared) -> Toy:
    """The toy sweep in float32 with its artifacts."""
    return prepared()


def trial(toy: Toy, seed: int = 0, alpha: float = 1.0) -> tuple[list[EpochResult], TrialOutcome]:
    """The points and the outcome of one trial."""
    *points, outcome = run_unlearning(*toy, WTNPO(alpha=alpha, beta=1.0), seed, measure_search_suite)
    assert isinstance(outcome, TrialOutcome)
    return [point for point in points if isinstance(point, EpochResult)], outcome


def test_a_target_is_trained_until_it_knows_its_rows(tmp_path: Path) -> None:
    """Not longer, and no rows but its own are asked of the retain model; what came before training is kept."""
    target = {"path": None, "revision": None, "epochs": 60, "lr": 1e-2, "batch": 4, "weight_decay": 0.0, "until": 0.6}
    artifacts = made(config(tmp_path, target=target, eval=FULL))
    found = extraction_strengths(artifacts.reference_metrics)
    assert 0.6 <= min(found) < 1
    assert max(extraction_strengths(artifacts.base_metrics)) < 0.1
    assert artifacts.retain_model is not None


def test_prepared_once(tmp_path: Path) -> None:
    """The second preparation makes nothing; other rows or another recipe would be another artifact."""
    target = {"path": None, "revision": None, "epochs": 2, "lr": 1e-2, "batch": 4, "weight_decay": 0.0}
    sweep = config(tmp_path, target=target, eval=FULL)
    lean = config(tmp_path, target=target)
    assert locate_artifacts(lean, dataset()).missing_names == ["target", "reference"]
    assert len(missing_preparers(lean, dataset(), locate_artifacts(lean, dataset()))) == 1
    artifacts = locate_artifacts(sweep, dataset())
    assert artifacts.missing_names == ["target", "reference", "retain model"]
    both = missing_preparers(sweep, dataset(), artifacts)
    assert len(both) == 2
    stages = Counter(progress.stage for maker in both for progress in maker())
    assert stages == {"target": 2 * 8 // 4, "reference": 2, "retain model": 2 * 5 // 4}
    assert artifacts.missing_names == []
    assert missing_preparers(sweep, dataset(), artifacts) == []
    padded = sweep.model_copy(update={"retain": sweep.retain.model_copy(update={"reduction": "padded500"})})
    assert locate_artifacts(padded, dataset()).target == artifacts.target
    assert locate_artifacts(padded, dataset()).reference != artifacts.reference


def test_a_trial_takes_nothing_that_is_damaged(toy: Toy, tmp_path: Path) -> None:
    """One bit of the target's weights is another: the trial fails and says so; what is made again is taken."""
    shutil.copytree(toy[0].storage / ".artifacts", tmp_path / ".artifacts")
    sweep = toy[0].model_copy(update={"storage": tmp_path})
    artifacts = locate_artifacts(sweep, dataset())
    weights = artifacts.target / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    record = TrialRecord(phase="search", index=0, setting={"alpha": 1.0, "beta": 1.0}, seed=0, state="running")
    (ended,) = run_trial(partial(unlearn, sweep, artifacts), record)
    assert ended.state == "failed"
    assert ended.reason.startswith(f"DataError: the target in {artifacts.target} was damaged or removed: --resume")
    for preparer in missing_preparers(sweep, dataset(), artifacts):
        list(preparer())
    *_, ended = run_trial(partial(unlearn, sweep, artifacts), record)
    assert ended.state == "finished"


def test_the_target_knows_its_rows(toy: Toy) -> None:
    """It says what it was taught, and the stored metrics are the model's own."""
    sweep, artifacts = toy
    here = get_session(sweep, artifacts)
    here.target_weights.reset(here.model)
    assert here.reference_metrics["forget/es"] == here.reference_metrics["retain/es"] == 1.0
    assert evaluate(here.model, here.probes) == here.reference_metrics


def test_an_untouched_target_scores_its_own_forget_es(toy: Toy) -> None:
    """Steps too small for float32 change no weight: the unmixed model keeps all, and its score is the reference's."""
    sweep, artifacts = toy
    still = sweep.model_copy(update={"train": sweep.train.model_copy(update={"lr": 1e-30})})
    _, outcome = trial((still, artifacts))
    reference = artifacts.reference_metrics
    assert {key: outcome.metrics[key] for key in reference} == reference
    assert outcome.metrics["score"] == extraction_strengths(reference).forget
    assert (outcome.metrics["mix"], outcome.reason) == (1.0, "")


def test_a_trial_forgets(toy: Toy) -> None:
    """A point for each of the four epochs; what is to be forgotten is weaker than before."""
    points, outcome = trial(toy)
    assert [point.epoch for point in points] == [1, 2, 3, 4]
    assert outcome.metrics["forget/es"] == points[-1].metrics["forget/es"] < 1.0
    assert 0 <= outcome.metrics["score"] <= 1
    assert outcome.reason == "" or outcome.metrics["mix"] == 0


def test_same_seed_same_bits_on_a_warm_worker(toy: Toy) -> None:
    """Another trial in between leaves no trace; another seed gives another trial."""
    first = trial(toy)
    other = trial(toy, seed=1)
    assert trial(toy) == first != other


def test_reset_is_the_target(toy: Toy) -> None:
    """After a trial the reset restores every bit; a mix of 0 is the target, of 1 the unlearned."""
    sweep, artifacts = toy
    here = get_session(sweep, artifacts)
    here.target_weights.reset(here.model)
    target = snapshot_weights(here.model)
    trial(toy)
    unlearned = {name: weight + 1 for name, weight in target.items()}
    for m, expected in ((0.0, target), (1.0, unlearned)):
        here.target_weights.mix(here.model, unlearned, m)
        assert all(torch.equal(p, expected[name]) for name, p in here.model.named_parameters())
    here.target_weights.reset(here.model)
    assert all(torch.equal(p, target[name]) for name, p in here.model.named_parameters())


def test_mix_equals_a_full_scan(toy: Toy) -> None:
    """The largest m of all 64 that keeps τ, each mixed and measured, is the trial's m*."""
    sweep, artifacts = toy
    harsh = sweep.model_copy(update={"retain": sweep.retain.model_copy(update={"term": "none"})})
    outcomes = [
        o for o in run_unlearning(harsh, artifacts, GA(), 0, measure_search_suite) if isinstance(o, TrialOutcome)
    ]
    here = get_session(sweep, artifacts)
    unlearned = dict(_trained(harsh, artifacts))

    def measured(m: float) -> ExtractionStrengths:
        here.target_weights.mix(here.model, unlearned, m)
        return extraction_strengths(evaluate(here.model, here.probes))

    keeps = [
        m / 64
        for m in range(1, 65)
        if measured(m / 64).retain >= 0.95 * extraction_strengths(here.reference_metrics).retain
    ]
    best = max(keeps, default=0.0)
    assert best < 1
    assert outcomes[0].metrics["mix"] == best


def _trained(sweep: SweepConfig, artifacts: Artifacts) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights at the end of the training, before anything is mixed."""
    here = get_session(sweep, artifacts)
    for point in run_unlearning(sweep, artifacts, GA(), 0, measure_search_suite):
        if isinstance(point, EpochResult) and point.epoch == sweep.train.epochs:
            return iter(snapshot_weights(here.model).items())
    raise AssertionError("no last epoch")


def test_divergence_is_a_result(toy: Toy) -> None:
    """A learning rate of 1e30 ends with the worst score, the reference's forget ES, and the reason."""
    sweep, artifacts = toy
    wild = sweep.model_copy(update={"train": sweep.train.model_copy(update={"lr": 1e30})})
    *_, outcome = run_unlearning(wild, artifacts, GA(), 0, measure_search_suite)
    assert isinstance(outcome, TrialOutcome)
    here = get_session(sweep, artifacts)
    assert outcome.metrics["score"] == extraction_strengths(here.reference_metrics).forget
    assert outcome.metrics["mix"] == 0
    assert "not finite" in outcome.reason or "no mix" in outcome.reason


def test_a_gradient_that_is_not_finite_ends_the_trial(toy: Toy) -> None:
    """Weights of which a square root of 0 has no slope: the loss is finite, and the reason tells the epoch."""
    sweep, artifacts = toy

    @dataclass(frozen=True, kw_only=True)
    class Steep(Objective):
        unit = "token"
        needs: ClassVar[frozenset[str]] = frozenset({"logp"})

        def __call__(self, answers: Answers) -> torch.Tensor:
            logp = needed(answers.logp)
            return (logp - logp.detach()).sqrt()

    *_, outcome = run_unlearning(sweep, artifacts, Steep(), 0, measure_search_suite)
    assert isinstance(outcome, TrialOutcome)
    assert outcome.reason == "the gradient was not finite in epoch 1 of 4"
    assert outcome.metrics["score"] == extraction_strengths(get_session(sweep, artifacts).reference_metrics).forget


@pytest.mark.parametrize("tau", [0.95, 0.6, 0.3])
def test_the_lower_of_last_and_kept_epoch_counts(toy: Toy, tau: float) -> None:
    """The last epoch, mixed, against the earlier one that forgets most and keeps τ unmixed, from the curve by hand."""
    sweep, artifacts = toy
    sweep = sweep.model_copy(update={"score": sweep.score.model_copy(update={"tau": tau})})
    best = sweep.model_copy(update={"search": sweep.search.model_copy(update={"epochs": "best"})})
    objective = WTNPO(alpha=1.0, beta=1.0)
    *points, last = run_unlearning(sweep, artifacts, objective, 0, measure_search_suite)
    *again, outcome = run_unlearning(best, artifacts, objective, 0, measure_search_suite)
    assert isinstance(last, TrialOutcome) and isinstance(outcome, TrialOutcome) and again == points
    needed_es = tau * extraction_strengths(get_session(sweep, artifacts).reference_metrics).retain
    earlier = [point.metrics for point in points[:-1] if isinstance(point, EpochResult)]
    kept = [one for one in earlier if extraction_strengths(one).retain >= needed_es]
    lowest = min(kept, key=lambda one: extraction_strengths(one).forget, default=None)
    if lowest is None or extraction_strengths(lowest).forget >= last.metrics["score"]:
        assert outcome == last
        return
    assert (outcome.metrics["score"], outcome.metrics["mix"]) == (extraction_strengths(lowest).forget, 1.0)
    assert {key: outcome.metrics.get(key) for key in lowest} == lowest


def test_a_given_retain_model_takes_the_place_of_a_made_one(prepared: Prepared) -> None:
    """The made one given by its folder: its values for forget quality are the same, and nothing is fine-tuned."""
    _, made = prepared(eval=FULL)
    _, given = prepared(eval=FULL, retain_model={"path": str(made.retain_model), "revision": None})
    assert made.retain_model is not None and given.retain_model is not None
    assert (given.target, given.reference) == (made.target, made.reference)
    assert given.retain_model != made.retain_model
    ours, theirs = ((one / RETAIN_VALUES_FILE).read_text() for one in (given.retain_model, made.retain_model))
    assert json.loads(ours) == json.loads(theirs)


def test_full_suite_beside_the_score(prepared: Prepared) -> None:
    """With the retain model made, all metrics stand beside a score that is the same as without them."""
    whole, artifacts = prepared(eval=FULL)
    *_, full = run_unlearning(whole, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite)
    *_, lean = run_unlearning(whole, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite)
    assert isinstance(full, TrialOutcome) and isinstance(lean, TrialOutcome)
    assert {key: full.metrics[key] for key in lean.metrics} == lean.metrics
    assert full.metrics.keys() > {"forget/prob", "forget/truth_ratio", "retain/rouge_l", "forget_quality"}


def test_answers_stand_beside_the_same_numbers(prepared: Prepared) -> None:
    """All three forget and both holdout rows; the target knows its metrics, also in a trial after others."""
    whole, artifacts = prepared(eval=FULL)
    asked = (whole, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite)
    *_, shown = run_unlearning(*asked, compared_suite=measure_full_suite)
    *_, plain = run_unlearning(*asked)
    *_, again = run_unlearning(*asked, compared_suite=measure_full_suite)
    assert isinstance(shown, TrialOutcome) and isinstance(plain, TrialOutcome)
    assert {key: shown.metrics[key] for key in plain.metrics} == plain.metrics
    assert (plain.answers, plain.target_metrics) == ([], {})
    assert again == shown
    assert {key: shown.target_metrics[key] for key in artifacts.reference_metrics} == artifacts.reference_metrics
    assert [(one["part"], one["row"]) for one in shown.answers] == [
        *(("forget", row) for row in "123"),
        *(("retain", row) for row in "12"),
    ]
    assert all(
        one["answer"].endswith(" town") and {"target", "compared", "unlearned"} <= {*one} for one in shown.answers
    )


def test_gradient_effects_change_no_number(toy: Toy) -> None:
    """A trial yields the same to the bit; its record has the effects, the first at the target, every second step."""
    sweep, artifacts = toy
    options = GEffectConfig(every=2, rows=2, by=("row",))
    probed = sweep.model_copy(update={"eval": sweep.eval.model_copy(update={"g_effect": options})})
    start = TrialRecord(phase="search", index=0, setting={"alpha": 1.0, "beta": 1.0}, seed=0, state="running")
    plain, found = ([*run_trial(partial(unlearn, one, artifacts), start)][-1] for one in (sweep, probed))
    assert plain.g_effects == []
    assert replace(found, g_effects=[]) == plain
    assert [one["step"] for one in found.g_effects] == [0, 2, 4]
    assert all(one["rows"] == [1, 2] for one in found.g_effects)
    objective, *_ = found.g_effects[0]["effects"]
    assert objective["whole"] < 0 and len(objective["rows"]) == 2 and objective["layers"] == []


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long writing takes, a checkpoint that is due is written."""
    monkeypatch.setattr(checkpoint, "MAX_WRITING_SHARE", float("inf"))


def often(sweep: SweepConfig, **changes: object) -> SweepConfig:
    """The sweep with a checkpoint at every step."""
    cluster = sweep.cluster.model_copy(update={"checkpoint": 1e-9})
    return sweep.model_copy(update={"cluster": cluster, **changes})


@pytest.mark.usefixtures("_often")
def test_a_killed_preparation_goes_on(tmp_path: Path, toy: Toy) -> None:
    """SIGKILL at step 50 of 120 leaves the checkpoint of step 49; what it makes in the end is the same to the byte."""
    sweep, plain = often(toy[0], storage=tmp_path), toy[1]
    artifacts = locate_artifacts(sweep, dataset())
    (preparer,) = missing_preparers(sweep, dataset(), artifacts)
    if (child := os.fork()) == 0:
        next(step for step in preparer() if step.done == 50)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    steps = list(preparer())
    assert steps[0] == StageProgress(stage="target", done=49, total=120, goes_on=True)
    assert (steps[1].done, steps[1].goes_on) == (50, False)
    for made_here, made_there in ((artifacts.target, plain.target), (artifacts.reference, plain.reference)):
        assert (made_here / MANIFEST_FILE).read_bytes() == (made_there / MANIFEST_FILE).read_bytes()
    assert not list(tmp_path.glob(".artifacts/*.checkpoint"))


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("epochs", ["last", "best"])
def test_an_interrupted_trial_goes_on(tmp_path: Path, toy: Toy, epochs: str) -> None:
    """Stopped at each epoch's end in turn, it tells the same points and the same outcome, and leaves nothing behind."""
    search = toy[0].search.model_copy(update={"epochs": epochs})
    score = toy[0].score.model_copy(update={"tau": 0.3})
    effects = toy[0].eval.model_copy(update={"g_effect": GEffectConfig(every=1)})
    sweep, folder = often(toy[0], search=search, score=score, eval=effects), tmp_path / "search-0"
    asked = (toy[1], WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite)
    whole = list(run_unlearning(sweep, *asked))
    plain = [item for item in whole if not isinstance(item, GEffectResult)]
    for n_epochs in (2, 3):
        trial = run_unlearning(sweep, *asked, checkpoint_folder=folder)
        points = list(islice((item for item in trial if isinstance(item, EpochResult)), n_epochs))
        trial.close()
        assert points == plain[:n_epochs]
    again = list(run_unlearning(sweep, *asked, checkpoint_folder=folder))
    assert [item for item in again if not isinstance(item, GEffectResult | StepProgress)] == plain
    found = [item for item in again if isinstance(item, GEffectResult)]
    assert found == [item for item in whole if isinstance(item, GEffectResult)]
    assert [item.g_effect["step"] for item in found] == [*range(6)]
    assert [item for item in again if isinstance(item, StepProgress)] == [StepProgress(done=3, total=6, goes_on=True)]
    assert list(tmp_path.iterdir()) == []
