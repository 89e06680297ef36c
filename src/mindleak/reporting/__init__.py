"""What a report is made of: figures, tables, the page and the terminal's summary, all from the record of a run.

The record is plain JSON values (schema 2, docs/architecture.md). Nothing here measures anything, and nothing here knows
a family: every number shown was put into the record by one, and is laid out by one.
"""
