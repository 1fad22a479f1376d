"""Answers of the target and the finalists: which rows are shown, what the page says of them, and their file."""

import json
from dataclasses import replace
from typing import Any

import pytest

from eval.definitions import SUITE
from eval.rows.types import Dataset, Row
from eval.suite import SuiteReport
from support.reports import GOOD, reported, small
from support.trials import PAPER, repeats, trial
from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.finalists.answers import NOT_FINITE, NOTHING_SAID, WORD_FOR_WORD, build_answered_rows, format_answers
from sweep.report.finalists.suite_table import build_definition_table, build_suite_table
from sweep.trial.answers import MAX_TEXT_CHARS, collect_answers
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.runner import run_trial

NOTHING = SuiteReport(metrics={}, rows={}, left_out={})


def asked(n_forget: int, n_holdout: int) -> Dataset:
    """Rows q0, q1, ... with the answers a0, a1, ..., forget rows first."""
    rows = tuple(Row(question=f"q{i}", answer=f"a{i}") for i in range(n_forget + n_holdout))
    return Dataset(forget=rows[:n_forget], retain=(), holdout=rows[n_forget:])


def said(rows: Dataset, word: str, forget: list[float], retain: list[float]) -> SuiteReport:
    """A model that answers each row with a word, and what of it overlaps with the true answers."""
    answers = {"forget": [word] * len(rows.forget), "retain": [word] * len(rows.holdout)}
    return replace(NOTHING, answers=answers, rows={"forget/rouge_l": forget, "retain/rouge_l": retain})


def test_rows_are_spread_and_the_worst_of_the_others_is_there() -> None:
    """Of 9 forget rows 1, 3, 5, 7 and 9, and the eighth, which overlaps most; of 7 kept ones the sixth, least."""
    rows = asked(9, 7)
    mixed = said(rows, "mix", [1.0, 0.2, 0, 0, 0, 0.1, 0, 0.5, 0], [0, 0.9, 0, 0.8, 0, 0.1, 0])
    found = collect_answers(rows, said(rows, "old", [], []), mixed, said(rows, "new", [], []))
    assert [(one["part"], one["row"]) for one in found] == [
        *(("forget", row) for row in "135789"),
        *(("retain", row) for row in "134567"),
    ]
    assert [one["row"] for one in found if one["chosen"] == "most remembered of the others"] == ["8"]
    assert [one["row"] for one in found if one["chosen"] == "most lost of the others"] == ["6"]
    assert found[-1] | {"chosen": ""} == {
        **{"part": "retain", "row": "7", "chosen": "", "question": "q15", "answer": "a15"},
        **{"target": "old", "compared": "mix", "unlearned": "new"},
    }


@pytest.mark.parametrize(("n_forget", "n_holdout"), [(1, 0), (2, 1), (5, 6), (400, 40)])
def test_few_rows_are_all_shown(n_forget: int, n_holdout: int) -> None:
    """No row twice, and at most six of a part."""
    rows = asked(n_forget, n_holdout)
    mixed = said(rows, "mix", [0.5] * n_forget, [0.5] * n_holdout)
    found = [(one["part"], one["row"]) for one in collect_answers(rows, mixed, mixed, mixed)]
    assert len(found) == len({*found}) == min(6, n_forget) + min(6, n_holdout)
    assert found[0] == ("forget", "1") and ("forget", str(n_forget)) in found


def test_a_long_text_is_cut_and_no_text_is_made_up() -> None:
    """Weights without finite numbers answer nothing; the target that was asked nothing shows nothing."""
    rows = asked(1, 0)
    long = said(rows, "x" * (MAX_TEXT_CHARS + 1), [0.0], [])
    (found,) = collect_answers(rows, long, long, NOTHING)
    assert found["target"] == "x" * (MAX_TEXT_CHARS - 1) + "…" and "unlearned" not in found
    assert collect_answers(rows, NOTHING, NOTHING, NOTHING) == []


def test_answers_travel_with_the_record() -> None:
    """From the outcome, on the worker, into the record that the driver stores."""
    outcome = TrialOutcome(metrics={"score": 0.5}, answers=[answer("one")], target_metrics={"forget/prob": 0.75})
    *_, ended = run_trial(lambda _: iter([outcome]), trial(0, PAPER, 0.5))
    assert (ended.answers, ended.target_metrics) == ([answer("one")], {"forget/prob": 0.75})


