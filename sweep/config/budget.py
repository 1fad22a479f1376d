"""The budget of a sweep: how much it runs. It may change on resume, and changes no number of a trial."""

import math
from collections.abc import Mapping
from typing import cast

from sweep.config.diff import Difference, flatten_block
from sweep.config.schema import SAVING_KEYS, SweepConfig

SEARCH_BUDGET = ("trials", "hours", "race")
"""The keys of the budget in the block `search`."""
BUDGET_KEYS = (*(f"search.{key}" for key in SEARCH_BUDGET), "seeds")
"""All keys of the budget; null is no limit."""


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
