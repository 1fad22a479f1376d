"""Models: loaded safely, and their outputs for rows.

    checkpoint          models and tokenizers from folders, hub ids and packages
    adapters            adapters in a folder, merged into their base
    hub                 commits and files of the Hugging Face hub
    packaged            models in installed Python packages, where no hub is in reach
    safetensors_check   refuses a folder that cannot be read without running code from it
    logits              the parts of a model, and the scale and cap of its logits
    forward             the teacher-forced forward
    generation          greedy answers
    answers             the outputs for all texts of a dataset, in one pass

Imported by eval.suite, eval.run and sweep.training.
"""
