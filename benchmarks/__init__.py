"""Benchmarks: us beside our peers, in one run on one machine."""
