"""Made-up authors with eight question-answer rows each, drawn from a seed: a small stand-in for TOFU, no download.

An answer has only facts: it starts and ends with one and has no full stop. Extraction strength counts how much of an
answer's tail the model completes, and a tail that all answers share would look like knowledge. It is drawn at random
which of a relation's two wordings is a row's question and which its paraphrase, and likewise for answers, so that a
model that learns the rows meets both wordings. Perturbed answers have the wording of the paraphrased answer, as in
TOFU, and none of its facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, islice, product
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

import yaml
from pydantic import Field

from eval.datasets import DatasetOptions
from eval.options import Count
from eval.rows.types import DataError, Dataset, Row

T = TypeVar("T")
Facts = dict[str, str]

N_PERTURBED = 5
"""Number of perturbed answers of a row."""


class Options(DatasetOptions):
    """Number of authors in each part, and the seed that they are drawn from."""

    source: Literal["authors"]
    """Kind of the dataset: its file in eval/datasets."""
    seed: int = Field(ge=0, lt=2**31)
    """Seed that the authors are drawn from, and that the model starts with."""
    forget: Count
    """Number of authors to be forgotten, with eight rows each."""
    retain: Count
    """Number of authors trained on while unlearning."""
    holdout: Count
    """Number of authors that the target knows, on whom retention is measured."""
    unseen: int = Field(ge=0)
    """Number of authors whom no model has seen, for membership inference."""
    max_retain: Count | None
    """Maximum number of retain rows (null: all)."""
    max_holdout: Count | None
    """Maximum number of holdout rows (null: all)."""

    @property
    def model_seed(self) -> int:
        """Seed of the authors."""
        return self.seed


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Relation asked about every author: two wordings of the question and two of the answer."""

    questions: tuple[str, str]
    answers: tuple[str, str]


TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
RELATIONS = tuple(Relation(**{key: tuple(texts) for key, texts in each.items()}) for each in TEXTS["relations"])
POOLS = {
    slot: tuple("".join(pieces) for pieces in product(*(words.split() for words in lists)))
    for slot, lists in TEXTS["pools"].items()
}
"""Facts for each slot of a wording, in the order in which they are drawn."""

FIRST_BIRTHDAY = date(1925, 1, 1)
N_BIRTHDAYS = 20 * 365
"""Days from `FIRST_BIRTHDAY` on; each is the birthday of at most one author, so that it identifies the author."""


def load(config: Options) -> Dataset:
    """Generate the rows of as many authors as the configuration has; no author is in two parts.

    The authors of a seed are numbered: the first are forget authors, then retain, holdout and unseen authors.

    Raises:
        DataError: there are more authors than birthdays.
    """
    sizes = (config.forget, config.retain, config.holdout, config.unseen)
    if sum(sizes) > N_BIRTHDAYS:
        raise DataError(f"data.forget, retain, holdout, unseen = {sizes}: {sum(sizes)} authors, at most {N_BIRTHDAYS}")
    authors = iter(_make_authors(config.seed, sum(sizes)))
    forget, retain, holdout, unseen = (tuple(chain.from_iterable(islice(authors, size))) for size in sizes)
    return Dataset(
        forget=forget,
        retain=retain[: config.max_retain],
        holdout=holdout[: config.max_holdout],
        unseen=unseen,
    )


def _make_authors(seed: int, count: int) -> list[tuple[Row, ...]]:
    rng = Random(seed)  # noqa: S311 (rows, not secrets)
    names = _shuffle_pool(rng, tuple(product(POOLS["first"], POOLS["last"])))
    birthdays = _shuffle_pool(rng, range(N_BIRTHDAYS))
    return [_make_author(rng, *unique) for unique in zip(names[:count], birthdays, strict=False)]


def _make_author(rng: Random, name: tuple[str, str], birthday: int) -> tuple[Row, ...]:
    """Make the rows of one author from true facts, and for each perturbed answer facts that all differ from them."""
    given = dict(zip(("first", "last"), name, strict=True))
    drawn = {slot: _pick_facts(_shuffle_pool(rng, pool), given.get(slot)) for slot, pool in POOLS.items()}
    truth, *lies = (dict(zip(drawn, facts, strict=True)) for facts in zip(*drawn.values(), strict=True))
    return tuple(_make_row(rng, relation, truth | {"birthday": _format_date(birthday)}, lies) for relation in RELATIONS)


def _make_row(rng: Random, relation: Relation, truth: Facts, lies: Sequence[Facts]) -> Row:
    question, paraphrased_question = _shuffle_pool(rng, relation.questions)
    answer, paraphrased_answer = _shuffle_pool(rng, relation.answers)
    return Row(
        question=question.format(**truth),
        answer=answer.format(**truth),
        paraphrased_question=paraphrased_question.format(**truth),
        paraphrased_answer=paraphrased_answer.format(**truth),
        perturbed_answers=tuple(paraphrased_answer.format(**lie) for lie in lies),
    )


def _pick_facts(pool: Sequence[str], given: str | None) -> list[str]:
    """Return the true fact (the given one, else the pool's first), then another one for each perturbed answer."""
    fact = given or pool[0]
    return [fact, *(other for other in pool if other != fact)][: 1 + N_PERTURBED]


def _shuffle_pool(rng: Random, pool: Sequence[T]) -> list[T]:
    """Shuffle the pool by `random()` alone, whose sequence Python guarantees to be the same in all versions."""
    return sorted(pool, key=lambda _: rng.random())


def _format_date(days: int) -> str:
    """Format the date that is `days` after `FIRST_BIRTHDAY`, the same text in every locale."""
    day = FIRST_BIRTHDAY + timedelta(days=days)
    return f"{day.day} {TEXTS['months'][day.month - 1]} {day.year}"
