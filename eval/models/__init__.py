"""Models: loaded safely, and what they say of rows.

    checkpoint          models and tokenizers from folders and hub ids
    hub                 commits and files of the Hugging Face hub
    safetensors_check   whether a folder can be read without running code from it
    forward             the teacher-forced forward
    generation          greedy answers
    answers             all texts of a dataset in one pass

Imported by eval.suite, eval.run and sweep.training.
"""
