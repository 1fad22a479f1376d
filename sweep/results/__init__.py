"""From records to files, statistics and tables: the same records give the same bytes.

    statistics       mean, spread and paired differences over seeds
    comparison       objectives side by side
    recovery         whether the paper's setting was found again
    write_results    summary.json, best.yaml and the rest of a sweep's folder
    csv_tables       its CSV files
    console_tables   what is printed at the end
    rerun_configs    configurations that run one setting again

Imported by report, outputs and sync.
"""
