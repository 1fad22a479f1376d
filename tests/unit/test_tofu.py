"""TOFU's loader (eval/datasets/tofu.py) on toy folders, and on the real files where they lie beside the checkout.

Files that cannot be read are in test_bad_rows.py, the hub in test_hub.py.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from eval.datasets import load
from eval.rows.types import DataError, Dataset
from support.commands import SHARED
from support.tofu import Paper, Record, Splits, add, both, config, plain, put, toy, varied, write

REAL = SHARED / "tofu"


def letters(dataset: Dataset) -> dict[str, str]:
    """The letters that are asked about, by part."""
    parts = {"forget": dataset.forget, "retain": dataset.retain, "holdout": dataset.holdout, "unseen": dataset.unseen}
    return {part: "".join(row.question[8] for row in rows) for part, rows in parts.items()}


def message(path: Path | str) -> str:
    """The one sentence with which the rows are refused."""
    with pytest.raises(DataError) as refused:
        load(config(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of the network; every call fails, which a library may swallow, so it is written down."""
    made: list[object] = []

    def refuse(*call: object, **_: object) -> NoReturn:
        made.append(call)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return made


def test_parts_and_variants(tmp_path: Path) -> None:
    """Forget AB, holdout CD (as many as `retain_perturbed` has), both with variants; retain the rest, without."""
    dataset = load(config(write(tmp_path, toy())))
    assert letters(dataset) == {"forget": "AB", "retain": "EFG", "holdout": "CD", "unseen": ""}
    for row in dataset.forget + dataset.holdout:
        name = row.question[8]
        assert row.paraphrased_question == f"Say what {name} is."
        assert row.paraphrased_answer == f"A letter is {name}."
        assert row.perturbed_answers[::4] == (f"A number is {name}.", f"A shape is {name}.")
        assert len(row.perturbed_answers) == 5
    assert all(row.perturbed_answers == () and row.paraphrased_question == "" for row in dataset.retain)


def general(name: str) -> Record:
    """A row of general knowledge: three wrong answers, no paraphrase."""
    return plain(name) | {"perturbed_answer": [f"{name} is a {other}." for other in ("number", "colour", "word")]}


def test_general_knowledge_where_it_is_there(tmp_path: Path) -> None:
    """Each of the two files may be missing; rows have their wrong answers and no paraphrase."""
    bare = load(config(write(tmp_path / "bare", toy())))
    assert (bare.real_authors, bare.world_facts) == ((), ())
    dataset = load(config(write(tmp_path / "one", toy() | {"real_authors_perturbed": [general("X"), general("Y")]})))
    assert [row.question for row in dataset.real_authors] == ["What is X?", "What is Y?"]
    assert dataset.real_authors[0].perturbed_answers == ("X is a number.", "X is a colour.", "X is a word.")
    assert (dataset.real_authors[0].paraphrased_question, dataset.real_authors[0].paraphrased_answer) == ("", "")
    assert dataset.world_facts == ()


def test_unseen_rows_are_a_split_that_full_has_not(tmp_path: Path) -> None:
    """`unseen` names it; a question that is in `full` is refused, and so is a split that is not there."""
    full = {"full": [plain(name) for name in "ABCDEFG"]}
    folder = write(tmp_path, toy() | full | {"new": [plain("X"), plain("Y")], "old": [plain("X"), plain("D")]})
    assert letters(load(config(folder, unseen="new")))["unseen"] == "XY"
    with pytest.raises(DataError, match=r"^full row 4 is an unseen row \(old\): 'What is D\?'$"):
        load(config(folder, unseen="old"))
    with pytest.raises(DataError, match=r"there is no newer.json, .jsonl, .csv or .parquet, nor "):
        load(config(folder, unseen="newer"))
    write(folder, {"full": [plain("Z")]})
    for letter, where in (("B", "forget01_perturbed row 2"), ("D", "retain99 row 2")):
        write(folder, {"old": [plain("X"), plain(letter)]})
        with pytest.raises(DataError, match=f"^{where} is an unseen row"):
            load(config(folder, unseen="old"))


@pytest.mark.parametrize(
    ("max_retain", "max_holdout", "retain", "holdout"),
    [(2, None, "EF", "CD"), (None, 1, "EFG", "C"), (9, 9, "EFG", "CD")],
)
def test_caps_are_separate(
    tmp_path: Path, max_retain: int | None, max_holdout: int | None, retain: str, holdout: str
) -> None:
    """The first so many of each part; a holdout row that is left out is not trained on instead."""
    capped = config(write(tmp_path, toy()), max_retain=max_retain, max_holdout=max_holdout)
    found = letters(load(capped))
    assert (found["retain"], found["holdout"]) == (retain, holdout)


