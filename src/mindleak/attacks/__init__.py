"""Attacks on a subject."""
