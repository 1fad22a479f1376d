"""Artifacts that are made once for all trials of a sweep, and the forecast of what the sweep will cost.

    artifacts      folders addressed by the hash of their inputs
    artifact_list  README.txt in their folder, which tells what each is
    object_store   artifacts at a URL
    build          make the target, the reference and the retain model
    preparers      functions for the cluster that make the missing artifacts
    memory         peak memory of a trial, found without a GPU
    memory_tracker bytes of tensors without data, counted
    budget         hours and disk in words
    cost           hours and disk, estimated from rows and model
    speed          steps of the model, timed on this machine
    machine        what this machine has for trials without a GPU: memory, matrix units
    sample_row     one row as the model reads it, for --dry-run
    forecast       memory, hours and disk, for --dry-run

Imported by plan, trial and cluster.
"""
