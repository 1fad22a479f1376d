"""Turn records into statistics, files and tables: the same records yield the same bytes.

    sweep_records    a sweep with its trials so far
    statistics       mean, standard deviation and paired differences over seeds
    comparison       several objectives compared on report seeds
    recovery         the verdict on whether the paper's setting was found again
    target_check     the check that the target knows its rows
    sentences        the result, the race and the warnings in words
    notes            sentences that a reader of the numbers has to know
    write_results    summary.json, best.yaml and the other files of a sweep's folder
    csv_tables       trials.csv, finalists.csv, times.csv and comparison.csv
    console_tables   the tables printed at the end
    rerun_configs    configurations that run one setting again
    chosen_models    the trials whose models a sweep keeps
    saved_models     the models in a sweep's folder, and requests to save one

Imported by plan, trial, run, report, export, outputs and sync.
"""
