"""Several processes against one: the same steps and weights, the same trial, the same artifacts."""

import math
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives.rmu import RMU
from objectives.wtnpo import WTNPO
from support.together import PROCESSES, together
from support.toys import config, dataset, encoded, llama
from sweep import training
from sweep.compose import SHIPPED, load
from sweep.config import ConfigError, SweepConfig
from sweep.trial import makers
from sweep.unlearning import losses, reference
from sweep.unlearning.artifacts import Artifacts, plan
from sweep.unlearning.loop import Schedule, descend, stream
from sweep.unlearning.losses import passes, terms
from sweep.unlearning.parallel import deal, shared_out, whole
from sweep.unlearning.reference import Asked
from sweep.unlearning.run import full_suite, run

FORGET = encoded((3, 2), (2, 5), (6, 4), (4, 1), (9, 3))
ASKED = Asked(forget=FORGET, refusals=FORGET, retain=encoded((4, 4), (2, 2), (7, 3), (3, 6)), length=0)
"""Rows of unlike length, taken three at a time: one process has two of them."""
CPU = torch.device("cpu")

WTNPO_CONFIG = SHIPPED / "wtnpo.yaml"

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@given(lengths, st.integers(1, 5))
def test_all_is_dealt_evenly(lengths: list[int], hands: int) -> None:
    """Each place once and in order; who holds most would hold least without one of its rows."""
    dealt = deal(lengths, hands)
    assert sorted(chain(*dealt)) == list(range(len(lengths)))
    assert all(hand == sorted(hand) for hand in dealt)
    held = [sum(lengths[place] for place in hand) for hand in dealt]
    most = max(range(hands), key=lambda i: held[i])
    assert held[most] - min(lengths[place] for place in dealt[most]) <= min(held)


@given(lengths, st.integers(1, 5), st.integers(1, 60))
def test_all_processes_make_as_many_passes(lengths: list[int], processes: int, tokens: int) -> None:
    """What counts is every chosen row once; what does not is a row of the batch."""
    rows = encoded(*((1, length) for length in lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "size", lambda: processes)
        found = []
        for rank in range(processes):
            patch.setattr(losses, "rank", lambda rank=rank: rank)
            found.append(list(passes(rows, range(len(rows)), tokens)))
    assert len({len(own) for own in found}) == 1
    counted = [i for own in found for group, weight in own for i in group if weight]
    assert sorted(counted) == list(range(len(rows)))
    assert {weight for own in found for _, weight in own} <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("typed", "processes"),
    [([], 1), (["cluster.processes=3"], 3), (["cluster=multi-gpu"], 2), (["cluster.gpus=0.5"], 1)],
)
def test_a_process_for_each_gpu(typed: list[str], processes: int) -> None:
    """Unless their number is given, where there is no GPU."""
    assert load(WTNPO_CONFIG, typed).cluster.processes == processes


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("cluster.gpus=1.5", "cluster.gpus = 1.5 must be a whole number"),
        ("cluster.gpus=2 cluster.processes=3", "cluster.processes = 3 must be 2 where cluster.gpus = 2"),
        ("cluster.gpus=0.5 cluster.processes=2", "cluster.processes = 2 must be 1 where cluster.gpus = 0.5"),
        ("train.parallel=fsdp", "train.parallel = 'fsdp' must be ddp where cluster.processes = 1"),
        (
            "cluster=multi-gpu train.parallel=fsdp train.precision=kahan target.weight_decay=0",
            "train.parallel = 'fsdp' must be ddp where train.precision = 'kahan'",
        ),
    ],
)
def test_what_cannot_work_together_is_refused(typed: str, words: str) -> None:
    """One sentence, with the key."""
    with pytest.raises(ConfigError) as caught:
        training.check(load(WTNPO_CONFIG, typed.split()))
    assert str(caught.value).startswith(words)


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
CASES = {
    (name, parallel): replace(case, parallel=parallel) for name, case in ALONE.items() for parallel in ("ddp", "fsdp")
}


