"""Stages of a run: keys, atomic writes, resume."""
