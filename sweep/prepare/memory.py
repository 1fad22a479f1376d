"""Measure the peak memory of a trial without allocating it: run our own training step on tensors without data.

torch's FakeTensorMode computes only the shape of each operation's result, so that a step of a model with 7 billion
parameters takes seconds, and no weights are loaded. No formula has to be kept consistent with the training loop.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PreTrainedConfig, PreTrainedModel

from eval.models.checkpoint import make_empty_model
from eval.models.forward import MAX_PASS_POSITIONS, find_blocks, label_statistics
from eval.models.logits import head_of, output_layer
from eval.rows.encode import EncodedRow, group_by_length
from objectives._base import Objective
from sweep.config.model_schema import LoraConfig
from sweep.config.schema import GEffectConfig, SweepConfig
from sweep.prepare.memory_tracker import MemoryTracker
from sweep.training.g_effect import GEffectProbe
from sweep.training.loop import Schedule, train_steps
from sweep.training.lora import add_adapters, compute_merged
from sweep.training.loss_terms import build_terms, deal_micro_batches, nll_parts
from sweep.training.precision import COMPUTE_DTYPES, WEIGHT_DTYPES, apply_precision, trainable_parameters
from sweep.training.reference import CachedOutputs, Reference, TrainingRows, take_frozen_head


@dataclass(frozen=True, kw_only=True)
class StageMemory:
    """Peak bytes of a stage on each of a trial's devices, by part.

    Attributes:
        weights: the model's weights.
        head: the frozen copy of the reference's head; none where the model's own is frozen.
        gradients: one for each weight that is trained, or for gradient effects those of two risks.
        optimizer: its state.
        activations: everything else: activations, logits, the reference's outputs for the batch, and with sharded
            weights those that are gathered.
    """

    weights: int
    head: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total_bytes(self) -> int:
        """Sum of all parts."""
        return self.weights + self.head + self.gradients + self.optimizer + self.activations

    def shard_over(self, processes: int, gathered: int) -> "StageMemory":
        """Return the memory on each of several devices: sharded, plus the bytes of weights gathered at a time."""
        return StageMemory(
            weights=self.weights // processes,
            head=self.head,
            gradients=self.gradients // processes,
            optimizer=self.optimizer // processes,
            activations=self.activations + gathered * (2 if self.gradients else 1),
        )


@dataclass(frozen=True, kw_only=True)
class SweepRows:
    """All rows of a sweep as tokens.

    Attributes:
        training_rows: rows of unlearning.
        target_rows: rows on which the target is fine-tuned.
        retain_model_rows: rows on which the retain model is fine-tuned.
        probes: rows of an evaluation.
    """

    training_rows: TrainingRows
    target_rows: Sequence[EncodedRow]
    retain_model_rows: Sequence[EncodedRow]
    probes: Sequence[EncodedRow]

    def fine_tuning_rows(self, config: SweepConfig) -> Sequence[EncodedRow]:
        """Return the rows of the largest fine-tuning in the preparation; none if it has no fine-tuning."""
        if config.target.path is None:
            return self.target_rows
        return self.retain_model_rows if config.eval.suite == "full" else ()


def make_bare_model(architecture: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """Make a model without weights; sdpa replaces flash attention, which saves no more and may not be installed.

    Raises:
        DataError: it needs code of its own, or lacks that attention.
    """
    return make_empty_model(architecture, dtype, "eager" if attention == "eager" else "sdpa")


def count_parameters(architecture: PreTrainedConfig, attention: str) -> int:
    """Count the parameters of a model from its configuration alone; `attention` is as in `train.attention`."""
    with FakeTensorMode():
        return make_bare_model(architecture, torch.float32, attention).num_parameters()


def measure_stages(
    config: SweepConfig, objective: Objective, architecture: PreTrainedConfig, texts: SweepRows
) -> dict[str, StageMemory]:
    """Measure the peak memory of unlearning, of what is measured during it, and of fine-tuning, by stage.

    Each stage runs on the longest rows that a pass may have. The steps after training (mixes, and metrics at a trial's
    end) take less, since the optimizer is freed by then.

    Args:
        config: the sweep.
        objective: the forget term.
        architecture: the model's configuration.
        texts: the rows.
    """
    tuned = texts.fine_tuning_rows(config)
    with MemoryTracker() as alive:
        model = make_trained_model(config, architecture, config.train.lora)
        found = _measure_trial(alive, config, objective, model, texts)
        if tuned:
            if config.target.lora != config.train.lora:
                model = make_trained_model(config, architecture, config.target.lora)
            loss = _fine_tuning_loss(config, model, tuned)
            found["fine-tuning"], _ = _measure_training(alive, config, model, loss, {})
    if config.train.parallel == "ddp":
        return found
    gathered = _gathered_bytes(model)
    return {name: stage.shard_over(config.cluster.processes, gathered) for name, stage in found.items()}


def make_trained_model(config: SweepConfig, architecture: PreTrainedConfig, lora: LoraConfig | None) -> PreTrainedModel:
    """Make a model without weights in the precision of the training, with adapters where these are trained."""
    precision = config.train.precision
    bare = make_bare_model(architecture, WEIGHT_DTYPES[precision], config.train.attention)
    model = apply_precision(bare, precision)
    if lora is not None:
        add_adapters(model, lora, precision)
    return model


def _measure_trial(
    alive: MemoryTracker, config: SweepConfig, objective: Objective, model: PreTrainedModel, texts: SweepRows
) -> dict[str, StageMemory]:
    """Measure a trial: a step of unlearning, and what is measured between steps, while the optimizer is there."""
    rows, several = _heaviest_training_rows(config, texts.training_rows, config.train.batch)
    reference = make_blank_reference(model, rows, COMPUTE_DTYPES[config.train.precision])
    unlearn = unlearning_loss(config, objective, model, rows, reference)
    loss = chain(touch_weights(model) if several else (), unlearn)
    between: dict[str, Callable[[], object]] = {"evaluation": partial(_evaluate, model, _heaviest_probes(texts.probes))}
    if config.eval.g_effect is not None:
        probe = _build_effect_probe(config, config.eval.g_effect, objective, model, texts)
        between["gradient effects"] = partial(probe.measure_tensors, model)
    step, peaks = _measure_training(alive, config, model, loss, between)
    own = {id(parameter) for parameter in model.parameters()}
    head = _sum_bytes(weight for weight in reference.head.parameters() if id(weight) not in own)
    held = {"evaluation": 0, "gradient effects": 2 * step.gradients}
    return {"unlearning": replace(step, head=head)} | {
        name: replace(step, head=head, gradients=held[name], activations=peak - held[name])
        for name, peak in peaks.items()
    }


def _evaluate(model: PreTrainedModel, probes: Sequence[EncodedRow]) -> None:
    with compute_merged(model):
        label_statistics(model, probes)


def _measure_training(
    alive: MemoryTracker,
    config: SweepConfig,
    model: PreTrainedModel,
    loss: Iterable[Tensor],
    between: Mapping[str, Callable[[], object]],
) -> tuple[StageMemory, dict[str, int]]:
    """Measure a training step after the first, and the peak bytes of what is done between steps, by its name."""
    trained, before = _sum_bytes(weight for _, weight in trainable_parameters(model)), alive.current
    schedule = _two_steps(config.train.checkpointing)
    with closing(train_steps(model, schedule, [touch_weights(model), loss])) as steps:
        next(steps)
        optimizer = alive.current - before
        activations = alive.measure_peak(lambda: next(steps)) - trained
        peaks = {name: alive.measure_peak(work) for name, work in between.items()}
    weights = _sum_bytes(model.parameters())
    stage = StageMemory(weights=weights, head=0, gradients=trained, optimizer=optimizer, activations=activations)
    return stage, peaks


def _two_steps(checkpointing: bool) -> Schedule:
    """Return the schedule of two steps of one row each."""
    return Schedule(
        n_rows=1,
        n_epochs=2,
        batch_size=1,
        lr=1e-5,
        warmup_from=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        checkpointing=checkpointing,
    )


def unlearning_loss(
    config: SweepConfig, objective: Objective, model: PreTrainedModel, rows: TrainingRows, reference: Reference
) -> Iterator[Tensor]:
    """Yield the loss of a trial's step in parts."""
    forget, retain = build_terms(config, objective, 0, model, rows, reference)
    yield from forget.loss_parts(model, range(len(rows.forget)))
    yield from retain.loss_parts(model, range(len(rows.retain)))


