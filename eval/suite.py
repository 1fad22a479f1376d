"""Suites of metrics of a model on the rows of a dataset.

The search measures extraction strength alone (`evaluate`), in one teacher-forced pass. `evaluate_full` measures all
metrics of `eval.definitions.SUITE`, in one such pass over all texts and one greedy generation for ROUGE-L.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.definitions import GREEDY_ANSWER, ROW_METRICS, SUITE, RowMetric
from eval.metrics import membership_inference
from eval.metrics.extraction_strength import extraction_strength
from eval.metrics.forget_quality import floored_log10, forget_quality
from eval.metrics.model_utility import UTILITY_METRICS, model_utility
from eval.metrics.probability import mean_logp, probability_share
from eval.metrics.truth_ratio import closeness_to_one, margin_below_one, truth_ratio
from eval.models.answers import FACT_PARTS, SIDES, PartOutputs, compute_outputs, group_by_part, row_of_perturbed
from eval.models.forward import MapFn, label_statistics
from eval.models.generation import generate_greedy
from eval.rows.encode import EncodedRow, Template, encode_paraphrased, encode_rows
from eval.rows.types import Dataset, Row


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Rows that the search measures, as tokens: each part with its original and, if all have them, other questions."""

    parts: Mapping[str, tuple[EncodedRow, ...]]

    @classmethod
    def from_dataset(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerFast, template: Template) -> "Probes":
        """Encode the probes of a dataset: forget rows, and holdout rows under the name of what they measure, retain."""
        sides = {"forget": dataset.forget, "retain": dataset.holdout}
        encoders = {"es": encode_rows} | ({"es_paraphrase": encode_paraphrased} if dataset.has_paraphrases else {})
        return cls(
            parts={
                f"{side}/{name}": tuple(encode(tokenizer, template, rows))
                for name, encode in encoders.items()
                for side, rows in sides.items()
            }
        )


def evaluate(model: PreTrainedModel, probes: Probes, each: MapFn = map) -> dict[str, float]:
    """Return the mean ES of each part, in one teacher-forced pass over all of them."""
    rows = [row for part in probes.parts.values() for row in part]
    es = extraction_strength(label_statistics(model, rows, each))
    parts = es.split([len(part) for part in probes.parts.values()])
    return {key: float(part.mean()) for key, part in zip(probes.parts, parts, strict=True)}


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """Result of the full suite; every key of `SUITE` is in `metrics` or in `left_out`, all numbers are finite.

    Attributes:
        metrics: each metric's value.
        rows: each metric's value by row, in the dataset's order; `mia/NAME/forget` and `mia/NAME/unseen` have the score
            of each row in an attack.
        left_out: the reason why a metric has no value.
        answers: the greedy answer to each row's question, by part; empty where nothing was generated.
    """

    metrics: dict[str, float]
    rows: dict[str, list[float]]
    left_out: dict[str, str]
    answers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RetainValues:
    """Values of the retain model, which never saw the forget rows, for comparison.

    Attributes:
        truth_ratio: its truth ratio on each forget row; empty if the rows lack the variants.
        membership: its AUC in each attack, forget against unseen rows; empty if there are no unseen rows.
    """

    truth_ratio: tuple[float, ...]
    membership: dict[str, float]


ValueOrReason: TypeAlias = float | str
"""Metric, or the reason why it has no value."""
RowValuesOrReason: TypeAlias = Tensor | str
"""Metric of each row [B], or the reason why it has no values."""
AttackScores: TypeAlias = Mapping[str, tuple[list[float], list[float]]]
"""Scores of the forget and of the unseen rows, by attack."""

NO_ROWS = "there are no such rows"
NO_UNSEEN = "there are no unseen rows"
NO_RETAIN_MODEL = "no retain model was given"
NOT_FINITE = "the model's log-probabilities are not finite"


def measure_retain_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    dataset: Dataset,
    each: MapFn = map,
) -> RetainValues:
    """Measure the values of the retain model that `evaluate_full` compares with, in one teacher-forced pass of it.

    Raises:
        ValueError: the retain model's log-probabilities are not finite.
    """
    rows = {"forget": dataset.forget, "unseen": dataset.unseen}
    outputs = compute_outputs(model, tokenizer, template, rows, each)
    if not _is_finite(outputs):
        raise ValueError("the retain model's log-probabilities are not finite: nothing can be compared with it.")
    ratio = _compute_ratios(outputs["forget"], rows["forget"], "paraphrased_answer")
    return RetainValues(
        truth_ratio=() if isinstance(ratio, str) else tuple(ratio.tolist()),
        membership={attack: membership_inference.auc(*scores) for attack, scores in _score_attacks(outputs).items()},
    )


