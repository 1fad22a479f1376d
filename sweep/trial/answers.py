"""Choose a few rows of a trial, and put side by side what the target and the unlearned models answer."""

from collections.abc import Sequence

from eval.models.answers import SIDES, group_by_part
from eval.rows.types import Dataset
from eval.suite import SuiteReport
from sweep.records import SPREAD_ROW, RowAnswers

N_SPREAD_ROWS = 5
"""Rows of a part that are shown whatever is answered, evenly spread over it."""
MAX_TEXT_CHARS = 300
"""Maximum length of a question or an answer: the answers of a trial travel with its record, and stay a few kB."""


def collect_answers(
    dataset: Dataset, target: SuiteReport, compared: SuiteReport, unlearned: SuiteReport
) -> list[RowAnswers]:
    """Collect the answers to a few forget and holdout rows; none where the target was asked nothing.

    Args:
        dataset: the rows.
        target: what the full suite says of the target.
        compared: of the mix that was scored.
        unlearned: of the unlearned weights before any mix.
    """
    rows, models = group_by_part(dataset), {"target": target, "compared": compared, "unlearned": unlearned}
    return [
        {"part": part, "row": str(place + 1), "chosen": why}
        | {"question": _shorten(rows[part][place].question), "answer": _shorten(rows[part][place].answer)}
        | {name: _shorten(report.answers[part][place]) for name, report in models.items() if report.answers}
        for part in SIDES
        if target.answers
        for place, why in _choose_rows(part, compared.rows.get(f"{part}/rouge_l", [])).items()
    ]


def _choose_rows(part: str, overlaps: Sequence[float]) -> dict[int, str]:
    """Choose rows of a part, and say why each is shown.

    Args:
        part: forget or retain.
        overlaps: each row's ROUGE-L at equal retention, its overlap with the true answer.
    """
    last = len(overlaps) - 1
    n_steps = max(1, min(N_SPREAD_ROWS - 1, last))
    chosen = {round(step * last / n_steps): SPREAD_ROW for step in range(n_steps + 1) if last >= 0}
    others = [place for place in range(len(overlaps)) if place not in chosen]
    if others:
        worst = max(others, key=overlaps.__getitem__) if part == "forget" else min(others, key=overlaps.__getitem__)
        chosen[worst] = "most remembered of the others" if part == "forget" else "most lost of the others"
    return dict(sorted(chosen.items()))


def _shorten(text: str) -> str:
    """Return the beginning of a text without spaces around it; an ellipsis marks one that was cut."""
    text = text.strip()
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"
