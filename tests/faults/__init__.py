"""Inject faults into real sweeps, by command, and print a table of what held and what was lost."""
