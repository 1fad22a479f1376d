"""ROUGE-L recall of greedy answers, by the package rouge-score, as TOFU has it."""

from collections.abc import Sequence


def rouge_l(answers: Sequence[str], said: Sequence[str]) -> list[float]:
    """Share of each answer's words that are a subsequence of what was said, in [0, 1], higher is better known.

    Words are stemmed (Porter) and lower-case; all but a-z and digits parts them, so an answer without any has 0.
    """
    # Imported here: it brings nltk, which costs every worker half a second that only the full suite needs.
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return [float(scorer.score(answer, text)["rougeL"].recall) for answer, text in zip(answers, said, strict=True)]
