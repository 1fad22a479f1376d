"""Write a sweep's report from its records: one HTML file that needs no network, and PNGs of its main plots.

Call `sweep.report.write_report.write_files`, or run `python -m sweep.report NAME` for a sweep in the storage.
"""
