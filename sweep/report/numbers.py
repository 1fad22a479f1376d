"""Format numbers for the page: significant digits, and powers of ten only where there is no shorter way."""

from collections.abc import Iterable

from sweep.records import Value
from sweep.results.statistics import PairedDifference

N_DIGITS = 4
"""Significant digits of a number in a table."""
PLAIN_NUMBERS = (1e-4, 1e9)
"""Absolute values between which a number is written without a power of ten."""


def format_number(value: Value, n_digits: int = N_DIGITS) -> str:
    """Format a value: a float with significant digits, so that 99.97 is `100` and never `1e+02`; all others as is."""
    if not isinstance(value, float):
        return str(value)
    low, high = PLAIN_NUMBERS
    rounded = float(f"{value:.{n_digits}g}")
    if low <= abs(rounded) < high and rounded.is_integer():
        return f"{rounded:.0f}"
    return f"{rounded:.{n_digits + 4}f}".rstrip("0") if low <= abs(rounded) < high else f"{value:.{n_digits}g}"


def format_difference(gap: PairedDifference | None) -> str:
    """Format a difference with its 95 % interval, which one seed does not have; empty for None."""
    if gap is None:
        return ""
    return f"{gap.mean:+.3f}" + (f" [{gap.low:+.3f}, {gap.high:+.3f}]" if gap.pairs > 1 else "")


def join_names(names: Iterable[str]) -> str:
    """Join names into an enumeration: `a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
