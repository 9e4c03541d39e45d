"""Benchmarks: each runs the alternatives in the same process, in turn, and prints the ratios. `make bench` runs all."""
