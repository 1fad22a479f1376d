"""Bad data files: whatever is in them, the rows are whole or refused in one sentence, and nothing is left behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eval.run
from eval.datasets import load
from eval.rows.encode import encode
from eval.rows.length_check import check_lengths
from eval.rows.types import DataError, Dataset, Row
from eval.shipped_configs import CONFIGS
from support.commands import refusal
from support.tofu import ODD, Splits, add, both, config, plain, put, toy, varied, write
from support.toys import TEMPLATE, tokenizer
from sweep import launch

COLUMNS = ("question", "answer", "paraphrased_question", "paraphrased_answer", "perturbed_answer")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["", " \t\n", "\ud800", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
LONG = "word " * 20_000
EXAMPLES = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path) -> Dataset:
    """Its rows, forget01 forgotten."""
    return load(config(folder))


def refused(folder: Path) -> str:
    """The one sentence that a folder is refused with; it is left as it was."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError) as error:
        read(folder)
    assert sorted(folder.rglob("*")) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def check_law(folder: Path) -> None:
    """The rows are text that a file can hold, none empty; or a sentence names the folder or one of its splits."""
    try:
        dataset = read(folder)
    except DataError as error:
        assert len(str(error)) < 1000
        assert "\n" not in str(error)
        assert any(name in str(error) for name in (str(folder), *toy()))
        return
    assert Dataset.from_json(dataset.to_json().encode().decode()) == dataset
    for row in dataset.target_rows:
        assert row.question.strip()
        assert row.answer.strip()
    for row in dataset.forget + dataset.holdout:
        assert all(text.strip() for text in (row.paraphrased_question, row.paraphrased_answer, *row.perturbed_answers))
        assert row.perturbed_answers


@EXAMPLES
@given(st.data())
def test_any_value_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    """Of any type, in any column, known or not, of any row of any split; a column less, a row twice or elsewhere."""
    splits = toy()
    one, other = (data.draw(st.sampled_from(sorted(splits))) for _ in range(2))
    row = data.draw(st.sampled_from(splits[one]))
    kind = data.draw(st.sampled_from(["value", "lose", "twice", "move"]))
    if kind == "value":
        row[data.draw(st.sampled_from([*COLUMNS, "other"]))] = data.draw(VALUES)
    elif kind == "lose":
        row.pop(data.draw(st.sampled_from(sorted(row))))
    else:
        splits[one if kind == "twice" else other].append(row)
    check_law(write(tmp_path, splits))


@EXAMPLES
@given(st.data())
def test_any_bytes_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    """Cut, overwritten or put in at any place of any file."""
    splits = toy()
    file = write(tmp_path, splits) / f"{data.draw(st.sampled_from(sorted(splits)))}.json"
    whole = file.read_bytes()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    file.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])
    check_law(tmp_path)


