"""Measure the gradient effects of an objective at any checkpoint: `python -m sweep.g_effect`.

    __main__  the command
    request   check what was typed, before any model is loaded
    tables    print the effects

In a sweep, `eval.g_effect` measures the same in each trial; both use sweep/training/g_effect.py.
"""
