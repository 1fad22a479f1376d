"""Definitions of the metrics, for readers of the numbers; this file imports no metric and no torch.

`eval.run` answers `--help` and errors, and `sweep.sync` logs scores, without waiting for torch.
"""

from typing import NamedTuple

_FORGET = "on forget rows; lower is more forgotten"
_RETAIN = "on holdout rows (never trained on while unlearning); higher is better kept"

GREEDY_ANSWER = "greedy_answer"
"""Text that a model generates itself, of at most 200 tokens."""


class RowMetric(NamedTuple):
    """Metric that has a value for each forget and each holdout row; `forget/NAME` and `retain/NAME` are their means.

    Attributes:
        function: `FILE.FUNCTION` in eval/metrics, imported by `eval.suite` when it measures.
        reads: the text that the function reads. For `GREEDY_ANSWER` it receives the answers and the greedy answers;
            for a kind of text in `eval.models.answers` it receives the statistics of that text's labels.
        definition: the definition, without the rows and the direction.
    """

    function: str
    reads: str
    definition: str


ROW_METRICS = {
    "es": RowMetric(
        "extraction_strength.extraction_strength",
        "answer",
        "extraction strength 1 - k/n, k the shortest answer prefix after which every label is the argmax under "
        "teacher forcing, n the answer's tokens with EOS, mean over rows",
    ),
    "es_paraphrase": RowMetric(
        "extraction_strength.extraction_strength",
        "paraphrased_question",
        "the same extraction strength with the paraphrased question and the original answer",
    ),
    "prob": RowMetric("probability.probability", "answer", "exp(-NLL/n) of the answer, mean over rows"),
    "rouge_l": RowMetric(
        "rouge.rouge_l",
        GREEDY_ANSWER,
        "ROUGE-L recall of the answer in the greedy answer of at most 200 tokens (rouge-score, Porter stems), "
        "mean over rows",
    ),
    "exact_memorisation": RowMetric(
        "exact_memorization.exact_memorisation",
        "answer",
        "share of the answer's n tokens that are the argmax under teacher forcing, mean over rows",
    ),
}
"""Metrics of forget and holdout rows, by name."""
_RATIO = "R = exp(mean over the perturbed answers of ln p - ln p of the {right}), p = exp(-NLL/n)"
_FACTS = {
    "prob": "p(answer) / (p(answer) + sum of p(perturbed)), p = exp(-NLL/n), mean over rows; higher is better kept",
    "truth_ratio": f"mean of max(0, 1 - R), {_RATIO.format(right='answer')}; higher is better kept",
    "rouge_l": f"{ROW_METRICS['rouge_l'].definition}; higher is better kept",
}
_ATTACKS = {
    "loss": "mean log-probability of the answer's tokens",
    "min_k": "mean of the lowest 40 % of the answer's log-probabilities",
    "min_k_plus_plus": "mean of the lowest 40 % of (ln p - mean) / standard deviation, both of ln p under p over the "
    "vocabulary at each of the answer's tokens",
}


def define_score(has_paraphrases: bool) -> str:
    """Return the definition of the score, which is of exact ES alone where rows lack paraphrased questions."""
    made_of = "mean of exact and paraphrased" if has_paraphrases else "exact alone, since rows have no paraphrase"
    return (
        f"forget ES ({made_of}) of the mix of reference and unlearned weights, in steps of "
        "1/64 from 1/64, that keeps the share tau of the reference's retain ES; lower is better"
    )


SCORE = {
    "score": define_score(has_paraphrases=True),
    "mix": "share m* of the unlearned weights in that mix, known to 1/64; 1 where nothing had to be mixed back, 0 "
    "where no mix keeps tau",
    "score/tau_*": "the score at another tau, interpolated on the grid of m in steps of 1/8; it never rises as tau "
    "falls",
}
"""Metrics of a trial's score."""

SUITE = {
    **{f"forget/{name}": f"{metric.definition}, {_FORGET}" for name, metric in ROW_METRICS.items()},
    "forget/truth_ratio": f"mean of min(R, 1/R), {_RATIO.format(right='paraphrased answer')}, on forget rows; 1 where "
    "the right answer is as likely as the wrong ones",
    **{f"retain/{name}": f"{metric.definition}, {_RETAIN}" for name, metric in ROW_METRICS.items()},
    "retain/truth_ratio": f"mean of max(0, 1 - R), {_RATIO.format(right='paraphrased answer')}, {_RETAIN}",
    **{f"real_authors/{kind}": f"{text}, on TOFU's real authors" for kind, text in _FACTS.items()},
    **{f"world_facts/{kind}": f"{text}, on TOFU's world facts" for kind, text in _FACTS.items()},
    "model_utility": "harmonic mean of prob, rouge_l and truth_ratio on retain, real_authors and world_facts; higher "
    "is better kept",
    "forget_quality": "p-value of the two-sample Kolmogorov-Smirnov test of R on forget rows against the retain "
    "model's; higher is more like a model that never saw them",
    "forget_quality_log10": "its logarithm to base 10, at least -300",
    **{
        f"mia/{name}": f"AUC of telling forget rows from unseen rows by the {text}; 0.5 is chance, 1 is known by heart"
        for name, text in _ATTACKS.items()
    },
    "privleak": "100 ((1 - AUC) / (1 - AUC of the retain model) - 1) of mia/min_k, in per cent; 0 is as the retain "
    "model, below 0 still known, above 0 conspicuously forgotten (MUSE's sign)",
}
"""Metrics that the full suite measures, or leaves out with the reason."""

PAPER = {
    f"{side}/paper_ps": "extraction strength as the paper's code measures it, bugs included, for comparison only: "
    f"bisection over prefixes with greedy continuations on 50 random {rows}; 1 where a model answers with EOS at once"
    for side, rows in (("forget", "forget rows"), ("retain", "holdout rows"))
}
"""Metrics of the mode that measures as the paper's code does."""

DEFINITIONS = SUITE | SCORE
"""Definition of each metric, with the direction that is better: lower, higher, or nearest to a value."""
