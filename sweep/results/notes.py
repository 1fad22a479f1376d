"""Sentences that a reader of a sweep's numbers has to know, said before it begins, in its runs and in its report."""

from eval.models.packaged import describe_weights
from sweep.config.schema import SweepConfig


def list_notes(config: SweepConfig) -> list[str]:
    """List what is to be known of a sweep beside its configuration."""
    weights = describe_weights(config.model.path)
    return [] if weights is None else [f"model.path = {config.model.path}: {weights}"]
