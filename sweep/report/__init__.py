"""Write a sweep's report from its records: one HTML file that needs no network, its plots, and what a paper takes.

Call `sweep.report.write_report.write_files`, or run `python -m sweep.report NAME` for a sweep in the storage.
"""
