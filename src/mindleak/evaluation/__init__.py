"""Metrics with intervals: pure NumPy and SciPy, no MindSpore."""
