"""Show what the finalists answer and measure on the first report seed, beside the target.

    trials        the trials in which the full suite was measured
    answers       questions with their answers, for the page and answers.jsonl
    suite_table   the table of the full suite

Imported by the sections of the page and by paper.
"""
