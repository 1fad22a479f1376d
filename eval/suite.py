"""Every metric of a model on the rows of a dataset, as one flat `dict[str, float]`."""

from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.calibration import Strength
from eval.data import Dataset
from eval.encode import Encoded, Template, encode_paraphrased, encode_rows
from eval.extraction import extraction_strength
from eval.forward import label_statistics

DEFINITIONS = {
    "forget/es": "extraction strength on forget rows, 1 - k/n, mean over rows; lower is more forgotten",
    "forget/es_paraphrase": "the same with the paraphrased question and the original answer",
    "retain/es": "extraction strength on holdout rows (never trained on while unlearning); higher is better kept",
    "retain/es_paraphrase": "the same with the paraphrased question and the original answer",
    "score": "forget ES (mean of exact and paraphrased) of the mix of reference and unlearned weights that keeps the "
    "share tau of the reference's retain ES; lower is better",
    "mix": "share m* of the unlearned weights in that mix, known to 1/64; 1 where nothing had to be mixed back",
    "score/tau_*": "the score at another tau, interpolated on the grid of m in steps of 1/8",
}
"""What each metric is, for whoever reads the number elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Probes:
    """The rows that a model is asked, as tokens: each part with its original and its paraphrased questions."""

    parts: Mapping[str, tuple[Encoded, ...]]

    @classmethod
    def of(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerFast, template: Template) -> "Probes":
        """The probes of a dataset: forget rows, and the holdout rows under the name of what they measure, retain."""
        sides = {"forget": dataset.forget, "retain": dataset.holdout}
        exact = {f"{side}/es": encode_rows(tokenizer, template, rows) for side, rows in sides.items()}
        other = {f"{side}/es_paraphrase": encode_paraphrased(tokenizer, template, rows) for side, rows in sides.items()}
        return cls(parts={key: tuple(rows) for key, rows in (exact | other).items()})


def evaluate(model: PreTrainedModel, probes: Probes) -> dict[str, float]:
    """Mean ES of each part, in one teacher-forced pass over all of them."""
    rows = [row for part in probes.parts.values() for row in part]
    es = extraction_strength(label_statistics(model, rows))
    parts = es.split([len(part) for part in probes.parts.values()])
    return {key: float(part.mean()) for key, part in zip(probes.parts, parts, strict=True)}


def strength(metrics: Mapping[str, float]) -> Strength:
    """The two sides that the score weighs, each the mean of exact and paraphrased ES."""
    return Strength(
        forget=(metrics["forget/es"] + metrics["forget/es_paraphrase"]) / 2,
        retain=(metrics["retain/es"] + metrics["retain/es_paraphrase"]) / 2,
    )
