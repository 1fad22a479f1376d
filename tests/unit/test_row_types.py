"""The typed rows (eval/rows/types.py) and the choice of a dataset by the word the user types (eval/datasets)."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eval.datasets import authors, load
from eval.rows.types import Dataset, Row

ROWS = st.lists(
    st.builds(
        Row,
        question=st.text(),
        answer=st.text(),
        paraphrased_question=st.text(),
        paraphrased_answer=st.text(),
        perturbed_answers=st.lists(st.text()).map(tuple),
    ),
    max_size=3,
).map(tuple)
PARTS = ("forget", "retain", "holdout", "unseen", "real_authors", "world_facts")
DATASETS = st.builds(Dataset, **dict.fromkeys(PARTS, ROWS))

A, B, C = (Row(question=f"{name}?", answer=f"{name}!") for name in "ABC")


@settings(deadline=None)
@given(DATASETS)
def test_json_keeps_every_row(dataset: Dataset) -> None:
    """What is read back equals what was written, whatever the text; so does its digest."""
    back = Dataset.from_json(dataset.to_json())
    assert back == dataset
    assert back.digest == dataset.digest


@settings(deadline=None)
@given(DATASETS, DATASETS)
def test_digest_tells_datasets_apart(one: Dataset, other: Dataset) -> None:
    """The digests are equal exactly where the rows are."""
    assert (one.digest == other.digest) == (one == other)


def test_digest_sees_order_and_part() -> None:
    """The same rows in another order, or in another part, have another digest: 3 datasets, 3 digests."""
    first = Dataset(forget=(A, B), retain=(C,), holdout=())
    digests = {first.digest, replace(first, forget=(B, A)).digest, replace(first, retain=(), holdout=(C,)).digest}
    assert len(digests) == 3


def test_rows_written_without_general_knowledge_are_read() -> None:
    """A file that lacks the parts which may be empty has them empty."""
    assert Dataset.from_json('{"forget": [], "retain": [], "holdout": []}') == Dataset(forget=(), retain=(), holdout=())


def test_read_takes_the_file_that_to_json_made(tmp_path: Path) -> None:
    """A file in UTF-8 gives the dataset back."""
    dataset = Dataset(forget=(replace(A, perturbed_answers=("Å", "α")),), retain=(B,), holdout=(C,))
    (tmp_path / "rows.json").write_text(dataset.to_json(), encoding="utf-8")
    assert Dataset.from_file(tmp_path / "rows.json") == dataset


def test_known_rows_are_forget_retain_holdout_in_that_order() -> None:
    """Unseen rows are not among them."""
    assert Dataset(forget=(A,), retain=(B,), holdout=(C,), unseen=(A, A)).target_rows == (A, B, C)


def test_source_is_a_file_of_the_folder() -> None:
    """`source: authors` reaches eval/datasets/authors.py: one author there has 8 rows."""
    one = authors.Options(
        source="authors",
        name="authors",
        paper_split="forget10",
        seed=0,
        forget=1,
        retain=1,
        holdout=1,
        unseen=0,
        max_retain=None,
        max_holdout=None,
    )
    assert len(load(one).forget) == 8
