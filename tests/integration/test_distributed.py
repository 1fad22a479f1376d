"""Several processes against one: the same steps and weights, the same trial, the same artifacts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from objectives._base import Answers, Objective, needed
from objectives.rmu import RMU
from objectives.wtnpo import WTNPO
from support.targets import FULL, made
from support.together import PROCESSES, together
from support.toys import config, dataset, encoded, llama
from sweep.config.schema import GEffectConfig, SweepConfig
from sweep.prepare.artifacts import locate_artifacts
from sweep.training import checkpoint, reference
from sweep.training.distributed import full_tensor, shard_model, world_size
from sweep.training.g_effect import GEffectProbe, MeasuredEffects
from sweep.training.loop import Schedule, StepResult, shuffled_batches, train_steps
from sweep.training.loss_terms import build_terms
from sweep.training.reference import TrainingRows
from sweep.trial.outcomes import EpochResult, TrialOutcome
from sweep.trial.unlearn import measure_full_suite, run_unlearning

FORGET = encoded((3, 2), (2, 5), (6, 4), (4, 1), (9, 3))
ASKED = TrainingRows(forget=FORGET, refusals=FORGET, retain=encoded((4, 4), (2, 2), (7, 3), (3, 6)), min_length=0)
"""Rows of unlike length, taken three at a time: one process has two of them."""
CPU = torch.device("cpu")
TRAIN = {"batch": 3}
TARGET = {"path": None, "revision": None, "epochs": 10, "lr": 1e-2, "batch": 4, "weight_decay": 0.0}


@dataclass(frozen=True, kw_only=True)
class NaNOnce(Objective):
    """Not a number where an answer has five tokens, as one row's has."""

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    def __call__(self, answers: Answers) -> Tensor:
        """The log-probabilities, or NaN."""
        return torch.where(answers.n[answers.row] == 5, math.nan, needed(answers.logp))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training of three steps of three rows, a row a pass."""

    objective: Objective
    retain: str = "none"
    parallel: str = "ddp"
    clip: float | None = 1.0
    checkpointing: bool = False


ALONE = {
    "wtnpo + kl": Case(objective=WTNPO(alpha=1.0, beta=1.0), retain="kl"),
    "rmu + nll": Case(objective=RMU(layer=1, c=2.0, normalize=False), retain="nll", clip=None),
    "rmu": Case(objective=RMU(layer=1, c=2.0, normalize=False)),
    "checkpointed": Case(objective=WTNPO(alpha=1.0, beta=1.0), retain="kl", checkpointing=True),
    "nan": Case(objective=NaNOnce()),
}
PARALLEL = ("ddp", "fsdp")
"""The ways to hold the model."""
CASES = {(name, parallel): replace(case, parallel=parallel) for name, case in ALONE.items() for parallel in PARALLEL}
Trained = dict[str, Tensor]
"""Losses and norms of the steps, and the weights after them, in float64."""


def begun(case: Case, folder: Path, place: Path | None = None) -> tuple[PreTrainedModel, Iterator[StepResult]]:
    """A model and the steps of its training, with a checkpoint after each if there is a place for it."""
    sweep = config(folder, train={"tokens": 1}, retain={"term": case.retain, "weight": 0.7, "reduction": "tokens"})
    own = llama().double()
    model = shard_model(own, CPU) if case.parallel == "fsdp" else own
    forget, retain = build_terms(sweep, case.objective, 0, model, ASKED, reference.read_reference(folder, model, ASKED))
    schedule = Schedule(
        n_rows=9,
        n_epochs=1,
        batch_size=3,
        lr=1e-2,
        warmup_from=0,
        weight_decay=0.1,
        max_grad_norm=case.clip,
        checkpointing=case.checkpointing,
    )
    pairs = zip(shuffled_batches(len(FORGET), 3, 0), shuffled_batches(len(ASKED.retain), 3, 1), strict=False)
    parts = (chain(forget.loss_parts(model, f), retain.loss_parts(model, r)) for f, r in pairs)
    return model, train_steps(model, schedule, parts, checkpoint.Checkpoint(place, {}, 1e-9, model))


def trained(case: Case, folder: Path) -> Trained:
    """What a training comes to."""
    return told_of(*begun(case, folder))


def effects(parallel: str, folder: Path) -> MeasuredEffects:
    """Gradient effects of WTNPO and KL by row, a row a pass, away from the reference."""
    sweep = config(folder, train={"tokens": 1}, retain={"term": "kl", "weight": 0.7, "reduction": "tokens"})
    own = llama().double()
    model = shard_model(own, CPU) if parallel == "fsdp" else own
    known = reference.read_reference(folder, model, ASKED)
    forget, retain = build_terms(sweep, WTNPO(alpha=1.0, beta=1.0), 0, model, ASKED, known)
    options = GEffectConfig(every=1, by=("layer", "row"))
    probe = GEffectProbe(forget=forget, retain=retain, n_retain=4, holdout=ASKED.retain, options=options)
    return probe.measure_tensors(model)


def continued(case: Case, folder: Path) -> Trained:
    """What a training comes to whose second step was lost."""
    place = folder / f"{case.parallel}-{world_size()}"
    checkpoint.MAX_WRITING_SHARE = math.inf
    _, lost = begun(case, folder, place)
    list(islice(lost, 2))
    return told_of(*begun(case, folder, place))


def told_of(model: PreTrainedModel, training: Iterator[StepResult]) -> Trained:
    """Train, and tell the steps and the weights."""
    steps = list(training)
    weights = {name: full_tensor(weight.detach()) for name, weight in model.named_parameters()}
    told = {
        "loss": torch.tensor([step.loss for step in steps]),
        "norm": torch.stack([step.grad_norm for step in steps]),
    }
    return told | weights


def toy(folder: Path, parallel: str = "ddp") -> SweepConfig:
    """A sweep with all metrics, three rows a batch, whose target knows its rows in part."""
    return config(folder, train=TRAIN | {"parallel": parallel}, eval=FULL, target=TARGET)


def metrics(sweep: SweepConfig) -> list[dict[str, float]]:
    """Those of the points of a trial, and of its outcome."""
    return [
        item.metrics
        for item in run_unlearning(
            sweep, locate_artifacts(sweep, dataset()), WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite
        )
        if isinstance(item, EpochResult | TrialOutcome)
    ]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a process that is not alone tells.

    Attributes:
        trained: of every case.
        continued: of one case with each way to hold the model, from a checkpoint on.
        metrics: of a trial with each way to hold the model.
        effects: of a loss with each way to hold the model.
    """

    trained: dict[tuple[str, str], Trained]
    continued: dict[str, Trained]
    metrics: dict[str, list[dict[str, float]]]
    effects: dict[str, MeasuredEffects]


