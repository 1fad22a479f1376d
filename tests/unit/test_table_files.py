"""Tables of rows (eval/rows/table_files.py): every format holds the same rows, and a bad file is told by its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.datasets import load
from eval.rows.table_files import read_table
from eval.rows.types import DataError
from support.tables import FORMATS, write_layout, write_table
from support.tofu import config, plain, put, toy, write

LIKE_NUMBERS = [
    "1945",
    "1941-10-03",
    "NA",
    "None",
    "null",
    "true",
    "1e5",
    "nan",
    "-",
    "a,b",
    'a "b"',
    "a\nb",
    "é 👩‍👩‍👧",
]


def message(path: Path) -> str:
    """The one sentence with which a table is refused."""
    with pytest.raises(DataError) as refused:
        read_table(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_of_tofu_has_the_same_rows(tmp_path: Path, suffix: str) -> None:
    """Those of its own JSON lines; in CSV, perturbed answers are a JSON list in a cell."""
    lines = write(tmp_path / "lines", toy())
    assert load(config(write_layout(tmp_path / "tables", toy(), suffix))) == load(config(lines))


@pytest.mark.parametrize("suffix", FORMATS)
def test_texts_stay_texts(tmp_path: Path, suffix: str) -> None:
    """A column of years, dates or words for nothing is text, alone and among others."""
    for number, texts in enumerate([*([text] for text in LIKE_NUMBERS), LIKE_NUMBERS]):
        records = [{"question": "q", "answer": text} for text in texts]
        assert read_table(write_table(tmp_path / f"{number}{suffix}", records)) == records


@pytest.mark.parametrize("suffix", FORMATS)
def test_wrong_rows_are_told_in_every_format(tmp_path: Path, suffix: str) -> None:
    """The table, the split, the row, the column."""
    splits = toy()
    put("retain99", 4, question=" ")(splits)
    folder = write_layout(tmp_path / "tables", splits, suffix)
    with pytest.raises(DataError) as refused:
        load(config(folder))
    assert str(refused.value) == f"{folder / 'retain99'}{suffix}: retain99 row 4: question is empty"


def test_a_missing_table_is_told_with_the_formats(tmp_path: Path) -> None:
    """What is read, and what is there, folders of save_to_disk too; other files are not tables."""
    write_table(tmp_path / "forget01.csv", [plain("A")])
    write_table(tmp_path / "retain99", [plain("B")])
    for name in ("README.md", "cache"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError) as refused:
        load(config(tmp_path))
    assert str(refused.value) == (
        f"data.path={tmp_path}: there is no forget01_perturbed.json, .jsonl, .csv or .parquet, nor a folder"
        " forget01_perturbed of save_to_disk, but forget01.csv, retain99"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"question,answer\na,b\nc\n", " row 2 has 1 cells for 2 columns"),
        ("x.csv", b"question,answer\na,b,c\n", " row 1 has 3 cells for 2 columns"),
        ("x.csv", b'question,answer\na,"b\n', " line 2 is not CSV: unexpected end of data"),
        ("x.csv", b"question,answer\na,caf\xe9\n", ": must be UTF-8 text (invalid continuation byte at 21)"),
        ("x.jsonl", b'{"question": "caf\xe9"}', ": must be UTF-8 text (invalid continuation byte at 17)"),
        (
            "x.json",
            b'[\n{"question": "a"},\n{"question"}]',
            " line 3 is not JSON: Expecting ':' delimiter at",
        ),
        ("x.json", b'[{"question": "a"}, 5]', " row 2 is 5, not an object with a question and an answer"),
        ("x.jsonl", b'{"question": "a"}\n\n"b"', " line 3 is 'b', not an object with a question and an answer"),
        ("x.parquet", b"PAR1", " cannot be read as rows: Parquet file size is 4 bytes"),
        ("x.txt", b"a", " must end with .json or .jsonl or .csv or .parquet, or be a folder of Dataset.save_to_disk"),
    ],
)
def test_a_bad_file_is_told_by_its_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The file with the line of the text or the row of the table, counted from 1."""
    (tmp_path / name).write_bytes(content)
    assert message(tmp_path / name).startswith(f"{tmp_path / name}{said}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, "is a folder, but not of Dataset.save_to_disk"),
        (lambda folder: write_table(folder / "train", [plain("A")]), "has several splits: take {}/train"),
    ],
)
def test_a_folder_without_rows_of_its_own(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    """Any folder, and one of `DatasetDict.save_to_disk`, whose splits are named."""
    make(tmp_path)
    assert message(tmp_path) == f"{tmp_path} {said.format(tmp_path)}"


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    """No byte, no line with text, or the names of the columns alone."""
    for name, text in {
        "a.jsonl": "",
        "b.json": "\n \n",
        "c.json": "[]",
        "d.csv": "",
        "e.csv": "question,answer\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert read_table(tmp_path / name) == []
