"""What a sweep found: figures over several networks per variant, paired differences, and words for them.

The unit of every interval is a trained network, not an image: networks of one recipe differ among themselves, and
that spread is what a difference between recipes has to exceed. Differences are taken network by network (the same
training rows, the same seed), Student's t over the pairs. Figures of attacks for which a variant's networks are each
other's references are correlated; their intervals allow for that (``evaluation.shared_references``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.audits.sweep.questions import ACCURACY, SweepQuestions, differences
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Metric, Record
from mindleak.evaluation.shared_references import mean_over_siblings

SUPPRESS = "suppress"


def summarise(values: Mapping[str, Sequence[float]],
              parts: Mapping[str, Sequence[Sequence[float | None]]] | None = None,
              lowest: Mapping[str, float] | None = None) -> dict[str, dict[str, Any]]:
    """Return the mean over networks of every measure, with its interval and spread.

    No measure exceeds 1; intervals end where values must.

    Args:
        values: by measure, (models,).
        parts: by measure, what each network makes of each one's value, (models, models) with None on the diagonal, for
            those where the networks are each other's references.
        lowest: value of a measure, 0 by default.
    """
    summary = {}
    for measure, per_model in values.items():
        array = np.asarray(per_model, np.float64)
        spread = float(array.std(ddof=1)) if len(array) > 1 else None
        shared = [list(row) for row in (parts or {}).get(measure, ())]
        mean = _mean(array, np.asarray(shared, np.float64), ((lowest or {}).get(measure, 0.0), 1.0))
        summary[measure] = {**mean.to_json(), "sd": spread, "values": array.tolist(),
                            **({"parts": shared} if shared else {})}
    return summary


def _mean(values: np.ndarray, parts: np.ndarray, bounds: tuple[float, float] = (-1.0, 1.0),
          null: float | None = None) -> Metric:
    """Return the mean over networks; ``parts`` is empty where none is another's reference."""
    if parts.size:
        return mean_over_siblings(values, parts, bounds=bounds, null=null)
    return mean_metric(values, bounds=bounds, null=null)


def comparisons(variants: Sequence[Record], baseline: str,
                asked_for: Sequence[Sequence[str]] = ()) -> list[dict[str, Any]]:
    """Return the paired differences that the sweep is about.

    Every variant against the baseline, every suppressed one against every other variant, and those asked for.

    Args:
        variants: records with ``name``, ``training`` and ``measures`` of ``summarise``.
        baseline: name of the variant that the others are compared with.
        asked_for: further pairs of names.
    """
    known = {variant["name"]: variant for variant in variants}
    others = [name for name in known if name != baseline]
    pairs = [(name, baseline) for name in others]
    pairs += [(name, other) for name in others for other in others
              if known[name]["training"] == SUPPRESS != known[other]["training"]]
    pairs += [(one, other) for one, other in asked_for]
    return [{"variant": one, "against": other, "changes": _changes(known[one], known[other])}
            for one, other in dict.fromkeys(pairs)]


def _changes(variant: Record, against: Record) -> dict[str, Any]:
    """Return the mean paired difference of every measure that both have, ``variant`` less ``against``."""
    return {measure: _change_of(one, against["measures"][measure]).to_json()
            for measure, one in variant["measures"].items() if measure in against["measures"]}


def _change_of(one: Record, other: Record) -> Metric:
    """Return the mean paired difference of one measure of two variants."""
    parts = [np.asarray(each.get("parts", ()), np.float64) for each in (one, other)]
    return _mean(np.subtract(one["values"], other["values"]), np.subtract(*parts), null=0.0)


def label_of(sweep: Record, measure: str) -> str:
    """Return the heading of a measure."""
    return str(sweep["measures"][measure]["label"])


def by_pair(sweep: Record) -> dict[tuple[str, str], Record]:
    """Return the changes of every comparison by its two names."""
    return {(entry["variant"], entry["against"]): entry["changes"] for entry in sweep["comparisons"]}


def against(variant: str, other: str, changes: Record, sweep: Record, shown: SweepQuestions) -> str:
    """Say every change of one variant against another: what was shown first, then what was not."""
    leaks = [measure for measure in sweep["leaks"] if measure in changes]
    parts = [_points("test accuracy", changes[ACCURACY], shown.direction(variant, other, ACCURACY))]
    for way, word in ((-1, "lower"), (1, "higher"), (0, "no change shown")):
        there = [f"{label_of(sweep, measure)} {_change(sweep, measure, changes[measure])}" for measure in leaks
                 if shown.direction(variant, other, measure) == way]
        if there:
            parts.append(f"{word}: {', '.join(there)}")
    return f"{variant} against {other}, {sweep['models']} pairs of networks: {'; '.join(parts)}."


def caution(sweep: Record, shown: SweepQuestions) -> str:
    """Say how many differences there are, and how the verdicts on them were corrected for that."""
    intervals = sum(len(changes) for changes in differences(sweep).values())
    return (f"{intervals} differences were looked at, over {sweep['models']} networks per variant.{shown.correction()}")


def _points(label: str, change: Record, way: int) -> str:
    """Put a change of accuracy in words, in percentage points."""
    words = {-1: "lower", 0: "no change shown", 1: "higher"}
    return f"{label} {_amount(_hundredfold(change), 2)} percentage points, {words[way]}"


def _change(sweep: Record, measure: str, change: Record) -> str:
    """Write a change of a leak as tables show it."""
    return (f"{_amount(_hundredfold(change), 2)} percentage points" if sweep["measures"][measure]["points"]
            else _amount(change, 3))


def _hundredfold(change: Record) -> dict[str, Any]:
    """Return value and interval in hundredths."""
    return {"value": _times(change["value"], 100),
            "ci": [_times(end, 100) for end in change["ci"]] if change.get("ci") else None}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _amount(change: Record, digits: int) -> str:
    """Write a difference with its interval."""
    if change["value"] is None:
        return "not measured"
    interval = change.get("ci")
    if not interval or None in interval:
        return f"{change['value']:+.{digits}f} (no interval)"
    return f"{change['value']:+.{digits}f} ({interval[0]:+.{digits}f} to {interval[1]:+.{digits}f})"
