"""Plans: turn a `SweepConfig` into a checked `SweepPlan`; every error is raised here, before anything is started.

    sweep_plan    one sweep: its name, its rows, where its artifacts lie
    launch_plan   the sweeps of one command: one sweep, a comparison, or either of them resumed
    changes       what may change when a sweep is resumed
    dry_run       say what a launch would do
    checks        checks that read files: rows, weights, tokenizer
    machine_check trials that this machine's memory holds
    row_template  spell out the text of a row
    hub_commits   pin the commits of Hugging Face repositories

Imported by launch, submit, sync, run, outputs and display.
"""
