"""Hyper-parameters with a range: their axes in plots, and conversion between values and fractions of the range."""

import math
from dataclasses import dataclass

import altair as alt
from optuna.distributions import IntDistribution

from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Range
from sweep.config.space import build_distributions
from sweep.records import Value


@dataclass(frozen=True, kw_only=True)
class RangeParameter:
    """A hyper-parameter that is searched over a range.

    Attributes:
        name: name of the hyper-parameter.
        range: the searched range.
        is_integer: True if it takes whole numbers only.
    """

    name: str
    range: Range
    is_integer: bool

    def encode_x(self, key: str) -> alt.X:
        """Encode the values under a key on the horizontal axis."""
        return alt.X(f"{key}:Q", title=self._axis_title, scale=self._axis_scale, axis=self._axis_style)

    def encode_y(self, key: str) -> alt.Y:
        """Encode the values under a key on the vertical axis."""
        return alt.Y(f"{key}:Q", title=self._axis_title, scale=self._axis_scale, axis=self._axis_style)

    def to_fraction(self, value: Value) -> float:
        """Convert a value to its fraction of the range, 0 (low) to 1 (high); on a log scale if the range has one."""
        low, high, own = (math.log(v) if self.range.log else v for v in (self.range.low, self.range.high, float(value)))
        return (own - low) / (high - low) if high > low else 0.0

    def from_fraction(self, place: float) -> float:
        """Convert a fraction of the range, from 0 to 1, to a value."""
        if self.range.log:
            return float(self.range.low * (self.range.high / self.range.low) ** place)
        return self.range.low + (self.range.high - self.range.low) * place

    @property
    def _axis_title(self) -> str:
        return f"{self.name} (logarithmic)" if self.range.log else self.name

    @property
    def _axis_scale(self) -> alt.Scale:
        ends = [self.range.low, self.range.high]
        return alt.Scale(type="log" if self.range.log else "linear", domain=ends, nice=False, padding=8)

    @property
    def _axis_style(self) -> alt.Axis:
        return alt.Axis(format="~r", tickMinStep=1) if self.is_integer else alt.Axis(format="~r")


def find_range_parameters(config: SweepConfig) -> dict[str, RangeParameter]:
    """Find the hyper-parameters that are searched over a range, by name."""
    drawn = build_distributions(config)
    return {
        name: RangeParameter(name=name, range=entry, is_integer=isinstance(drawn[name], IntDistribution))
        for name, entry in config.space.items()
        if isinstance(entry, Range)
    }
