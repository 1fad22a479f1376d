"""The forecast against what is measured: memory by PyTorch's profiler, disk by the artifacts.

THOROUGH=1 python -m pytest tests/integration/test_forecast_measured.py     # every case, not only one of each kind
"""

import os
from collections.abc import Iterable
from itertools import chain, product
from pathlib import Path

import pytest
from torch import Tensor
from transformers import LlamaConfig, PhiConfig, PreTrainedConfig

from eval.models.checkpoint import make_empty_model
from eval.models.forward import label_statistics
from objectives._base import Objective
from objectives.idk import IDK
from objectives.rmu import RMU
from objectives.undial import UNDIAL
from objectives.wtnpo import WTNPO
from support.allocations import measure_allocations
from support.targets import FULL, Prepared
from support.toys import config, dataset, encoded
from sweep.config.schema import SweepConfig
from sweep.prepare import cost
from sweep.prepare.memory import SweepRows, measure_stages
from sweep.training import reference
from sweep.training.g_effect import GEffectProbe, measure_before_steps
from sweep.training.loop import Schedule, train_steps
from sweep.training.lora import add_adapters, compute_merged, reset_adapters
from sweep.training.loss_terms import build_terms
from sweep.training.precision import COMPUTE_DTYPES, WEIGHT_DTYPES, apply_precision
from sweep.training.reference import TrainingRows

THOROUGH = "THOROUGH" in os.environ
LLAMA = LlamaConfig(
    vocab_size=1000,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=3,
    num_attention_heads=4,
    tie_word_embeddings=True,
)
PHI = PhiConfig(vocab_size=1500, hidden_size=96, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4)
ROWS = encoded(*[(20, 60 + i % 3) for i in range(8)])
OBJECTIVE = WTNPO(alpha=1.0, beta=1.0)
RMU_2, UNDIAL_1 = RMU(layer=2, c=2.0, normalize=False), UNDIAL(beta=1.0)

KINDS = [
    (LLAMA, "float32", False),
    (LLAMA, "master", False),  # keeps the layers' weights in bfloat16 for the backward pass
    (LLAMA, "master", True),  # makes them again
    (LLAMA, "kahan", False),
    (PHI, "kahan", True),  # whose head is not its embedding and has a bias
]
EVERY_KIND = [*product([LLAMA, PHI], ["float32", "master", "kahan"], [False, True])]
LOSSES = [(RMU_2, "none"), (UNDIAL_1, "kl"), (IDK(), "nll")]
"""One of each family of needs (hidden states; two distributions; refusals), and each retain term."""
EVERY_LOSS = [*product([RMU_2, UNDIAL_1, IDK()], ["none", "nll", "kl"])]


def measured(sweep: SweepConfig, architecture: PreTrainedConfig, objective: Objective, folder: Path) -> int:
    """Bytes that two real steps of all rows take, each with an evaluation after it, and the weights before them."""
    train = sweep.train
    model = apply_precision(
        make_empty_model(architecture, WEIGHT_DTYPES[train.precision], train.attention), train.precision
    )
    if train.lora is not None:
        add_adapters(model, train.lora, train.precision)
        reset_adapters(model, 0)
    asked = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=100)
    reference.write_reference(folder, model, asked, COMPUTE_DTYPES[train.precision])
    said = reference.read_reference(folder, model, asked)
    forget, retain = build_terms(sweep, objective, 0, model, asked, said)
    schedule = Schedule(
        n_rows=8,
        n_epochs=2,
        batch_size=8,
        lr=1e-3,
        warmup_from=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        checkpointing=train.checkpointing,
    )

    def trial() -> None:
        losses: Iterable[Iterable[Tensor]] = (
            chain(forget.loss_parts(model, range(8)), retain.loss_parts(model, range(8))) for _ in range(2)
        )
        if (options := sweep.eval.g_effect) is not None:
            probe = GEffectProbe(forget=forget, retain=retain, n_retain=8, holdout=ROWS, options=options)
            losses = measure_before_steps(probe, model, losses, {1}, [])
        for _ in train_steps(model, schedule, losses):
            with compute_merged(model):
                label_statistics(model, ROWS)

    weights = {id(weight): weight.nbytes for weight in chain(model.parameters(), said.head.parameters())}
    return measure_allocations(trial) + sum(weights.values())


