"""Measurements: of speed (`python -m benchmarks`), and of what the results pages report."""