def _fine_tuning_loss(config: SweepConfig, model: PreTrainedModel, tuned: Sequence[EncodedRow]) -> Iterator[Tensor]:
    """Yield the loss of a fine-tuning step in parts."""
    rows, passes = _heaviest_pass(config, tuned, config.target.batch)
    yield from touch_weights(model) if passes > 1 else ()
    yield from nll_parts(model, tuned, rows, config.train.tokens)


def touch_weights(model: PreTrainedModel) -> Iterator[Tensor]:
    """Yield one loss part that sets the gradients of all trained weights, and so the optimizer's state, as any pass."""
    yield torch.stack([parameter.sum() for _, parameter in trainable_parameters(model)]).sum()


def _build_effect_probe(
    config: SweepConfig, options: GEffectConfig, objective: Objective, model: PreTrainedModel, texts: SweepRows
) -> GEffectProbe:
    """Build the probe of gradient effects over the rows of its heaviest passes."""
    rows, _ = _heaviest_training_rows(config, texts.training_rows, options.rows)
    holdout, _ = _heaviest_pass(config, texts.retain_model_rows, options.rows)
    reference = make_blank_reference(model, rows, COMPUTE_DTYPES[config.train.precision])
    forget, retain = build_terms(config, objective, 0, model, rows, reference)
    return GEffectProbe(
        forget=forget,
        retain=retain,
        n_retain=len(rows.retain),
        holdout=[texts.retain_model_rows[i] for i in holdout],
        options=options.model_copy(update={"by": ()}),
    )


