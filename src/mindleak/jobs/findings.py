"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.jobs.inversion_findings import inversion_findings, suppression_findings
from mindleak.jobs.membership_findings import membership_findings

Record = Mapping[str, Any]


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document.
        run_dir: what the inversions' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*membership_findings(body["membership"], subjects, run_dir),
            *suppression_findings(body["inversion"], subjects, run_dir), *inversion_findings(body["inversion"]),
            *(body["sweep"]["conclusions"][-2:] if "sweep" in body else []), *_skipped(body["skipped"])]


def _skipped(records: Sequence[Record]) -> Iterator[str]:
    """Name what could not be done."""
    for record in records:
        yield f"Not done: {record['attack']} on {record['subject']}: {record['reason']}."
