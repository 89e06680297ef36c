"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindleak.jobs.inversion_findings import inversion_findings, suppression_findings

Record = Mapping[str, Any]


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document.
        run_dir: what the inversions' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*_membership(body["membership"]), *suppression_findings(body["inversion"], subjects, run_dir),
            *inversion_findings(body["inversion"]), *_skipped(body["skipped"])]


def _membership(results: Sequence[Record]) -> Iterator[str]:
    """Say for each attack whether it beats chance, and what its sample could have shown."""
    for result in results:
        area = result["overall"]["auc"]
        interval = _interval(area)
        if interval is None:
            yield f"Membership of {result['subject']}: no AUC ({area.get('reason') or 'it has no interval'})."
            continue
        low, high = interval
        found = f"Membership of {result['subject']}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
        if low > 0.5:
            yield f"{found}; the attack tells members from non-members better than chance."
        elif high < 0.5:
            yield f"{found}; below chance: one null attack in forty ends there, or the shadows are unlike it."
        else:
            yield f"{found}; no leak was detected. {_could_have_shown(result)}"
        if result.get("skipped_classes"):
            yield (f"Membership of {result['subject']}: not attacked: "
                   + "; ".join(f"class {name}, {reason}" for name, reason in result["skipped_classes"].items()) + ".")


def _could_have_shown(result: Record) -> str:
    """Say what was out of the sample's reach."""
    sizes = f"{result['n_in']} members and {result['n_out']} non-members"
    smallest = (result.get("detectable") or {}).get("auc")
    if smallest is None:
        return f"{sizes} are too few to have shown any."
    return (f"Eight of ten samples of {sizes} would show an AUC of {smallest:.3f}; a smaller leak, or one to a "
            "stronger attack, is not excluded.")


def _skipped(records: Sequence[Record]) -> Iterator[str]:
    """Name what could not be done."""
    for record in records:
        yield f"Not done: {record['attack']} on {record['subject']}: {record['reason']}."


def _interval(metric: Record) -> Optional[tuple[float, float]]:
    """Return a metric's interval, or None where the metric has no value or an end has no bound."""
    interval = metric.get("ci") or ()
    known = [float(number) for number in (metric.get("value"), *interval) if number is not None]
    if len(known) != 3 or not np.isfinite(known).all():
        return None
    return known[1], known[2]
