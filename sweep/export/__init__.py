"""Keep the models of trials: bring them into the sweep's folder, or make them by running their trials again.

    __main__    the command `python -m sweep.export`
    delivery    fetch the models that a sweep keeps, or make those that it lacks
    cards       the model card of each

Imported by run and outputs.
"""
