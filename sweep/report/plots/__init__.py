"""The plots of a report, one file for each; all of them are made from a `Reported` sweep and give a `Figure`."""
