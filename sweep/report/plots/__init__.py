"""The plots of a report, one in each file; each is made from `ReportData` and returned as a `Figure`."""
