"""Where two configurations differ, by dotted key."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Difference(NamedTuple):
    """A key that two configurations do not have in common, with its value in each as text, or `absent`."""

    key: str
    one: str
    other: str


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[Difference]:
    """The keys of two nested blocks whose values are not the same, those of the first before those of the second."""
    ones, others = dict(flat(one)), dict(flat(other))
    for key in ones | others:
        if key not in ones or key not in others or ones[key] != others[key]:
            yield Difference(key, *(repr(values[key]) if key in values else "absent" for values in (ones, others)))


def flat(block: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Nested blocks as dotted keys with their values."""
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
