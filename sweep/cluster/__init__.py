"""Run sweeps on Ray, on one machine or on a cluster; the only package that imports Ray.

    connection        start Ray on this machine, or join a cluster
    access_token      the token that Ray's processes show one another
    tuner             run trials with Ray Tune, on warm workers
    searcher          give Tune the next trials, and keep their results
    worker            make the function that Tune runs for each trial
    preparation       make the shared artifacts in Ray tasks
    process_group     run one trial in several processes
    resources         compute the resources of a trial, and count the slots
    shared_storage    check that all nodes see the storage
    head_watch        detect the loss of the head node
    failures          stop trials at their deadline, and explain process deaths
    jobs, upload      send a sweep to a cluster's head as a job

In: ClusterConfig, Preparers and TrialFns. Out: TrialRecords, which the searcher writes to each SweepStudy.
Imported by run and submit. Ray reads the variables below when it is imported, or when one of its processes starts.
"""

import os

os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",  # our display shows the trials
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed",  # the attempt's reason reports it in one line
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",  # the default of 30 s is too short on a busy machine
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the study is the state; snapshots would only cost time
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a trial's threads sleep, not spin, while a core serves others