def test_folder_is_read_quietly_and_offline(
    tmp_path: Path, calls: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    """No call to the network, nothing printed, no file left; a name with glob characters is a name."""
    folder = write(tmp_path / "a [1] *", toy())
    before = sorted(tmp_path.rglob("*"))
    assert letters(load(config(folder)))["forget"] == "AB"
    assert sorted(tmp_path.rglob("*")) == before
    assert calls == []
    assert capfd.readouterr() == ("", "")


def test_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder, which no shell puts in after `data.path=`."""
    monkeypatch.setenv("HOME", str(write(tmp_path / "toy", toy()).parent))
    assert letters(load(config("~/toy")))["forget"] == "AB"


def drop(split: str) -> Callable[[Splits], object]:
    """A change that takes a split away."""
    return lambda splits: splits.pop(split)


def lose(split: str, row: int, column: str) -> Callable[[Splits], object]:
    """A change that takes a column out of a row, counted from 1."""
    return lambda splits: splits[split][row - 1].pop(column)


def nothing(splits: Splits, split: str = "retain99") -> None:
    """A change that empties a split."""
    splits[split].clear()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            drop("retain99"),
            "nor a folder retain99 of save_to_disk, but forget01.json, forget01_perturbed.json, retain_perturbed.json",
        ),
        (
            drop("forget01"),
            "nor a folder forget01 of save_to_disk, but forget01_perturbed.json, retain99.json, retain_perturbed.json",
        ),
        (nothing, "retain99 has no rows"),
        (lose("retain99", 3, "answer"), "retain99 row 3 has no answer"),
        (lose("forget01_perturbed", 2, "paraphrased_question"), "forget01_perturbed row 2 has no paraphrased_question"),
        (lose("retain_perturbed", 1, "perturbed_answer"), "retain_perturbed row 1 has no perturbed_answer"),
        (put("retain99", 4, question="  "), "retain99 row 4: question is empty"),
        (put("forget01", 1, answer=""), "forget01 row 1: answer is empty"),
        (put("retain99", 5, answer=7), "retain99 row 5: answer is 7, not text"),
        (put("forget01_perturbed", 2, perturbed_answer=[]), "row 2: perturbed_answer is [], not a list of texts"),
        (put("forget01_perturbed", 2, perturbed_answer="x"), "row 2: perturbed_answer is 'x', not a list of texts"),
        (put("forget01_perturbed", 1, perturbed_answer=["x", ""]), "row 1: perturbed_answer is empty"),
        (put("forget01_perturbed", 1, perturbed_answer=["x", None]), "row 1: perturbed_answer is None, not text"),
        (put("forget01_perturbed", 2, answer="x"), "forget01_perturbed row 2 is not row 2 of forget01: 'What is B?'"),
        (put("retain_perturbed", 1, question="x"), "retain_perturbed row 1 is not row 1 of retain99: 'x'"),
        (add("forget01", plain("H")), "forget01_perturbed has 2 rows, forget01 has 3 of them"),
        (add("retain_perturbed", *map(varied, "EFGH")), "retain_perturbed has 6 rows, retain99 has 5 of them"),
        (
            add("retain_perturbed", *map(varied, "EFG")),
            "retain99 has no row beyond the 5 that retain_perturbed holds out",
        ),
        (add("retain99", plain("D")), "retain99 row 6 is row 2 again: 'What is D?'"),
        (
            both(add("forget01", plain("A")), add("forget01_perturbed", varied("A"))),
            "forget01_perturbed row 3 is row 1 again: 'What is A?'",
        ),
        (add("retain99", plain("A")), "retain99 row 6 is a forget row (forget01_perturbed): 'What is A?'"),
        (
            add("retain99", plain("A") | {"answer": "x"}),
            "retain99 row 6 is a forget row (forget01_perturbed): 'What is A?'",
        ),
    ],
)
def test_wrong_rows_are_refused(tmp_path: Path, change: Callable[[Splits], object], said: str) -> None:
    """One sentence with the split, the row counted from 1, the column and what is wrong."""
    splits = toy()
    change(splits)
    assert message(write(tmp_path, splits)).endswith(said)


def test_one_question_may_have_two_answers(tmp_path: Path) -> None:
    """TOFU's retain99 has such a question: only the same question with the same answer is the same row."""
    splits = toy()
    splits["retain99"].append(plain("G") | {"answer": "x"})
    assert letters(load(config(write(tmp_path, splits))))["retain"] == "EFGG"


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    """What is there is said, even if it is nothing."""
    assert message(tmp_path).endswith(" forget01_perturbed of save_to_disk, but no table")


@pytest.mark.parametrize("path", ["../nowhere", "./no/where", "/no/where", "~/nowhere", "nowhere", "no/where/else"])
def test_missing_folder_is_refused_without_asking_the_hub(path: str, calls: list[object]) -> None:
    """Only OWNER/NAME can be a hub id; the value is repeated as it was typed."""
    assert message(path) == f"data.path={path}: there is no such folder"
    assert calls == []


@pytest.mark.skipif(not REAL.is_dir(), reason="TOFU's files are not in ../shared/tofu")
@pytest.mark.parametrize(
    ("split", "forget", "retain"), [("forget01", 40, 3560), ("forget05", 200, 3400), ("forget10", 400, 3200)]
)
def test_real_rows(split: Paper, forget: int, retain: int) -> None:
    """1, 5, 10 % of 4000 rows; 400 are held out; together they are the rows of full.json."""
    dataset = load(config(REAL, split))
    full = [json.loads(line) for line in (REAL / "full.json").read_text(encoding="utf-8").splitlines()]
    assert (len(dataset.forget), len(dataset.retain), len(dataset.holdout)) == (forget, retain, 400)
    assert {(row.question, row.answer) for row in dataset.target_rows} == {
        (row["question"], row["answer"]) for row in full
    }
    assert all(len(set(row.perturbed_answers)) > 1 for row in dataset.forget + dataset.holdout)
    assert (len(dataset.real_authors), len(dataset.world_facts)) == (100, 117)
    assert all(len(row.perturbed_answers) == 3 for row in dataset.real_authors + dataset.world_facts)
