"""The blocks `space` and `search` of a sweep's configuration."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, PositiveFloat, Tag, field_validator, model_validator

from eval.options import Frozen
from sweep.records import Value

Bound: TypeAlias = Annotated[float, Field(ge=-1e15, le=1e15)]
"""End of a range, limited so that every whole number in it is exact as a float."""

WARM_START_SAMPLERS = ("auto", "gp", "tpe")
"""The samplers that learn from earlier sweeps."""


class Range(Frozen):
    """Range in which a hyper-parameter is searched: from low to high, both included."""

    low: Bound
    """Lowest value."""
    high: Bound
    """Highest value."""
    log: bool = False
    """True if equal ratios count as equal distances."""
    step: PositiveFloat | None = None
    """Distance between the values that are tried (null: any value; whole numbers where the hyper-parameter is one)."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"must have low ({self.low}) at most high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"must have low above 0 (not {self.low}) where log is true")
        if self.log and self.step is not None:
            raise ValueError("must not have a step where log is true")
        return self


class Choices(Frozen):
    """A hyper-parameter that takes one of a few values."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000, strict=False)]
    """The values."""


def _entry_tag(entry: object) -> str:
    """Return the tag of the type that an entry of the space is meant to have; a tag is never a key of the user."""
    return "-choices" if isinstance(entry, Choices) or (isinstance(entry, Mapping) and "choices" in entry) else "-range"


Space: TypeAlias = dict[
    str,
    Annotated[Annotated[Range, Tag("-range")] | Annotated[Choices, Tag("-choices")], Discriminator(_entry_tag)],
]


class SearchConfig(Frozen):
    """Search for the best setting."""

    sampler: Literal["auto", "gp", "tpe", "random", "grid", "nsga2", "paper"]
    """Way to propose settings. `auto`: gp (a Gaussian process) for the first 250 trials of a space of numbers without
    `stop`, else tpe; `nsga2`: forget ES down and retain ES up; `paper`: the tuned setting alone."""
    also: Annotated[
        tuple[Literal["train.lr", "retain.weight", "train.epochs"], ...], Field(strict=False, exclude=True)
    ] = ()
    """Hyper-parameters to search besides those of `space`, around the sweep's own values; a stored sweep has them in
    `space`."""
    trials: Annotated[int, Field(gt=0, le=100_000)] | None
    """Number of trials of the search (null: as many as `hours` allows)."""
    seeds: int = Field(ge=1, le=1000)
    """Number of seeds on which its trials take turns (1: all on `seed`), so that no seed's luck decides."""
    hours: PositiveFloat | None
    """Hours after which no further trial of the search is started (null: no limit)."""
    epochs: Literal["last", "best"]
    """Epoch by which a trial is scored: its last, mixed with the target; or, if it forgets more, an earlier one that
    keeps τ without a mix (`best`)."""
    warm_start: Annotated[tuple[str, ...], Field(strict=False)]
    """Earlier sweeps of the same storage that the sampler learns from; all that a score depends on must be equal, but
    the space: trials outside of it are left out."""
    stop: Literal["none", "asha"]
    """`asha`: after 2, 6, 18, ... epochs only the third of the trials that has forgotten most continues."""
    race: int = Field(ge=0, le=10_000)
    """Maximum number of runs in which the best settings race on fresh seeds (0: no race; else at least 2)."""

    @field_validator("race")
    @classmethod
    def _check_race(cls, race: int) -> int:
        if race == 1:
            raise ValueError("must be 0, for no race, or at least 2: one run is no race")
        return race

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.trials is None and self.hours is None:
            raise ValueError("must have trials or hours, or both")
        return self

    @model_validator(mode="after")
    def _check_sampler(self) -> Self:
        if self.warm_start and self.sampler not in WARM_START_SAMPLERS:
            raise ValueError(f"must have no warm_start with sampler {self.sampler!r}, which learns nothing from it")
        if self.stop == "asha" and self.sampler == "nsga2":
            raise ValueError("must have no stop with sampler 'nsga2': trials are stopped by their score alone")
        if self.stop == "asha" and self.sampler == "gp":
            raise ValueError("must have no stop with sampler 'gp', which does not see stopped trials: take auto")
        return self
