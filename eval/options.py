"""Types that every block of a configuration is made of, here and in `sweep.config`; loads without torch."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Count: TypeAlias = Annotated[int, Field(gt=0, le=10**6)]
SmallCount: TypeAlias = Annotated[int, Field(gt=0, le=1000)]
"""Positive number up to 1000; a larger one is a typing error that would make a dry run endless."""
Fraction: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class Frozen(BaseModel):
    """A block of the configuration: unknown keys are rejected, values never change, numbers are finite.

    Types are strict: a text or a truth value is never converted to a number. The text below a key describes it, and is
    what docs/pages/reference.md says of it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        strict=True,
        use_attribute_docstrings=True,
    )