def answer(compared: str, row: str = "3", **changes: str) -> dict[str, str]:
    """What a trial notes of a forget row."""
    given = {"part": "forget", "row": row, "chosen": "evenly spread", "question": "Who?", "answer": "Ada did."}
    return given | {"target": "Ada did.", "compared": compared, "unlearned": ""} | changes


def reports(*noted: list[dict[str, str]], **fields: Any) -> ReportData:
    """A sweep whose best setting, then the paper's, noted these answers on the first report seed."""
    finalists: list[TrialRecord] = []
    for setting, answers in zip((GOOD, PAPER), noted, strict=False):
        first, second = repeats(len(finalists), setting, 0.25 if setting == GOOD else 0.5, 0.5)
        finalists += [replace(first, answers=answers, **fields), second]
    return reported(trial(0, PAPER, 0.5), trial(1, GOOD, 0.25), *finalists)


def test_the_page_puts_finalists_side_by_side() -> None:
    """The best first; a remark stands for a text that says less."""
    (row,) = build_answered_rows(reports([answer("Ben did.")], [answer("Ada did. ")]))["Forget rows"]
    assert (row.title, row.question, row.answer) == ("forget row 3", "Who?", "Ada did.")
    assert row.answers == {
        "target": WORD_FOR_WORD,
        "best, at equal retention": "Ben did.",
        "best, before mixing": NOTHING_SAID,
        "paper, at equal retention": WORD_FOR_WORD,
        "paper, before mixing": NOTHING_SAID,
    }
    assert "best, at equal retention" not in row.remarks and len(row.remarks) == 4


def test_rows_are_in_order_and_parts_apart() -> None:
    """Row 10 comes after row 9; a row that only one finalist noted has its answers alone."""
    kept = answer("x", row="1", part="retain")
    shown = build_answered_rows(reports([answer("x", row="10"), kept], [answer("y", row="9")]))
    assert [one.title for one in shown["Forget rows"]] == [
        "forget row 9",
        "forget row 10",
    ]
    assert [len(one.answers) for one in shown["Forget rows"]] == [3, 3]
    assert [one.title for one in shown["Retain rows (holdout)"]] == ["retain row 1"]


def test_an_answer_that_is_missing_says_why() -> None:
    """Weights whose numbers are not finite generate nothing."""
    own = answer("x")
    del own["unlearned"]
    (row,) = build_answered_rows(reports([own]))["Forget rows"]
    assert row.answers["best, before mixing"] == NOT_FINITE


def test_without_report_seeds_there_is_nothing() -> None:
    """No finalist, or an older sweep's, which noted none: no rows, no file, no table."""
    assert build_answered_rows(reported(trial(0, PAPER, 0.5))) == build_answered_rows(small()) == {}
    assert format_answers(small()) == ""
    assert build_suite_table(reported(trial(0, PAPER, 0.5))).rows == []


def test_the_file_has_a_line_for_each_row() -> None:
    """Every script is readable, and what a terminal would obey is escaped, U+2028 too, which would end a line."""
    nasty = "東 é \x9b2J \u2028 \u202e \U000e0001"
    text = format_answers(reports([answer(nasty)], [answer("y")]))
    assert text.count("\n") == len(text.splitlines()) == 2
    assert "東 é " in text and all(letter.isprintable() or letter == "\n" for letter in text)
    first, second = map(json.loads, text.splitlines())
    assert first == {"setting": "best", "trial": "finalist-0", "seed": 1} | answer(nasty) | {"row": 3}
    assert (second["setting"], second["compared"]) == ("paper", "y")


def test_the_table_of_the_full_suite() -> None:
    """The target once, each finalist at equal retention and before mixing; a metric that nobody has is left out."""
    own = {"score": 0.25, "forget/prob": 0.5, "compared/forget/prob": 0.75, "mia/loss": 0.5, "privleak": -3.0}
    table = build_suite_table(reports([], metrics=own, target_metrics={"forget/prob": 1.0, "mia/loss": 0.9}))
    assert table.columns == ("metric", "better", "target", "best, at equal retention", "best, before mixing")
    assert table.rows == [
        ["forget/prob", "lower", 1.0, 0.75, 0.5],
        ["mia/loss", "near 0.5", 0.9, None, 0.5],
        ["privleak", "near 0", None, None, -3.0],
    ]
    assert build_definition_table(table).rows == [(key, SUITE[key]) for key in ("forget/prob", "mia/loss", "privleak")]