def trained(case: Case, folder: Path) -> dict[str, Tensor]:
    """Losses and norms of the steps, and the weights after them, in float64."""
    sweep = config(folder, train={"tokens": 1}, retain={"term": case.retain, "weight": 0.7, "reduction": "tokens"})
    own = llama().double()
    model = shared_out(own, CPU) if case.parallel == "fsdp" else own
    forget, retain = terms(sweep, case.objective, 0, model, ASKED, reference.read(folder, model, ASKED))
    schedule = Schedule(
        rows=9, epochs=1, batch=3, lr=1e-2, weight_decay=0.1, clip=case.clip, checkpointing=case.checkpointing
    )
    pairs = zip(stream(len(FORGET), 3, 0), stream(len(ASKED.retain), 3, 1), strict=False)
    parts = (chain(forget.parts(model, f), retain.parts(model, r)) for f, r in pairs)
    steps = list(descend(model, schedule, parts))
    weights = {name: whole(weight.detach()) for name, weight in model.named_parameters()}
    told = {"loss": torch.tensor([step.loss for step in steps]), "norm": torch.stack([step.norm for step in steps])}
    return told | weights


def all_trained(folder: Path) -> dict[tuple[str, str], dict[str, Tensor]]:
    """Every case, in a process that is not alone."""
    return {name: trained(case, folder) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[tuple[str, str], dict[str, Tensor]]]]:
    """The folder of the reference, and what each of two processes trained."""
    folder = tmp_path_factory.mktemp("steps")
    reference.write(folder, llama(1).double(), ASKED, torch.float64)
    return folder, together(all_trained, folder)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", ALONE)
def test_the_steps_are_those_of_one_process(
    name: str, parallel: str, steps: tuple[Path, list[dict[tuple[str, str], dict[str, Tensor]]]]
) -> None:
    """Loss, norm and every weight after three steps, on both; a row that is not a number ends the trial on both."""
    folder, found = steps
    expected = trained(ALONE[name], folder)
    assert math.isfinite(expected["loss"].sum()) == (name != "nan")
    for own in found:
        for key, value in expected.items():
            torch.testing.assert_close(own[name, parallel][key], value, rtol=1e-9, atol=1e-9, equal_nan=True)


def toy(folder: Path, parallel: str = "ddp") -> SweepConfig:
    """A sweep with all metrics, three rows a batch."""
    return config(folder, train={"parallel": parallel, "batch": 3}, eval={"every": 1, "suite": "full"})


def prepared(sweep: SweepConfig) -> Artifacts:
    """Its artifacts, made where they are missing."""
    artifacts = plan(sweep, dataset())
    for maker in makers(sweep, dataset(), artifacts):
        list(maker())
    return artifacts


def metrics(sweep: SweepConfig) -> list[dict[str, float]]:
    """Those of the points of a trial, and of its outcome."""
    return [item.metrics for item in run(sweep, plan(sweep, dataset()), WTNPO(alpha=1.0, beta=1.0), 0, full_suite)]


def both(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Of each way to hold the model: a preparation, and a trial of what was prepared alone; not in one process."""
    for parallel in ("ddp", "fsdp"):
        prepared(toy(folder / parallel, parallel))
    return {parallel: metrics(toy(folder, parallel)) for parallel in ("ddp", "fsdp")}


def test_a_trial_is_that_of_one_process(tmp_path: Path) -> None:
    """Each metric of the curve and of the end; and the same target is made, but for what 160 steps make of rounding."""
    alone = prepared(toy(tmp_path))
    expected = [pytest.approx(point, rel=1e-4, abs=1e-5) for point in metrics(toy(tmp_path))]
    assert together(both, tmp_path) == [dict.fromkeys(("ddp", "fsdp"), expected)] * PROCESSES
    for parallel in ("ddp", "fsdp"):
        made = plan(toy(tmp_path / parallel), dataset())
        assert made.missing == []
        weights = load_file(made.target / "model.safetensors")
        for name, weight in load_file(alone.target / "model.safetensors").items():
            torch.testing.assert_close(weights[name], weight, rtol=1e-2, atol=1e-2)
