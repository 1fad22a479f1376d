"""Numbers that are not finite, in a trial and in what trials start from: a divergence is a result, or one sentence."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from rich.console import Console
from transformers import PreTrainedModel

from eval.metrics.calibrated_score import extraction_strengths
from eval.models.forward import MapFn
from eval.suite import Probes, evaluate
from objectives._base import Answers, Objective, needed
from objectives.ga import GA
from support.targets import Prepared, Toy
from support.toys import config, dataset, llama, tokenizer
from support.trials import sweep_of, trial
from sweep.errors import ConfigError
from sweep.prepare.artifacts import locate_artifacts
from sweep.prepare.preparers import missing_preparers
from sweep.records import Setting, TrackingRun, TrialRecord
from sweep.report import write_report
from sweep.report.data import ReportData
from sweep.results import console_tables, write_results
from sweep.training import weights
from sweep.trial.outcomes import EpochResult, TrialOutcome
from sweep.trial.runner import run_trial
from sweep.trial.session import get_session
from sweep.trial.unlearn import measure_search_suite, run_unlearning

ENDS = (1, 3, 4, 6)
"""Steps of the toy trial when each of its four epochs is over: 3 rows, 2 a batch."""


@pytest.fixture(scope="module", params=["float32", "master", "kahan"])
def toy(request: pytest.FixtureRequest, prepared: Prepared) -> Toy:
    """The toy sweep in each precision, with its artifacts."""
    return prepared(request.param)


def breaking(step: int, broken: Callable[[torch.Tensor], torch.Tensor]) -> Objective:
    """Gradient ascent of which the loss of one step, from 0, is broken."""
    calls = list[int]()

    @dataclass(frozen=True, kw_only=True)
    class Breaking(Objective):
        unit = "token"
        needs: ClassVar[frozenset[str]] = frozenset({"logp"})

        def __call__(self, answers: Answers) -> torch.Tensor:
            calls.append(1)
            logp = needed(answers.logp)
            return broken(logp) if len(calls) == step + 1 else logp

    return Breaking()


def times(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The loss multiplied by a number, its slope as well."""
    return lambda logp: logp * value


def steep(logp: torch.Tensor) -> torch.Tensor:
    """The same loss, with an infinite slope."""
    return logp + (logp - logp.detach()).sqrt()


def ended(toy: Toy, objective: Objective, clip: float | None = None) -> TrialOutcome:
    """How the trial ends, clipped or not."""
    sweep, artifacts = toy
    own = sweep.model_copy(update={"train": sweep.train.model_copy(update={"clip": clip})})
    *points, outcome = run_unlearning(own, artifacts, objective, 0, measure_search_suite)
    assert isinstance(outcome, TrialOutcome)
    assert all(isinstance(point, EpochResult) for point in points)
    return outcome


def check_worst(toy: Toy, outcome: TrialOutcome, reason: str) -> None:
    """The reference's forget ES, nothing mixed in, and the reason."""
    assert outcome.reason == reason
    assert outcome.metrics["score"] == extraction_strengths(get_session(*toy).reference_metrics).forget
    assert outcome.metrics["mix"] == 0
    assert all(math.isfinite(value) for value in outcome.metrics.values())


@pytest.mark.parametrize(("step", "clip"), [(0, None), (3, 1.0), (5, None)])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_a_loss_that_is_not_finite_is_a_result(toy: Toy, value: float, step: int, clip: float | None) -> None:
    """In the first, a middle and the last step; 1e38 times the log-probabilities of a batch overflows too."""
    epoch = next(number for number, end in enumerate(ENDS, start=1) if step < end)
    outcome = ended(toy, breaking(step, times(value)), clip)
    what = "gradient" if "gradient" in outcome.reason and value == 1e38 else "loss"
    check_worst(toy, outcome, f"the {what} was not finite in epoch {epoch} of 4")


@pytest.mark.parametrize(("step", "epoch", "clip"), [(0, 1, 1.0), (3, 3, None), (5, 4, 1.0)])
def test_a_gradient_that_is_not_finite_is_a_result(toy: Toy, step: int, epoch: int, clip: float | None) -> None:
    """Its loss is finite; clipping does not hide it."""
    check_worst(toy, ended(toy, breaking(step, steep), clip), f"the gradient was not finite in epoch {epoch} of 4")


def test_the_next_trial_starts_afresh(toy: Toy) -> None:
    """What diverged leaves nothing behind on its worker, bit for bit."""
    before = ended(toy, GA())
    ended(toy, breaking(5, times(math.nan)))
    assert ended(toy, GA()) == before


