"""Data sets, file formats, and splits into roles."""