def told(folder: Path) -> Told:
    """Train every case; make a target with each way to hold the model; run a trial of the one that was made alone."""
    for parallel in PARALLEL:
        made(toy(folder / parallel, parallel))
    return Told(
        trained={name: trained(case, folder) for name, case in CASES.items()},
        continued={parallel: continued(CASES["wtnpo + kl", parallel], folder) for parallel in PARALLEL},
        metrics={parallel: metrics(toy(folder / "alone", parallel)) for parallel in PARALLEL},
        effects={parallel: effects(parallel, folder) for parallel in PARALLEL},
    )


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of this process alone, and of two together.

    Attributes:
        folder: of the reference; what was made lies in it, alone and with each way to hold the model.
        alone: every case, by name.
        metrics: of a trial, alone.
        together: what each of two processes tells.
    """

    folder: Path
    alone: dict[str, Trained]
    metrics: list[dict[str, float]]
    together: list[Told]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """All that is compared, done once."""
    folder = tmp_path_factory.mktemp("work")
    reference.write_reference(folder, llama(1).double(), ASKED, torch.float64)
    made(toy(folder / "alone"))
    return Work(
        folder=folder,
        alone={name: trained(case, folder) for name, case in ALONE.items()},
        metrics=metrics(toy(folder / "alone")),
        together=together(told, folder),
    )


@pytest.mark.parametrize("parallel", PARALLEL)
@pytest.mark.parametrize("name", ALONE)
def test_the_steps_are_those_of_one_process(name: str, parallel: str, work: Work) -> None:
    """Loss, norm and every weight after three steps, on both; a row that is not a number ends the trial on both."""
    expected = work.alone[name]
    assert math.isfinite(expected["loss"].sum()) == (name != "nan")
    assert len(work.together) == PROCESSES
    for own in work.together:
        for key, value in expected.items():
            torch.testing.assert_close(own.trained[name, parallel][key], value, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("parallel", PARALLEL)
def test_a_continued_training_has_the_same_bits(parallel: str, work: Work) -> None:
    """On both; each wrote its shard, or the first one the whole model. A process alone does not go on from it."""
    for own in work.together:
        whole, after = own.trained["wtnpo + kl", parallel], own.continued[parallel]
        assert len(after["loss"]) == 2
        expected = whole | {key: whole[key][-2:] for key in ("loss", "norm")}
        assert all(torch.equal(after[key], value) for key, value in expected.items())
    place = work.folder / f"{parallel}-{PROCESSES}"
    assert len(list(place.glob("*.pt"))) == (PROCESSES if parallel == "fsdp" else 1)
    assert checkpoint.Checkpoint(place, {}, 1e-9, llama()).n_steps == 0


@pytest.mark.parametrize("parallel", PARALLEL)
def test_a_trial_is_that_of_one_process(parallel: str, work: Work) -> None:
    """Each metric of the curve and of the end, on both."""
    expected = [pytest.approx(point, rel=1e-4, abs=1e-5) for point in work.metrics]
    assert 0 < work.metrics[-1]["forget/prob"] < 1
    assert [own.metrics[parallel] for own in work.together] == [expected] * PROCESSES


@pytest.mark.parametrize("parallel", PARALLEL)
def test_gradient_effects_are_those_of_one_process(parallel: str, work: Work) -> None:
    """Of each row by layer, of the retain term, and the weight of each token, on both."""
    alone = effects("ddp", work.folder)
    assert alone.objective.abs().sum((1, 2)).min() > 0 and len(alone.p) == sum(len(row.labels) for row in FORGET)
    for own in work.together:
        for name, value in vars(own.effects[parallel]).items():
            torch.testing.assert_close(value, getattr(alone, name), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("parallel", PARALLEL)
def test_the_same_target_is_made(parallel: str, work: Work) -> None:
    """With its reference and its retain model, but for what the steps make of rounding."""
    alone, found = (
        locate_artifacts(toy(work.folder / "alone"), dataset()),
        locate_artifacts(toy(work.folder / parallel), dataset()),
    )
    assert found.missing_names == []
    weights = load_file(found.target / "model.safetensors")
    for name, weight in load_file(alone.target / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-2, atol=1e-2)
