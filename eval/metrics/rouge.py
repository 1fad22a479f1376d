"""ROUGE-L recall of greedy answers, by the package rouge-score, as in TOFU."""

from collections.abc import Sequence


def rouge_l(answers: Sequence[str], greedy: Sequence[str]) -> list[float]:
    """Return the share of each answer's words that are a subsequence of the greedy text, in [0, 1]; higher is better.

    Words are stemmed (Porter) and lower-case, and consist of a-z and digits; an answer without such words has 0.
    """
    # Imported here: it imports nltk, which takes half a second in every worker, and only the full suite needs it.
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return [float(scorer.score(answer, text)["rougeL"].recall) for answer, text in zip(answers, greedy, strict=True)]
