"""Scales for gradient effects, which have both signs and span orders of magnitude: linear at 0, logarithmic beyond."""

import math
from collections.abc import Iterable

import altair as alt

from sweep.report.theme import BLUE, ORANGE

N_DECADES = 4
"""Decades of each sign that a scale shows logarithmically."""
TICK_FORMAT = ".3~r"
"""Format of a tick: significant digits, no power of ten."""
SMALLEST = 1e-30
"""Largest value that is drawn as 0 where no other is larger."""
MIDDLE_COLOUR = "#e8ebef"
"""Colour of an effect of 0."""


def build_symlog(values: Iterable[float]) -> tuple[alt.Scale, list[float]]:
    """Build a scale for values of both signs, and the ticks of its axis: 0 and powers of ten."""
    largest = _find_largest(values)
    top = math.floor(math.log10(largest))
    return alt.Scale(type="symlog", constant=10.0 ** (top - N_DECADES + 1), nice=False), _list_ticks(top)


def build_colours(values: Iterable[float]) -> tuple[alt.Scale, list[float]]:
    """Build a scale of colours on which 0 is in the middle, and the values that its legend names."""
    largest = _find_largest(values)
    top = math.floor(math.log10(largest))
    scale = alt.Scale(
        type="symlog",
        constant=10.0 ** (top - N_DECADES + 1),
        domain=[-largest, 0, largest],
        range=[BLUE, MIDDLE_COLOUR, ORANGE],
        interpolate="lab",
    )
    return scale, [-(10.0**top), 0.0, 10.0**top]


def _find_largest(values: Iterable[float]) -> float:
    """Find the largest absolute value; 1 where all are 0, or next to it."""
    largest = max((abs(value) for value in values), default=0.0)
    return largest if largest > SMALLEST else 1.0


def _list_ticks(top: int) -> list[float]:
    """List 0 and powers of ten of both signs up to 10^top."""
    powers = [10.0**power for power in range(top, top - N_DECADES, -1)]
    return sorted([*powers, 0.0, *(-power for power in powers)])
