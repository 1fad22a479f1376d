"""The report of a sweep: one HTML file that needs no network, and PNGs of its main plots, all made from the records.

`sweep.report.write_report.write` makes them; `python -m sweep.report NAME` does it for a sweep in the storage.
"""
