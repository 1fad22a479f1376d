"""Metrics, one a file; `eval.definitions` says what each is.

    extraction_strength         ES
    exact_memorization          EM
    probability                 p of an answer by token
    truth_ratio                 wrong answers against the right one
    rouge                       ROUGE-L recall
    model_utility               the knowledge that is kept, in one number
    forget_quality              against a model that never saw the forget rows
    membership_inference        attacks, and the privacy leak
    calibrated_score            the score: forget ES at equal retention
    paper_extraction_strength   ES as the paper's code measures it

Imported by eval.suite, sweep.trial and sweep.results.
"""