def evaluate_full(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    dataset: Dataset,
    *,
    retain: RetainValues | None,
    each: MapFn = map,
) -> SuiteReport:
    """Measure all metrics of a model; those that cannot be computed are left out with the reason.

    Args:
        model: a causal language model in evaluation mode, on any device.
        tokenizer: the model's.
        template: the text of a row, as in fine-tuning.
        dataset: the rows.
        retain: the retain model's values on the same rows; None leaves out the metrics that need them.
        each: maps over the batches of a pass.
    """
    rows = group_by_part(dataset)
    outputs = compute_outputs(model, tokenizer, template, rows, each)
    if not _is_finite(outputs):
        return SuiteReport(metrics={}, rows={}, left_out=dict.fromkeys(SUITE, NOT_FINITE))
    greedy = _generate_answers(model, tokenizer, template, rows, each)
    by_row, attacks = _measure_rows(rows, outputs, greedy), _score_attacks(outputs)
    values = {key: value if isinstance(value, str) else _average_rows(key, value) for key, value in by_row.items()}
    values |= (
        _compute_utility(values)
        | _compute_quality(by_row["forget/truth_ratio"], retain)
        | _compute_membership(attacks, retain)
    )
    assert values.keys() == SUITE.keys(), "a metric without a definition, or a definition without a metric"
    return SuiteReport(
        metrics={key: value for key in SUITE if not isinstance(value := values[key], str)},
        rows={key: value.tolist() for key, value in by_row.items() if not isinstance(value, str)}
        | _name_scores(attacks),
        left_out={key: value for key in SUITE if isinstance(value := values[key], str)},
        answers=greedy,
    )


def _is_finite(outputs: Mapping[str, PartOutputs]) -> bool:
    return all(bool(texts.logp.isfinite().all()) for part in outputs.values() for texts in part.values())


def _generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    rows: Mapping[str, Sequence[Row]],
    each: MapFn,
) -> dict[str, list[str]]:
    """Generate the greedy answer to each row's question; all parts are generated together."""
    parts = (*SIDES, *FACT_PARTS)
    encoded = encode_rows(tokenizer, template, [row for part in parts for row in rows[part]])
    answers = iter(generate_greedy(model, tokenizer, [row.ids[: row.start] for row in encoded], each=each))
    return {part: list(islice(answers, len(rows[part]))) for part in parts}


def _measure_rows(
    rows: Mapping[str, Sequence[Row]], outputs: Mapping[str, PartOutputs], greedy: Mapping[str, Sequence[str]]
) -> dict[str, RowValuesOrReason]:
    """Compute the metrics that have a value for each row."""
    found: dict[str, RowValuesOrReason] = {}
    for part in SIDES:
        for name, metric in ROW_METRICS.items():
            found[f"{part}/{name}"] = _measure_row_metric(metric, rows[part], outputs[part], greedy[part])
        found[f"{part}/truth_ratio"] = _compute_ratios(outputs[part], rows[part], "paraphrased_answer")
    for part in FACT_PARTS:
        found[f"{part}/prob"] = _compute_shares(outputs[part], rows[part])
        found[f"{part}/truth_ratio"] = _compute_ratios(outputs[part], rows[part], "answer")
        found[f"{part}/rouge_l"] = _measure_row_metric(ROW_METRICS["rouge_l"], rows[part], outputs[part], greedy[part])
    return found


def _measure_row_metric(
    metric: RowMetric, rows: Sequence[Row], outputs: PartOutputs, greedy: Sequence[str]
) -> RowValuesOrReason:
    """Compute a metric of each row from the text that it reads."""
    compute = _load_function(metric.function)
    if metric.reads == GREEDY_ANSWER and rows:
        return torch.tensor(compute([row.answer for row in rows], greedy), dtype=torch.float64)
    if metric.reads in outputs:
        values: Tensor = compute(outputs[metric.reads])
        return values
    return _describe_missing(metric.reads, rows)