def _heaviest_training_rows(config: SweepConfig, training_rows: TrainingRows, n: int) -> tuple[TrainingRows, bool]:
    """Return the rows of the heaviest passes over n rows of a part, and True if there is more than one pass."""
    forget, one = _heaviest_pass(config, training_rows.forget, n)
    retain, other = _heaviest_pass(config, training_rows.retain, n, training_rows.min_length)
    rows = TrainingRows(
        forget=[training_rows.forget[i] for i in forget],
        refusals=[training_rows.refusals[i] for i in forget],
        retain=[training_rows.retain[i] for i in retain],
        min_length=training_rows.min_length,
    )
    return rows, one + (0 if config.retain.term == "none" else other) > 1


def _heaviest_pass(
    config: SweepConfig, rows: Sequence[EncodedRow], batch: int, length: int = 0
) -> tuple[list[int], int]:
    """Return the indices of the longest rows that a process's pass may have, and the number of passes in their step."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].inputs))[:batch]
    groups = deal_micro_batches(rows, order, config.train.tokens, length, config.cluster.processes)[0]
    return max(groups, key=lambda group: len(group) * max(length, len(rows[group[0]].inputs))), len(groups)


def _heaviest_probes(probes: Sequence[EncodedRow]) -> list[EncodedRow]:
    """Return the rows of an evaluation's heaviest pass."""
    return [probes[i] for i in group_by_length([len(row.inputs) for row in probes], MAX_PASS_POSITIONS)[0]]


def make_blank_reference(model: PreTrainedModel, training_rows: TrainingRows, dtype: torch.dtype) -> Reference:
    """Make a reference with outputs of the right shape, all zero."""
    width = head_of(model).get_parameter("weight").shape[1]
    return Reference(
        head=take_frozen_head(output_layer(model), dtype),
        forget=_make_blank_outputs(training_rows.forget, width, dtype),
        refusal=_make_blank_outputs(training_rows.refusals, width, dtype),
        retain=tuple(torch.zeros(positions, width, dtype=dtype) for positions in training_rows.retain_lengths),
    )


def _make_blank_outputs(rows: Sequence[EncodedRow], width: int, dtype: torch.dtype) -> CachedOutputs:
    n = [len(row.labels) for row in rows]
    return CachedOutputs(
        logp=tuple(torch.zeros(tokens) for tokens in n),
        hidden=tuple(torch.zeros(tokens, width, dtype=dtype) for tokens in n),
    )


def _gathered_bytes(model: PreTrainedModel) -> int:
    """Count the bytes that a sharded model gathers at once: weights outside the layers, a layer, and the next one."""
    layers = [_sum_bytes(layer.parameters()) for layer in find_blocks(model)]
    return _sum_bytes(model.parameters()) - sum(layers) + 2 * max(layers)


def _sum_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
