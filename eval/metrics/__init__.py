"""Metrics, one a file; `eval.definitions` says what each is, and names those that have a value for each row.

`calibrated_score` is the score of a trial, `paper_extraction_strength` what the paper's code measures.

Imported by eval.suite, eval.run, sweep.search, sweep.prepare and sweep.trial.
"""
