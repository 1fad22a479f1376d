"""Calibrated score: forget ES after the unlearned weights are mixed back just far enough to keep retain ES.

Raw forget ES rewards a method that destroys the model. UWC (Towards Effective Evaluations and Comparisons for LLM
Unlearning Methods, ICLR 2025) mixes θ(m) = (1 − m) θ_ref + m θ_unlearned and compares methods at equal retention.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

MIX_GRID = tuple(m / 8 for m in range(8, 0, -1))
N_BISECTIONS = 3


class ExtractionStrengths(NamedTuple):
    """ES of a model on forget and on holdout rows, the mean of exact and paraphrased ES where rows have both."""

    forget: float
    retain: float


def extraction_strengths(metrics: Mapping[str, float]) -> ExtractionStrengths:
    """Return forget and retain ES, the mean of exact and paraphrased ES where both have both, else exact ES."""
    if not {"forget/es_paraphrase", "retain/es_paraphrase"} <= metrics.keys():
        return ExtractionStrengths(forget=metrics["forget/es"], retain=metrics["retain/es"])
    return ExtractionStrengths(
        forget=(metrics["forget/es"] + metrics["forget/es_paraphrase"]) / 2,
        retain=(metrics["retain/es"] + metrics["retain/es_paraphrase"]) / 2,
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Result of the scan over mixes.

    Attributes:
        score: forget ES at `mix`, in [0, 1], lower is better.
        mix: m*, the share of the unlearned weights in the scored mix, in steps of 1/64; 0 where no mix keeps `tau`.
        curve: (τ, score) for every requested τ, ascending; all but the main one are interpolated on the grid. The score
            never rises as τ falls.
        evaluations: number of mixes that were evaluated, at most 11.
    """

    score: float
    mix: float
    curve: tuple[tuple[float, float], ...]
    evaluations: int


@dataclass(kw_only=True)
class _MixScan:
    """Scan over mixes, with the ES of those evaluated so far, by m."""

    evaluate: Callable[[float], ExtractionStrengths]
    reference: ExtractionStrengths
    strengths: dict[float, ExtractionStrengths] = field(default_factory=dict)

    def is_retained(self, m: float, tau: float) -> bool:
        if m not in self.strengths:
            self.strengths[m] = self.evaluate(m)
        return self.strengths[m].retain >= tau * self.reference.retain

    def find_on_grid(self, tau: float) -> float:
        """Return the first m of the grid, from 1 downwards, that keeps `tau`; 0 if none does."""
        return next((m for m in MIX_GRID if self.is_retained(m, tau)), 0.0)

    def bisect_mix(self, tau: float) -> float:
        """Return the largest m in steps of 1/64 above the grid's, assuming that retain ES falls with m."""
        low = self.find_on_grid(tau)
        step = MIX_GRID[-1] / 2
        for _ in range(N_BISECTIONS if low < 1 else 0):
            low += step if self.is_retained(low + step, tau) else 0.0
            step /= 2
        return low

    def get_strengths(self, m: float) -> ExtractionStrengths:
        return self.strengths[m] if m > 0 else self.reference

    def interpolate_score(self, tau: float) -> float:
        """Return forget ES where the kept share of retain ES crosses `tau`, linear between neighbours on the grid.

        Where the upper neighbour's ES is not finite, there is nothing to interpolate: it is the lower neighbour's.
        """
        low = self.find_on_grid(tau)
        forget, retain = self.get_strengths(low)
        if low == 1:
            return forget
        above = self.get_strengths(low + MIX_GRID[-1])
        share = (retain - tau * self.reference.retain) / (retain - above.retain)
        score = forget + share * (above.forget - forget)
        return score if math.isfinite(score) else forget

    def trace_curve(self, tau: float, score: float, others: Sequence[float]) -> Iterator[tuple[float, float]]:
        """Yield (τ, score) for the main `tau`, whose score is given, and for the `others`.

        A mix that keeps a τ keeps every lower one too, so the score must not rise as τ falls. From the main τ outwards,
        a level that contradicts this, or has no finite score, gets that of its neighbour nearer to the main τ.
        """
        yield tau, score
        lowest = highest = score
        for other in sorted((other for other in {*others} if other < tau), reverse=True):
            lowest = min(lowest, self.interpolate_score(other))  # the first of the two where the second is NaN
            yield other, lowest
        for other in sorted(other for other in {*others} if other > tau):
            highest = max(highest, self.interpolate_score(other))
            yield other, highest


def take_lower(
    found: Calibration, tau: float, unmixed: ExtractionStrengths, reference: ExtractionStrengths
) -> Calibration:
    """Return the lower of a calibrated score and the forget ES of another model, which is not mixed; so for every τ.

    Args:
        found: the calibrated score of a model at `tau`.
        tau: the main share of the reference's retain ES to be kept.
        unmixed: ES of the other model; it counts at every τ that it keeps.
        reference: ES of the reference.
    """

    def choose(level: float, score: float) -> float:
        return min(score, unmixed.forget) if unmixed.retain >= level * reference.retain else score

    score = choose(tau, found.score)
    return replace(
        found,
        score=score,
        mix=1.0 if score < found.score else found.mix,
        curve=tuple((level, choose(level, own)) for level, own in found.curve),
    )


def calibrate_score(
    evaluate: Callable[[float], ExtractionStrengths],
    reference: ExtractionStrengths,
    tau: float,
    others: Sequence[float],
) -> Calibration:
    """Score an unlearned model at retention `tau`, and from the same scan at the `others`.

    Scan m = 1, 7/8, …, 1/8 downwards until every τ is kept, then bisect three times above the first m that keeps the
    main τ, or above 0 where none does, so that m* is known to 1/64. If no m keeps τ, m* = 0 and the score is the
    reference's forget ES.

    Args:
        evaluate: returns the ES of the mix θ(m), m in (0, 1].
        reference: ES of the reference, θ(0).
        tau: the main share of the reference's retain ES to be kept, in (0, 1].
        others: further shares, interpolated on the grid.
    """
    scan = _MixScan(evaluate=evaluate, reference=reference)
    mix = scan.bisect_mix(tau)
    score = scan.get_strengths(mix).forget
    curve = tuple(sorted(scan.trace_curve(tau, score, others)))
    return Calibration(score=score, mix=mix, curve=curve, evaluations=len(scan.strengths))