def _load_function(path: str) -> Callable[..., Any]:
    """Load `FILE.FUNCTION` of eval/metrics."""
    file, _, name = path.partition(".")
    function: Callable[..., Any] = getattr(import_module(f"eval.metrics.{file}"), name)
    return function


def _compute_shares(outputs: PartOutputs, rows: Sequence[Row]) -> RowValuesOrReason:
    """Compute the right answer's share of probability in each row."""
    if "perturbed_answers" not in outputs:
        return _describe_missing("perturbed_answers", rows)
    return probability_share(
        mean_logp(outputs["answer"]), mean_logp(outputs["perturbed_answers"]), row_of_perturbed(rows)
    )


def _compute_ratios(outputs: PartOutputs, rows: Sequence[Row], right: str) -> RowValuesOrReason:
    """Compute the truth ratio of each row, with the right answer in that kind of text."""
    for kind in (right, "perturbed_answers"):
        if kind not in outputs:
            return _describe_missing(kind, rows)
    return truth_ratio(mean_logp(outputs[right]), mean_logp(outputs["perturbed_answers"]), row_of_perturbed(rows))


def _describe_missing(kind: str, rows: Sequence[Row]) -> str:
    """Return the reason why a kind of text is missing."""
    return f"a row has no {kind.replace('_', ' ')}" if rows else NO_ROWS


def _average_rows(key: str, values: Tensor) -> float:
    """Return the mean over rows; a truth ratio is first put into TOFU's form for its part."""
    if key.endswith("/truth_ratio"):
        values = closeness_to_one(values) if key == "forget/truth_ratio" else margin_below_one(values)
    return float(values.mean())


def _compute_utility(values: Mapping[str, ValueOrReason]) -> dict[str, ValueOrReason]:
    nine = {key: value for key in UTILITY_METRICS if not isinstance(value := values[key], str)}
    missing = [key for key in UTILITY_METRICS if key not in nine]
    return {"model_utility": f"it needs {missing[0]}" if missing else model_utility(nine)}


def _compute_quality(ratio: RowValuesOrReason, retain: RetainValues | None) -> dict[str, ValueOrReason]:
    if retain is None or isinstance(ratio, str):
        reason = NO_RETAIN_MODEL if retain is None else "it needs forget/truth_ratio"
        return {"forget_quality": reason, "forget_quality_log10": reason}
    p = forget_quality(ratio.tolist(), retain.truth_ratio)
    return {"forget_quality": p, "forget_quality_log10": floored_log10(p)}


def _score_attacks(outputs: Mapping[str, PartOutputs]) -> AttackScores:
    """Score the forget and the unseen rows by each attack; empty if there are no rows to compare."""
    if not outputs["forget"] or not outputs["unseen"]:
        return {}
    forget, unseen = (membership_inference.score_attacks(outputs[part]["answer"]) for part in ("forget", "unseen"))
    return {attack: (forget[attack].tolist(), unseen[attack].tolist()) for attack in membership_inference.ATTACKS}


def _name_scores(attacks: AttackScores) -> dict[str, list[float]]:
    """Name the scores as in the rows of a report."""
    return {
        f"mia/{attack}/{part}": scores
        for attack, both in attacks.items()
        for part, scores in zip(("forget", "unseen"), both, strict=True)
    }


def _compute_membership(attacks: AttackScores, retain: RetainValues | None) -> dict[str, ValueOrReason]:
    if not attacks:
        return dict.fromkeys([*(f"mia/{attack}" for attack in membership_inference.ATTACKS), "privleak"], NO_UNSEEN)
    auc = {attack: membership_inference.auc(*scores) for attack, scores in attacks.items()}
    found: dict[str, ValueOrReason] = {f"mia/{attack}": value for attack, value in auc.items()}
    return found | {"privleak": _compute_privleak(auc["min_k"], retain)}


def _compute_privleak(auc: float, retain: RetainValues | None) -> ValueOrReason:
    if retain is None:
        return NO_RETAIN_MODEL
    if retain.membership["min_k"] == 1:
        return "the retain model's AUC is 1, to which nothing can be relative"
    return membership_inference.privacy_leak(auc, retain.membership["min_k"])
