"""Suites of metrics of a model on the rows of a dataset.

The search measures extraction strength alone (`evaluate`), in one teacher-forced pass. `evaluate_full` measures all
metrics of `eval.definitions.SUITE`, in one such pass over all texts and one greedy generation for ROUGE-L.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.definitions import SUITE
from eval.metrics import membership_inference
from eval.metrics.exact_memorization import exact_memorisation
from eval.metrics.extraction_strength import extraction_strength
from eval.metrics.forget_quality import floored_log10, forget_quality
from eval.metrics.model_utility import NINE, model_utility
from eval.metrics.probability import mean_logp, probability, share
from eval.metrics.rouge import rouge_l
from eval.metrics.truth_ratio import closeness, margin, truth_ratio
from eval.models.answers import FACTS, SIDES, Part, ask, parts, row_of_wrong
from eval.models.forward import Each, Labels, label_statistics
from eval.models.generation import greedy
from eval.rows.encode import Encoded, Template, encode_paraphrased, encode_rows
from eval.rows.types import Dataset, Row


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Rows that the search measures, as tokens: each part with its original and its paraphrased questions."""

    parts: Mapping[str, tuple[Encoded, ...]]

    @classmethod
    def of(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerFast, template: Template) -> "Probes":
        """Encode the probes of a dataset: forget rows, and holdout rows under the name of what they measure, retain."""
        sides = {"forget": dataset.forget, "retain": dataset.holdout}
        exact = {f"{side}/es": encode_rows(tokenizer, template, rows) for side, rows in sides.items()}
        other = {f"{side}/es_paraphrase": encode_paraphrased(tokenizer, template, rows) for side, rows in sides.items()}
        return cls(parts={key: tuple(rows) for key, rows in (exact | other).items()})


