"""Helpers that tests, faults and timings share: toys, commands as processes, servers."""
