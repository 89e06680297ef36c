"""A sweep on the report's page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindleak.audits.sweep.tradeoff import in_words, sweep_caption, sweep_note, sweep_tables, tradeoff_figure
from mindleak.evaluation.metric import Record
from mindleak.reporting.page import Page, Section

TITLES = {"defence": "Sweep of defences: what each costs, and what it hides",
          "subject": "Sweep of the subject: what makes a network leak"}


def sweep_sections(results: Sequence[Record], page: Page) -> list[Section]:
    """Return a section per sweep."""
    return [_section(sweep, page) for sweep in results]


def _section(sweep: Record, page: Page) -> Section:
    caption = f"{sweep_caption(sweep)} Means over {sweep['models']} networks, bars their intervals."
    drawn = page.hang("tradeoff", tradeoff_figure(sweep), caption, in_words(sweep))
    return page.section(Path(__file__).parent / "section.html.j2", "sweep", "Sweep", heading=TITLES[sweep["question"]],
                        drawn=drawn, tables=sweep_tables(sweep), conclusions=sweep["conclusions"],
                        note=sweep_note(sweep))