@pytest.mark.parametrize(("architecture", "precision", "checkpointing"), EVERY_KIND if THOROUGH else KINDS)
def test_memory_of_a_step(architecture: PreTrainedConfig, precision: str, checkpointing: bool, tmp_path: Path) -> None:
    """Within 10 % of what two real steps take."""
    sweep = config(tmp_path, train={"precision": precision, "checkpointing": checkpointing, "batch": 8})
    check_memory(sweep, architecture, OBJECTIVE, tmp_path)


@pytest.mark.parametrize("train", [{"tokens": 160}, {"tokens": 400, "precision": "kahan"}, {"attention": "eager"}])
def test_memory_of_other_trainings(train: dict[str, object], tmp_path: Path) -> None:
    """In parts, where the rows of the second pass are more than those of the first; with the plain attention."""
    check_memory(config(tmp_path, train={"batch": 8} | train), LLAMA, OBJECTIVE, tmp_path)


@pytest.mark.parametrize(("objective", "term"), EVERY_LOSS if THOROUGH else LOSSES)
def test_memory_of_other_losses(objective: Objective, term: str, tmp_path: Path) -> None:
    """Whatever an objective needs, and with each retain term."""
    sweep = config(tmp_path, train={"batch": 8}, retain={"term": term, "weight": 1.0, "reduction": "tokens"})
    check_memory(sweep, LLAMA, objective, tmp_path)


@pytest.mark.parametrize("precision", ["float32", "master", "kahan"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_memory_of_adapters(precision: str, checkpointing: bool, tmp_path: Path) -> None:
    """Gradients and moments of the adapters alone."""
    lora = {"rank": 8, "alpha": 16.0}
    sweep = config(tmp_path, train={"precision": precision, "checkpointing": checkpointing, "batch": 8, "lora": lora})
    check_memory(sweep, LLAMA, OBJECTIVE, tmp_path)


@pytest.mark.parametrize("train", [{}, {"precision": "kahan", "checkpointing": True, "batch": 2}])
def test_memory_of_gradient_effects(train: dict[str, object], tmp_path: Path) -> None:
    """The gradients of two risks, of more rows than a step has."""
    effects = {"every": 1, "suite": "search", "g_effect": {"every": 1, "rows": 8}}
    check_memory(config(tmp_path, train={"batch": 8} | train, eval=effects), LLAMA, OBJECTIVE, tmp_path)


def check_memory(sweep: SweepConfig, architecture: PreTrainedConfig, objective: Objective, folder: Path) -> None:
    """The fullest moment of unlearning and evaluation, forecast and measured."""
    asked = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=100)
    found = measure_stages(
        sweep,
        objective,
        architecture,
        SweepRows(training_rows=asked, target_rows=ROWS, retain_model_rows=ROWS, probes=ROWS),
    )
    peak = max(stage.total_bytes for name, stage in found.items() if name != "fine-tuning")
    assert peak == pytest.approx(measured(sweep, architecture, objective, folder), rel=0.1)


@pytest.mark.parametrize("precision", ["float32", "kahan"])
@pytest.mark.parametrize("reduction", ["tokens", "padded500"])
def test_disk(precision: str, reduction: str, prepared: Prepared) -> None:
    """Within 10 % of each artifact's files."""
    sweep, places = prepared(precision, retain={"term": "kl", "weight": 1.0, "reduction": reduction}, eval=FULL)
    found = cost.estimate_budget(sweep, dataset(), places).artifact_costs
    assert len(found) == 3
    for folder, own in found.items():
        real = sum(file.stat().st_size for file in folder.iterdir())
        assert own.disk_bytes == pytest.approx(real, rel=0.1)
