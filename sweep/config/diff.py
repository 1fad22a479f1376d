"""Differences between two configurations, by dotted key, and the ones that a sweep may have when it is resumed.

These are its budget, that is how much it runs, and which models it keeps; neither changes a number of a trial.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from sweep.config.schema import SAVING_KEYS, SweepConfig

SEARCH_BUDGET = ("trials", "hours", "race")
"""The keys of the budget in the block `search`."""
BUDGET_KEYS = (*(f"search.{key}" for key in SEARCH_BUDGET), "seeds")
"""All keys of the budget; null is no limit."""


class Difference(NamedTuple):
    """A dotted key whose values differ, with the `repr` of each value, or `absent` where the key is missing."""

    key: str
    one: str
    other: str


def find_differences(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[Difference]:
    """Yield the keys whose values differ between two nested blocks: keys of the first, then keys only in the second."""
    ones, others = dict(flatten_block(one)), dict(flatten_block(other))
    for key in ones | others:
        if key not in ones or key not in others or ones[key] != others[key]:
            yield Difference(key, *(repr(values[key]) if key in values else "absent" for values in (ones, others)))


def flatten_block(block: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted keys of nested blocks with their values."""
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from flatten_block(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def adopt_budget(begun: SweepConfig, wished: SweepConfig) -> SweepConfig:
    """Return the configuration of a sweep that was begun with the budget and the kept models of another one."""
    search = begun.search.model_copy(update={key: getattr(wished.search, key) for key in SEARCH_BUDGET})
    saving = {key: getattr(wished, key) for key in SAVING_KEYS}
    return begun.model_copy(update={"search": search, "seeds": wished.seeds, **saving})


def list_changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[Difference]:
    """List the keys of the budget that differ between two configurations, given as nested blocks."""
    olds, news = _read_budget(before), _read_budget(after)
    return [Difference(key, _format(olds[key]), _format(news[key])) for key in BUDGET_KEYS if olds[key] != news[key]]


def list_cuts(before: Mapping[str, object], after: Mapping[str, object]) -> list[Difference]:
    """List the keys of which the second configuration has less."""
    olds, news = _read_budget(before), _read_budget(after)
    return [change for change in list_changes(before, after) if news[change.key] < olds[change.key]]


def _read_budget(block: Mapping[str, object]) -> dict[str, float]:
    flat = dict(flatten_block(block))
    return {key: math.inf if flat[key] is None else cast("float", flat[key]) for key in BUDGET_KEYS}


def _format(value: float) -> str:
    return "null" if value == math.inf else str(value)
