"""What an audit found, in words that follow from tests and never from the sign of a difference.

Every question (which attack tells members from non-members, what suppression changes, ...) is answered from all of its
comparisons together, corrected for their number; see ``audits.questions``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mindleak.audits.families import families
from mindleak.audits.family import Context
from mindleak.audits.finding import CANNOT_TELL, Finding, pointers
from mindleak.audits.general import subject_doubts, subject_findings
from mindleak.audits.questions import Questions
from mindleak.evaluation.metric import Record


def said_of(body: Record, run_dir: Path, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return the ``findings`` of a record, and the ``cautions`` that a terminal shows below its tables.

    Args:
        body: ``subjects``, ``results`` by family, and ``skipped``.
        run_dir: what the results' ``arrays`` are relative to.
        warnings: what the user has been warned of on the way.
    """
    warned = [f"Warning: {text}." for text in warnings]
    doubts = [*subject_doubts(body["subjects"]),
              *(text for name, results in body["results"].items() for text in families()[name].doubts(results))]
    return {"findings": [*(Finding(text).record(None, None, {}) for text in warned), *_findings(body, run_dir)],
            "cautions": [*warned, *dict.fromkeys(doubts)]}


def _findings(body: Record, run_dir: Path) -> Iterator[dict[str, Any]]:
    """Yield the findings on subjects, then family by family, then what was left out and what was corrected."""
    places, questions = pointers(body), Questions()
    context = Context({record["id"]: record for record in body["subjects"]}, run_dir, questions)
    for finding in subject_findings(body["subjects"]):
        yield finding.record(None, None, places)
    for name, results in body["results"].items():
        for finding in families()[name].findings(results, context):
            yield finding.record(name, families()[name].question, places)
    for each in body["skipped"]:
        text = f"Not done: {each['family']} on {each['subject']}: {each['reason']}."
        yield Finding(text, each["subject"], CANNOT_TELL).record(
            each["family"], families()[each["family"]].question, places)
    for text in questions.correction():
        yield Finding(text).record(None, None, places)
