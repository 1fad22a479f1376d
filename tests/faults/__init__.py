"""Faults put into real sweeps, by command: what was held and what was lost, as a table."""
