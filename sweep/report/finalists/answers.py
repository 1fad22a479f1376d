"""Show questions with the answers of the target and of the finalists, at equal retention and before mixing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import SPREAD_ROW, RowAnswers, escape_unprintable
from sweep.report.finalists.trials import find_first_reports
from sweep.results.sweep_records import SweepRecords

ANSWERS_FILE = "answers.jsonl"
STAGES = {"compared": "at equal retention", "unlearned": "before mixing"}
"""Weights of a finalist whose answers are shown, and how the page calls them."""
PART_TITLES = {"forget": "Forget rows", "retain": "Retain rows (holdout)"}
WORD_FOR_WORD, NOTHING_SAID, NOT_FINITE = "the true answer, word for word", "says nothing", "no finite numbers"


@dataclass(frozen=True, kw_only=True)
class AnsweredRow:
    """A row with the answers to its question.

    Attributes:
        title: its part and number, and why it is shown if not as one of those that are spread evenly.
        question: its question.
        answer: its true answer.
        answers: what each model answers, by the model's name; a remark instead of the text where that says more.
        remarks: the names of the models that have a remark.
    """

    title: str
    question: str
    answer: str
    answers: Mapping[str, str]
    remarks: frozenset[str]


def build_answered_rows(sweep: SweepRecords) -> dict[str, list[AnsweredRow]]:
    """Build the rows to show, by the title of their part; empty where no finalist has answered."""
    asked: dict[tuple[str, int], dict[str, RowAnswers]] = {}
    for label, record in find_first_reports(sweep).items():
        for row in record.answers:
            asked.setdefault((row["part"], int(row["row"])), {})[label] = row
    parts = {part: [by_label for key, by_label in sorted(asked.items()) if key[0] == part] for part in PART_TITLES}
    return {PART_TITLES[part]: [*map(_build_row, rows)] for part, rows in parts.items() if rows}


def _build_row(by_label: Mapping[str, RowAnswers]) -> AnsweredRow:
    """Build a row from what each finalist's trial noted of it."""
    first = next(iter(by_label.values()))
    texts = {"target": first.get("target")}
    for label, row in by_label.items():
        texts |= {f"{label}, {stage}": row.get(key) for key, stage in STAGES.items()}
    remarks = {name: remark for name, text in texts.items() if (remark := _remark_on(text, first["answer"]))}
    reasons = dict.fromkeys(row["chosen"] for row in by_label.values() if row["chosen"] != SPREAD_ROW)
    return AnsweredRow(
        title=", ".join([f"{first['part']} row {first['row']}", *reasons]),
        question=escape_unprintable(first["question"]),
        answer=escape_unprintable(first["answer"]),
        answers={name: escape_unprintable(text or "") for name, text in texts.items()} | remarks,
        remarks=frozenset(remarks),
    )


def _remark_on(text: str | None, answer: str) -> str:
    """Return a remark that says more than the text: none where there is nothing to say."""
    if text is None:
        return NOT_FINITE
    if not text.strip():
        return NOTHING_SAID
    return WORD_FOR_WORD if text.strip() == answer.strip() and not answer.endswith("…") else ""


def format_answers(sweep: SweepRecords) -> str:
    """Format answers.jsonl: a line for each finalist and row; empty where no finalist has answered."""
    lines: Sequence[Mapping[str, object]] = [
        {"setting": label, "trial": f"{record.phase}-{record.index}", "seed": record.seed}
        | row
        | {"row": int(row["row"])}
        for label, record in find_first_reports(sweep).items()
        for row in record.answers
    ]
    return "".join(f"{_format_json_line(line)}\n" for line in lines)


def _format_json_line(value: object) -> str:
    """Format a value as one line of JSON that shows every script, and in which a terminal finds nothing to obey."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
