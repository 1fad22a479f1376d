"""Everything that imports Ray: the trials of sweeps on one machine or on a cluster.

    connection        start Ray here, or join a cluster
    tuner             run trials by Ray Tune, on warm workers
    searcher          what Tune asks for trials
    worker            the function that Tune runs
    preparation       artifacts made in Ray tasks
    process_group     several processes a trial
    resources         what a trial is given, and how many fit
    shared_storage    whether all nodes see the storage
    head_watch        whether the head still answers
    failures          why a process died
    jobs, upload      a sweep as a job of a cluster's head

Imported by run and submit. Ray reads the variables below when it is imported, or when a process of its starts.
"""

import os

os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Tune's own
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed",  # the attempt's reason says it in one line
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",  # its own 30 are not enough where other work keeps the machine busy
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the ledger is the state; snapshots would only cost time
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