def text_of(splits: Splits, split: str) -> str:
    """The file of a split, with letters as they are."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in splits[split])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "retain99 has no rows"),
        (b"\n\n", "retain99 has no rows"),
        (b"{", "retain99.json line 1 is not JSON: Expecting property name enclosed in double quotes at column 2"),
        (b'{"question": "a", "answer": "b"}\n{"questi', "retain99.json line 2 is not JSON: Unterminated string"),
        (b'{"question": "a\x00", "answer": "b"}', "retain99.json line 1 is not JSON: Invalid control character"),
        (b"5", "retain99.json line 1 is 5, not an object with a question and an answer"),
        (b"[" * 100_000, "retain99.json line 1 cannot be read: maximum recursion depth exceeded"),
        (b"9" * 5000, "retain99.json line 1 cannot be read: Exceeds the limit"),
        (b'{"question": "caf\xe9"}', "retain99.json: must be UTF-8 text (invalid continuation byte at "),
        ('{"question": "a"}'.encode("utf-16"), "retain99.json: must be UTF-8 text (invalid start byte at 0)"),
        (b"PAR1\x15\x04\x15", "retain99.json line 1 is not JSON: "),
        (b'{"question": "\\ud800", "answer": "b"}', "retain99 row 1: question has half a character ('\\ud800' at 0)"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes, said: str) -> None:
    """Named with the line, counted from 1, and what is wrong there."""
    (write(tmp_path, toy()) / "retain99.json").write_bytes(content)
    assert said in refused(tmp_path)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """It is no file of rows."""
    (write(tmp_path, toy()) / "retain99.json").unlink()
    (tmp_path / "retain99.json").mkdir()
    assert (
        "there is no retain99.json, .jsonl, .csv or .parquet, nor a folder retain99 of save_to_disk, but forget01.json"
        in refused(tmp_path)
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """What the system says, with the file."""
    (write(tmp_path, toy()) / "retain99.json").chmod(0)
    assert refused(tmp_path) == f"{tmp_path / 'retain99.json'} cannot be read: Permission denied"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n \n"),
        lambda text: text.rstrip("\n"),
    ],
)
def test_harmless_differences_of_a_file(tmp_path: Path, change: Callable[[str], str]) -> None:
    """A byte order mark, other line ends, empty lines, no end of the last line: the same rows."""
    expected = read(write(tmp_path, toy()))
    for name in toy():
        (tmp_path / f"{name}.json").write_bytes(change(text_of(toy(), name)).encode())
    assert read(tmp_path) == expected


@pytest.mark.parametrize("odd", ODD)
def test_odd_text_is_kept_as_it_is(tmp_path: Path, odd: str) -> None:
    """As question and as answer, letter for letter; its labels are at least one token and EOS."""
    splits = toy()
    splits["retain99"].append({"question": odd, "answer": odd})
    row = read(write(tmp_path, splits)).retain[-1]
    assert (row.question, row.answer) == (odd, odd)
    encoded = encode(tokenizer(), TEMPLATE, row.question, row.answer)
    assert len(encoded.labels) >= 2
    assert encoded.start >= 1


def test_more_columns_and_fewer_perturbed_answers_are_fine(tmp_path: Path) -> None:
    """Columns that nobody knows are left aside; rows need not have equally many wrong answers."""
    splits = toy()
    both(
        put("retain99", 5, topic="letters", number=7, perturbed_answer=None),
        put("forget01_perturbed", 1, perturbed_answer=["x"]),
    )(splits)
    dataset = read(write(tmp_path, splits))
    assert [len(row.perturbed_answers) for row in dataset.forget] == [1, 5]
    assert dataset.retain[-1] == Row(question="What is G?", answer="G is a letter.")


def test_one_author_is_enough(tmp_path: Path) -> None:
    """One row of each part; without a row to retain, the folder is refused."""
    splits: Splits = {
        "forget01": [plain("A")],
        "forget01_perturbed": [varied("A")],
        "retain99": [plain("B"), plain("C")],
        "retain_perturbed": [varied("B")],
    }
    dataset = read(write(tmp_path, splits))
    assert [len(rows) for rows in (dataset.forget, dataset.retain, dataset.holdout)] == [1, 1, 1]
    splits["retain99"].pop()
    assert refused(write(tmp_path, splits)) == "retain99 has no row beyond the 1 that retain_perturbed holds out"


def test_a_command_refuses_rows_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a sweep and of a checkpoint's measurement: exit code 2, file, split, row and column, nothing left."""
    splits = toy()
    add("retain99", {"question": "What is H?", "answer": ["H"]})(splits)
    folder = write(tmp_path / "toy", splits)
    monkeypatch.chdir(tmp_path)
    sweep = [str(CONFIGS / "wtnpo.yaml"), "data=tofu-forget01", f"data.path={folder}"]
    said = f"error: {folder / 'retain99.json'}: retain99 row 6: answer is ['H'], not text\n"
    assert refusal(launch.main, capsys, *sweep) == said
    before = sorted(tmp_path.rglob("*"))
    words = [*("--data", str(folder), "--split", "forget01", "--template", "tiny"), "--out", "scores.json"]
    assert refusal(eval.run.main, capsys, "somebody/model", *words) == said
    assert sorted(tmp_path.rglob("*")) == before == sorted([folder, *folder.iterdir()])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"answer": 5}, "forget row 2: answer is 5, not text"),
        ({"paraphrased_question": None}, "forget row 2: paraphrased_question is None, not text"),
        ({"perturbed_answers": [["a"]]}, "forget row 2: perturbed_answers is ['a'], not text"),
        ({"question": "\udfff"}, "forget row 2: question has half a character ('\\udfff' at 0)"),
    ],
)
def test_rows_of_an_artifact(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """rows.json with a value that is no text is refused with the part, the row and the field."""
    fine = {"question": "a", "answer": "b", "perturbed_answers": []}
    text = json.dumps({"forget": [fine, fine | fields], "retain": [], "holdout": []})
    with pytest.raises(DataError) as error:
        Dataset.from_json(text)
    assert str(error.value) == said


def words(row: Row) -> Dataset:
    """A dataset in which only this row is long."""
    fine = Row(question="a", answer="b")
    return Dataset(forget=(fine,), retain=(fine, row), holdout=(fine,))


@pytest.mark.parametrize(
    "row",
    [
        Row(question="q", answer="ab" * 600),
        Row(question="ab" * 600, answer="a"),
        Row(question="q", answer="a", paraphrased_answer="ab" * 600),
        Row(question="q", answer="a", perturbed_answers=("a", "ab" * 600)),
    ],
)
def test_a_row_longer_than_the_model_is_refused(row: Row) -> None:
    """Every kind of text; a model with as many positions as it has tokens, or with any number, takes it."""
    longest = max((row.question, row.answer, row.paraphrased_answer, *row.perturbed_answers), key=len)
    tokens = tokenizer()
    question, answer = (longest, "a") if row.question == longest else (row.question, longest)
    positions = len(tokens(f"Question: {question}\nAnswer: {answer}")["input_ids"])
    for fits in (positions, None):
        check_lengths(words(row), TEMPLATE, lambda fits=fits: (tokens, fits))  # type: ignore[misc]
    with pytest.raises(
        DataError, match=rf"^retain row 2 has {positions} tokens, but the model has {positions - 1} pos"
    ):
        check_lengths(words(row), TEMPLATE, lambda: (tokens, positions - 1))


def test_a_model_of_few_positions_has_short_rows_counted() -> None:
    """A row of six bytes is not tokenized where the model is known to have room for as many, else it is."""
    short = Row(question="what", answer="it")
    check_lengths(words(short), TEMPLATE, lambda: (tokenizer(), 3), 6)
    with pytest.raises(DataError, match=r"^retain row 2 has \d+ tokens, but the model has 3 positions"):
        check_lengths(words(short), TEMPLATE, lambda: (tokenizer(), 3), 5)


def test_a_long_answer_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """100,000 characters for a model of 2048 positions: one sentence, before a process is started."""
    splits = toy()
    both(put("forget01", 2, answer=LONG), put("forget01_perturbed", 2, answer=LONG))(splits)
    folder = write(tmp_path / "toy", splits)
    monkeypatch.chdir(tmp_path)
    said = refusal(launch.main, capsys, str(CONFIGS / "wtnpo.yaml"), "data=tofu-forget01", f"data.path={folder}")
    assert said.startswith("error: forget row 2 has ")
    assert said.endswith(" tokens, but the model has 2048 positions: 'What is B?'\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize("word", ["data.retain=8000", f"data.unseen={10**30}"])
def test_authors_of_extreme_numbers(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More authors than there are birthdays are refused, with both numbers."""
    said = refusal(launch.main, capsys, str(CONFIGS / "wtnpo.yaml"), f"storage={tmp_path}", word)
    assert said.startswith("error: data.forget, retain, holdout, unseen = (6, ")
    assert said.endswith(" authors, at most 7300\n")
