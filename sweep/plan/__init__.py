"""Plans: a `SweepConfig` in, a checked `Plan` out; whatever is wrong with it is told here, before anything is started.

    sweep_plan    one sweep: its name, its rows, where its artifacts lie
    launch_plan   what a command line asks for: one sweep, several, or one to be resumed
    checks        what only files can tell: rows, weights, tokenizer
    hub_commits   commits of Hugging Face repositories
    job           the part of a plan that a cluster runs

Imported by launch, run, outputs and the display.
"""
