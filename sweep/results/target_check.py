"""Check that the target knows its rows, by the ES that was measured when the reference was made.

A target that does not know the rows has nothing to forget: every setting scores 0, the best score there is.
"""

from collections.abc import Mapping

from eval.metrics.calibrated_score import ExtractionStrengths, extraction_strengths
from sweep.config.model_schema import TargetConfig
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError

WEAK_ES = 0.3
"""ES below which a sweep is told that its target knows little; published targets have .4 to .8."""


def refuse_ignorant_target(config: SweepConfig, metrics: Mapping[str, float], base: Mapping[str, float]) -> None:
    """Refuse a target whose forget or retain ES is below `target.min_es`, or less than that above the base model's.

    Args:
        config: the sweep.
        metrics: the target's metrics; nothing is refused if they are empty.
        base: the metrics of the model before fine-tuning; empty if they are not known.

    Raises:
        ConfigError: the target does not know its rows; the message has the numbers and what to do.
    """
    least, found, before = config.target.min_es, read_strengths(metrics), read_strengths(base)
    if found is None or least == 0:
        return
    lowest = before or ExtractionStrengths(forget=0.0, retain=0.0)
    if min(found.forget - lowest.forget, found.retain - lowest.retain) < least:
        above = f" and as much above {_format_es(before)} of the model before fine-tuning" if before else ""
        raise ConfigError(
            f"{_describe_source(config.target)}: the target has {_format_es(found)}, but must have at least"
            f" target.min_es = {least:g} on both{above}, else it does not know its rows and there is nothing to forget:"
            f" {_advise(config.target)}, or target.min_es=0 to go on with it."
        )


def describe_target(metrics: Mapping[str, float], base: Mapping[str, float]) -> str:
    """Describe the target's ES, and the base model's where it is known, in one line; empty without metrics."""
    found, before = read_strengths(metrics), read_strengths(base)
    if found is None:
        return ""
    return f"target {_format_es(found)}{f' (before fine-tuning {_format_es(before)})' if before else ''}"


def warn_of_weak_target(metrics: Mapping[str, float]) -> str:
    """Return a sentence if the target knows little of its rows, else an empty text."""
    found = read_strengths(metrics)
    if found is None or min(found) >= WEAK_ES:
        return ""
    return (
        f"the target knows little of its rows ({_format_es(found)}; published targets have 0.4 to 0.8), so that there"
        " is little to forget and settings differ little."
    )


def read_strengths(metrics: Mapping[str, float]) -> ExtractionStrengths | None:
    """Return forget and retain ES; None if the metrics are not known (yet) or cannot be read."""
    try:
        return extraction_strengths(metrics)
    except KeyError:
        return None


def _format_es(found: ExtractionStrengths) -> str:
    return f"forget ES {found.forget:.3f}, retain ES {found.retain:.3f}"


def _describe_source(target: TargetConfig) -> str:
    """Return the key that the target comes from, with its value."""
    return f"target.epochs = {target.epochs}" if target.path is None else f"target.path = {target.path!r}"


def _advise(target: TargetConfig) -> str:
    """Return what makes a target know its rows."""
    if target.path is None:
        return "more target.epochs, another target.lr, or a tuned target.path"
    return "give a target.path that was fine-tuned on these rows with this model.template, or null to have one made"
