"""Outputs of a model for all texts of a dataset: each row with its variants, in one teacher-forced pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import DistributionStatistics, MapFn, distribution_statistics
from eval.rows.encode import Template, encode
from eval.rows.types import Dataset, Row

PartOutputs: TypeAlias = Mapping[str, DistributionStatistics]
"""Outputs of a model for the rows of a part, by kind of text; a kind is absent if one of the rows lacks it."""
QuestionAnswers: TypeAlias = list[tuple[str, str]]
"""Pairs of a question and an answer."""

TEXTS_BY_KIND: Mapping[str, Callable[[Row], QuestionAnswers]] = {
    "answer": lambda row: [(row.question, row.answer)],
    "paraphrased_question": lambda row: [(row.paraphrased_question, row.answer)] if row.paraphrased_question else [],
    "paraphrased_answer": lambda row: [(row.question, row.paraphrased_answer)] if row.paraphrased_answer else [],
    "perturbed_answers": lambda row: [(row.question, wrong) for wrong in row.perturbed_answers],
}
"""Texts of a row, by kind; empty if the row lacks the variant."""
SIDES = ("forget", "retain")
FACT_PARTS = ("real_authors", "world_facts")
KINDS_BY_PART = {
    **dict.fromkeys(SIDES, tuple(TEXTS_BY_KIND)),
    **dict.fromkeys(FACT_PARTS, ("answer", "perturbed_answers")),
    "unseen": ("answer",),
}
"""Kinds of text that are measured on each part."""


def group_by_part(dataset: Dataset) -> dict[str, tuple[Row, ...]]:
    """Group the rows by part; holdout rows are named after what they measure, retain."""
    return {
        "forget": dataset.forget,
        "retain": dataset.holdout,
        "unseen": dataset.unseen,
        "real_authors": dataset.real_authors,
        "world_facts": dataset.world_facts,
    }


def compute_outputs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    rows: Mapping[str, Sequence[Row]],
    each: MapFn = map,
) -> dict[str, PartOutputs]:
    """Compute the model's outputs for the rows of each part, in one pass over all their texts."""
    pairs = {(part, kind): _pair_texts(kind, rows[part]) for part in rows for kind in KINDS_BY_PART[part]}
    pairs = {place: texts for place, texts in pairs.items() if texts}
    encoded = [encode(tokenizer, template, *pair) for texts in pairs.values() for pair in texts]
    outputs = distribution_statistics(model, encoded, each).split_rows([len(texts) for texts in pairs.values()])
    found: dict[str, dict[str, DistributionStatistics]] = {part: {} for part in rows}
    for (part, kind), texts in zip(pairs, outputs, strict=True):
        found[part][kind] = texts
    return {**found}


def _pair_texts(kind: str, rows: Sequence[Row]) -> QuestionAnswers:
    """Return the texts of one kind; none if one of the rows lacks the variant."""
    pairs = [TEXTS_BY_KIND[kind](row) for row in rows]
    return [pair for each in pairs for pair in each] if all(pairs) else []


def row_of_perturbed(rows: Sequence[Row]) -> Tensor:
    """Return the index of the row of each perturbed answer [W]."""
    return torch.arange(len(rows)).repeat_interleave(torch.tensor([len(row.perturbed_answers) for row in rows]))
