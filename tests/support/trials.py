"""Trials for the tests, as the ledger would hold them."""

from typing import Any

from sweep.records import Record, Setting

PAPER: Setting = {"alpha": 1.5, "beta": 7.0}
"""The paper's WTNPO for forget10, which stands in for the toy sweep."""


def trial(index: int, setting: Setting, score: float, **fields: Any) -> Record:
    """A finished search trial."""
    default: dict[str, Any] = {"phase": "search", "seed": 0, "state": "finished", "metrics": {"score": score}}
    return Record(index=index, setting=setting, **default | fields)


def repeats(first: int, setting: Setting, *scores: float, **metrics: float) -> list[Record]:
    """A setting's repeats on seeds 1, 2, ...; other metrics are the same on each."""
    return [
        trial(first + i, setting, score, phase="finalist", seed=1 + i, metrics={"score": score} | metrics)
        for i, score in enumerate(scores)
    ]


def sides(forget: float, retain: float) -> dict[str, float]:
    """ES of both sides, exact and paraphrased the same."""
    values = {"forget": forget, "retain": retain}
    return {f"{side}/{kind}": value for side, value in values.items() for kind in ("es", "es_paraphrase")}
