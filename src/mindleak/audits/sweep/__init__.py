"""Sweeps: one setting varied, judged by the other families."""
