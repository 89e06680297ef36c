"""Figures, the report page and the terminal's summary, all rendered from one audit document.

The *audit document* is a plain, JSON-able dict (schema 1, described in ``docs/architecture.md``). Nothing here
measures anything: every number shown was put into the document by a job.
"""
