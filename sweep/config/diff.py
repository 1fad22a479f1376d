"""Differences between two configurations, by dotted key."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple


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