@pytest.mark.parametrize("metric", ["forget/es", "forget/es_paraphrase", "retain/es", "retain/es_paraphrase"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_a_result(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, metric: str, value: float
) -> None:
    """Of every model but the reference: the trial has finished, with a score that is finite."""

    def broken(model: PreTrainedModel, probes: Probes, each: MapFn) -> Mapping[str, float]:
        return evaluate(model, probes, each) | {metric: value}

    get_session(*toy)
    monkeypatch.setattr("sweep.trial.unlearn.evaluate", broken)
    outcome = ended(toy, GA())
    assert math.isfinite(outcome.metrics["score"])
    assert outcome.reason or (metric.startswith("retain") and value == math.inf)


@pytest.mark.parametrize("lr", [1e9, 1e38])
def test_a_target_that_diverged_is_one_sentence(tmp_path: Path, lr: float) -> None:
    """Every trial would start from it: it is no artifact, and none is left half-made."""
    target = {"path": None, "revision": None, "epochs": 15, "lr": lr, "batch": 4, "weight_decay": 0.0}
    sweep = config(tmp_path, target=target)
    (maker,) = missing_preparers(sweep, dataset(), artifacts := locate_artifacts(sweep, dataset()))
    with pytest.raises(ConfigError) as caught:
        list(maker())
    assert str(caught.value) == (
        f"target.lr = {lr:g}: the target diverged, its weights are not finite: choose another."
    )
    assert artifacts.missing_names == ["target", "reference"]
    assert [path.name for path in artifacts.target.parent.iterdir()] == [f"{artifacts.target.name}.lock"]


@pytest.mark.parametrize("key", ["model", "target"])
def test_a_tokenizer_of_another_model_is_one_sentence(tmp_path: Path, key: str) -> None:
    """Weights of 100 tokens beside a tokenizer of more, as the base model and as the tuned one."""
    sweep = config(tmp_path)
    model = llama()
    model.resize_token_embeddings(100)
    weights.save_model(model, tokenizer(), folder := tmp_path / "odd")
    block = getattr(sweep, key).model_copy(update={"path": str(folder), "shape": None})
    odd = sweep.model_copy(update={key: block})
    (maker,) = missing_preparers(odd, dataset(), locate_artifacts(odd, dataset()))
    with pytest.raises(
        ConfigError, match=rf"^{key}\.path = '{folder}': its tokenizer gives token \d{{3}}, but its weights"
    ):
        list(maker())


def test_a_curve_may_hold_what_is_not_finite() -> None:
    """A point with a loss of NaN is kept as it is, and the trial goes on."""

    def odd(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
        yield EpochResult(epoch=1, metrics={"loss": math.nan})
        yield TrialOutcome(metrics={"score": 0.5, "extra": math.inf}, reason="it broke")

    record = TrialRecord(phase="search", index=0, setting={}, seed=0, state="running")
    point, end = run_trial(odd, record)
    assert math.isnan(point.curve[0]["loss"])
    assert (end.state, end.score, end.metrics["extra"], end.reason) == ("finished", 0.5, math.inf, "it broke")


def test_a_sweep_in_which_every_trial_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its files, its report and its table stand what is not finite; a line says that nothing was found."""
    reason = "the loss was not finite in epoch 2 of 4"
    metrics = {"score": 0.75, "mix": 0.0, "forget_quality": math.nan, "retain/prob": math.inf}
    point = {"epoch": 1, "loss": math.nan} | dict.fromkeys(("forget/es", "retain/es"), math.inf)
    curve = [point | {"forget/es_paraphrase": math.nan, "retain/es_paraphrase": 0.5}]
    settings: list[Setting] = [{"alpha": float(number), "beta": 2.0} for number in range(1, 4)]
    records = [
        trial(index, setting, 0.75, metrics=metrics, curve=curve, reason=reason)
        for index, setting in enumerate(settings)
    ]
    sweep, folder = config(tmp_path), tmp_path / "all"
    folder.mkdir()
    seconds = write_results.SweepSeconds(prepare=1, sweep=1, total=2)
    where = TrackingRun(tracking_uri="sqlite:///x", experiment="x", run_id="x")
    write_results.write_sweep_files(folder, sweep_of(sweep, records), seconds=seconds, logged=where, target={})
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["trials"]["finished"] == 3
    assert summary["best"]["metrics"] == {"score": 0.75, "mix": 0.0, "forget_quality": None, "retain/prob": None}
    assert (folder / "trials.csv").read_text().count(f"nan,0.0,inf,0.75,{reason}") == 3
    assert sweep_of(sweep, records).found is None
    written = write_report.write_files(
        folder, [ReportData(name="all", config=sweep, records=records, target_metrics={})]
    )
    assert all(path.stat().st_size for path in written)
    Console(width=200).print(console_tables.render_sweep(sweep_of(sweep, records)))
    assert f"Nothing was found: even the best trial has the worst score ({reason}).\n" in capsys.readouterr().out
