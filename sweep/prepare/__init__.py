"""What is made once for all trials of a sweep, and what the sweep will cost.

    artifacts      folders addressed by the hash of their inputs
    object_store   artifacts at a URL
    build          make the target, the reference and the retain model
    preparers      which of them are missing, as functions for the cluster
    memory         peak memory of a trial, without a GPU
    cost           hours and disk
    forecast       all three in a table, for --dry-run

Imported by plan, trial and cluster.
"""