def evaluate(model: PreTrainedModel, probes: Probes, each: Each = map) -> dict[str, float]:
    """Return the mean ES of each part, in one teacher-forced pass over all of them."""
    rows = [row for part in probes.parts.values() for row in part]
    es = extraction_strength(label_statistics(model, rows, each))
    parts = es.split([len(part) for part in probes.parts.values()])
    return {key: float(part.mean()) for key, part in zip(probes.parts, parts, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of the full suite; every key of `SUITE` is in `metrics` or in `left_out`, all numbers are finite.

    Attributes:
        metrics: each metric's value.
        rows: each metric's value by row, in the dataset's order; `mia/NAME/forget` and `mia/NAME/unseen` have the score
            of each row in an attack.
        left_out: the reason why a metric has no value.
    """

    metrics: dict[str, float]
    rows: dict[str, list[float]]
    left_out: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class RetainValues:
    """Values of the retain model, which never saw the forget rows, for comparison.

    Attributes:
        truth_ratio: its truth ratio on each forget row; empty if the rows lack the variants.
        membership: its AUC in each attack, forget against unseen rows; empty if there are no unseen rows.
    """

    truth_ratio: tuple[float, ...]
    membership: dict[str, float]


Value: TypeAlias = float | str
"""Metric, or the reason why it has no value."""
Values: TypeAlias = Tensor | str
"""Metric of each row [B], or the reason why it has no values."""
Attacks: TypeAlias = Mapping[str, tuple[list[float], list[float]]]
"""Scores of the forget and of the unseen rows, by attack."""

BY_LABELS: Mapping[str, tuple[str, Callable[[Labels], Tensor]]] = {
    "es": ("answer", extraction_strength),
    "es_paraphrase": ("paraphrased_question", extraction_strength),
    "prob": ("answer", probability),
    "exact_memorisation": ("answer", exact_memorisation),
}
"""Metrics of forget and retain that read one kind of text: that kind, and the function from its statistics."""
NO_ROWS = "there are no such rows"
NO_UNSEEN = "there are no unseen rows"
NO_RETAIN_MODEL = "no retain model was given"
NOT_FINITE = "the model's log-probabilities are not finite"


def retain_values(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    dataset: Dataset,
    each: Each = map,
) -> RetainValues:
    """Measure the values of the retain model that `evaluate_full` compares with, in one teacher-forced pass of it.

    Raises:
        ValueError: the retain model's log-probabilities are not finite.
    """
    rows = {"forget": dataset.forget, "unseen": dataset.unseen}
    said = ask(model, tokenizer, template, rows, each)
    if not _finite(said):
        raise ValueError("the retain model's log-probabilities are not finite: nothing can be compared with it.")
    ratio = _ratio(said["forget"], rows["forget"], "paraphrased_answer")
    return RetainValues(
        truth_ratio=() if isinstance(ratio, str) else tuple(ratio.tolist()),
        membership={attack: membership_inference.auc(*scores) for attack, scores in _attacks(said).items()},
    )


def full(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    dataset: Dataset,
    *,
    retain: RetainValues | None,
    each: Each = map,
) -> Report:
    """Measure all metrics of a model; those that cannot be computed are left out with the reason.

    Args:
        model: a causal language model in evaluation mode, on any device.
        tokenizer: the model's.
        template: the text of a row, as in fine-tuning.
        dataset: the rows.
        retain: the retain model's values on the same rows; None leaves out the metrics that need them.
        each: maps over the batches of a pass.
    """
    rows = parts(dataset)
    said = ask(model, tokenizer, template, rows, each)
    if not _finite(said):
        return Report(metrics={}, rows={}, left_out=dict.fromkeys(SUITE, NOT_FINITE))
    by_row, attacks = _by_row(said, rows), _attacks(said)
    by_row |= _rouge(model, tokenizer, template, rows, each)
    values = {key: value if isinstance(value, str) else _mean(key, value) for key, value in by_row.items()}
    values |= _utility(values) | _quality(by_row["forget/truth_ratio"], retain) | _membership(attacks, retain)
    return Report(
        metrics={key: value for key in SUITE if not isinstance(value := values[key], str)},
        rows={key: value.tolist() for key, value in by_row.items() if not isinstance(value, str)} | _scores(attacks),
        left_out={key: value for key in SUITE if isinstance(value := values[key], str)},
    )


def _finite(said: Mapping[str, Part]) -> bool:
    return all(bool(texts.logp.isfinite().all()) for part in said.values() for texts in part.values())


def _by_row(said: Mapping[str, Part], rows: Mapping[str, Sequence[Row]]) -> dict[str, Values]:
    """Compute the metrics of each row that need only the teacher-forced pass."""
    found: dict[str, Values] = {}
    for part in SIDES:
        for metric, (kind, of) in BY_LABELS.items():
            found[f"{part}/{metric}"] = of(said[part][kind]) if kind in said[part] else _lacks(kind, rows[part])
        found[f"{part}/truth_ratio"] = _ratio(said[part], rows[part], "paraphrased_answer")
    for part in FACTS:
        found[f"{part}/prob"] = _share(said[part], rows[part])
        found[f"{part}/truth_ratio"] = _ratio(said[part], rows[part], "answer")
    return found


def _share(said: Part, rows: Sequence[Row]) -> Values:
    """Compute the right answer's share of probability in each row."""
    if "perturbed_answers" not in said:
        return _lacks("perturbed_answers", rows)
    return share(mean_logp(said["answer"]), mean_logp(said["perturbed_answers"]), row_of_wrong(rows))


def _ratio(said: Part, rows: Sequence[Row], right: str) -> Values:
    """Compute the truth ratio of each row, with the right answer in that kind of text."""
    for kind in (right, "perturbed_answers"):
        if kind not in said:
            return _lacks(kind, rows)
    return truth_ratio(mean_logp(said[right]), mean_logp(said["perturbed_answers"]), row_of_wrong(rows))


def _lacks(kind: str, rows: Sequence[Row]) -> str:
    """Return the reason why a kind of text is missing."""
    return f"a row has no {kind.replace('_', ' ')}" if rows else NO_ROWS


def _rouge(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    rows: Mapping[str, Sequence[Row]],
    each: Each,
) -> dict[str, Values]:
    """Measure the ROUGE-L recall of each row's greedy answer; all parts are generated together."""
    asked = [row for part in (*SIDES, *FACTS) for row in rows[part]]
    prompts = [row.ids[: row.start] for row in encode_rows(tokenizer, template, asked)]
    recall = rouge_l([row.answer for row in asked], greedy(model, tokenizer, prompts, each=each))
    found = torch.tensor(recall, dtype=torch.float64).split([len(rows[part]) for part in (*SIDES, *FACTS)])
    named = zip((*SIDES, *FACTS), found, strict=True)
    return {f"{part}/rouge_l": values if len(values) else NO_ROWS for part, values in named}


def _mean(key: str, values: Tensor) -> float:
    """Return the mean over rows; a truth ratio is first put into TOFU's form for its part."""
    if key.endswith("/truth_ratio"):
        values = closeness(values) if key == "forget/truth_ratio" else margin(values)
    return float(values.mean())


def _utility(values: Mapping[str, Value]) -> dict[str, Value]:
    nine = {key: value for key in NINE if not isinstance(value := values[key], str)}
    missing = [key for key in NINE if key not in nine]
    return {"model_utility": f"it needs {missing[0]}" if missing else model_utility(nine)}


def _quality(ratio: Values, retain: RetainValues | None) -> dict[str, Value]:
    if retain is None or isinstance(ratio, str):
        reason = NO_RETAIN_MODEL if retain is None else "it needs forget/truth_ratio"
        return {"forget_quality": reason, "forget_quality_log10": reason}
    p = forget_quality(ratio.tolist(), retain.truth_ratio)
    return {"forget_quality": p, "forget_quality_log10": floored_log10(p)}


def _attacks(said: Mapping[str, Part]) -> Attacks:
    """Score the forget and the unseen rows by each attack; empty if there are no rows to compare."""
    if not said["forget"] or not said["unseen"]:
        return {}
    forget, unseen = (membership_inference.scores(said[part]["answer"]) for part in ("forget", "unseen"))
    return {attack: (forget[attack].tolist(), unseen[attack].tolist()) for attack in membership_inference.ATTACKS}


def _scores(attacks: Attacks) -> dict[str, list[float]]:
    """Name the scores as in the rows of a report."""
    return {
        f"mia/{attack}/{part}": scores
        for attack, both in attacks.items()
        for part, scores in zip(("forget", "unseen"), both, strict=True)
    }


def _membership(attacks: Attacks, retain: RetainValues | None) -> dict[str, Value]:
    if not attacks:
        return dict.fromkeys([*(f"mia/{attack}" for attack in membership_inference.ATTACKS), "privleak"], NO_UNSEEN)
    auc = {attack: membership_inference.auc(*scores) for attack, scores in attacks.items()}
    found: dict[str, Value] = {f"mia/{attack}": value for attack, value in auc.items()}
    return found | {"privleak": _privleak(auc["min_k"], retain)}


def _privleak(auc: float, retain: RetainValues | None) -> Value:
    if retain is None:
        return NO_RETAIN_MODEL
    if retain.membership["min_k"] == 1:
        return "the retain model's AUC is 1, to which nothing can be relative"
    return membership_inference.privacy_leak(auc, retain.membership["min_k"])
