"""Calibrated score: forget ES after the unlearned weights are mixed back just far enough to keep retain ES.

Raw forget ES rewards a method that destroys the model. UWC (Towards Effective Evaluations and Comparisons for LLM
Unlearning Methods, ICLR 2025) mixes θ(m) = (1 − m) θ_ref + m θ_unlearned and compares methods at equal retention.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MIX_GRID = tuple(m / 8 for m in range(8, 0, -1))
N_BISECTIONS = 3


class ExtractionStrengths(NamedTuple):
    """Mean ES (exact and paraphrased) of a model on forget and on holdout rows."""

    forget: float
    retain: float


def extraction_strengths(metrics: Mapping[str, float]) -> ExtractionStrengths:
    """Return the forget and the retain ES, each the mean of exact and paraphrased ES."""
    return ExtractionStrengths(
        forget=(metrics["forget/es"] + metrics["forget/es_paraphrase"]) / 2,
        retain=(metrics["retain/es"] + metrics["retain/es_paraphrase"]) / 2,
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Result of the scan over mixes.

    Attributes:
        score: forget ES at `mix`, in [0, 1], lower is better.
        mix: m*, the largest share of the unlearned weights that keeps `tau` of the reference's retain ES.
        curve: (τ, score) for every requested τ; all but the main one are interpolated on the grid.
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
        for _ in range(N_BISECTIONS if 0 < low < 1 else 0):
            low += step if self.is_retained(low + step, tau) else 0.0
            step /= 2
        return low

    def get_forget_es(self, m: float) -> float:
        return self.strengths[m].forget if m > 0 else self.reference.forget

    def interpolate_score(self, tau: float) -> float:
        """Return forget ES where the kept share of retain ES crosses `tau`, linear between neighbours on the grid."""
        low = self.find_on_grid(tau)
        if low == 1:
            return self.get_forget_es(1.0)
        high = low + MIX_GRID[-1]
        kept = self.strengths[low].retain if low > 0 else self.reference.retain
        share = (kept - tau * self.reference.retain) / (kept - self.strengths[high].retain)
        return self.get_forget_es(low) + share * (self.get_forget_es(high) - self.get_forget_es(low))


def calibrate_score(
    evaluate: Callable[[float], ExtractionStrengths],
    reference: ExtractionStrengths,
    tau: float,
    others: Sequence[float],
) -> Calibration:
    """Score an unlearned model at retention `tau`, and from the same scan at the `others`.

    Scan m = 1, 7/8, …, 1/8 downwards until every τ is kept, then bisect three times above the first m that keeps the
    main τ, so that m* is known to 1/64. If no m > 0 keeps τ, m* = 0 and the score is the reference's forget ES.

    Args:
        evaluate: returns the ES of the mix θ(m), m in (0, 1].
        reference: ES of the reference, θ(0).
        tau: the main share of the reference's retain ES to be kept, in (0, 1].
        others: further shares, interpolated on the grid.
    """
    scan = _MixScan(evaluate=evaluate, reference=reference)
    mix = scan.bisect_mix(tau)
    score = scan.get_forget_es(mix)
    curve = tuple((other, score if other == tau else scan.interpolate_score(other)) for other in sorted({*others, tau}))
    return Calibration(score=score, mix=mix, curve=curve, evaluations=len(scan.strengths))
