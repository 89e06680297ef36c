"""What a defence sweep found: figures over several networks per defence, paired differences, and words from them.

The unit of every interval is a trained network, not an image: networks of one recipe differ among themselves, and
that spread is what a difference between recipes has to exceed. Differences are taken network by network (the same
training rows, the same seed), Student's t over the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.evaluation.intervals import mean_metric

Record = Mapping[str, Any]
ACCURACY = "accuracy"
SUPPRESS = "suppress"


def summarise(values: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Return the mean over networks of every measure, values of shape (models,), with its interval and spread.

    Measures are rates, areas, confidences and SSIM, none above 1; intervals end where values must.
    """
    summary = {}
    for measure, per_model in values.items():
        array = np.asarray(per_model, np.float64)
        spread = float(array.std(ddof=1)) if len(array) > 1 else None
        # A difference of rates, or an SSIM, may be negative; nothing else here is.
        lowest = -1.0 if measure.startswith(("gap_", "ssim")) else 0.0
        summary[measure] = {**mean_metric(array, bounds=(lowest, 1.0)).to_json(), "sd": spread,
                            "values": array.tolist()}
    return summary


def comparisons(defences: Sequence[Record], baseline: str) -> list[dict[str, Any]]:
    """Return the paired differences that the sweep is about.

    Every defence against the baseline, and every suppressed one against every other defence.

    Args:
        defences: records with ``name``, ``training`` and ``measures`` of ``summarise``.
        baseline: name of the defence that stands for no defence.
    """
    known = {defence["name"]: defence for defence in defences}
    others = [name for name in known if name != baseline]
    pairs = [(name, baseline) for name in others]
    pairs += [(name, other) for name in others for other in others
              if known[name]["training"] == SUPPRESS != known[other]["training"]]
    return [{"defence": one, "against": other, "changes": _changes(known[one], known[other])} for one, other in pairs]


def _changes(defence: Record, against: Record) -> dict[str, Any]:
    """Return the mean paired difference of every measure that both have, ``defence`` less ``against``."""
    shared = [measure for measure in defence["measures"] if measure in against["measures"]]
    return {measure: mean_metric(np.subtract(defence["measures"][measure]["values"],
                                             against["measures"][measure]["values"])).to_json() for measure in shared}


def sweep_findings(sweep: Record) -> list[str]:
    """Return the conclusions of a sweep in words, each from an interval."""
    compared = {(entry["defence"], entry["against"]): entry["changes"] for entry in sweep["comparisons"]}
    names = [defence["name"] for defence in sweep["defences"]]
    against_baseline = [name for name in names if name != sweep["baseline"]]
    found = [_against(name, sweep["baseline"], compared[name, sweep["baseline"]], sweep) for name in against_baseline]
    found += _equal_accuracy(sweep, compared)
    found.append(_verdict(sweep, compared))
    found.append(_caution(sweep))
    return found


def _against(defence: str, other: str, changes: Record, sweep: Record) -> str:
    """Say every change of one defence against another: what was shown first, then what was not."""
    leaks = [measure for measure in sweep["leaks"] if measure in changes]
    parts = [_points("test accuracy", changes[ACCURACY])]
    for way, word in ((-1, "lower"), (1, "higher"), (0, "no change shown")):
        there = [f"{sweep['labels'][measure]} {_amount(changes[measure], 3)}" for measure in leaks
                 if direction(changes[measure]) == way]
        if there:
            parts.append(f"{word}: {', '.join(there)}")
    return f"{defence} against {other}, {sweep['models']} pairs of networks: {'; '.join(parts)}."


def _equal_accuracy(sweep: Record, compared: Mapping[tuple[str, str], Record]) -> Iterator[str]:
    """Compare each suppressed defence with the alternatives that were not shown to cost more accuracy."""
    for (name, other), changes in compared.items():
        if other != sweep["baseline"] and direction(changes[ACCURACY]) <= 0:
            yield f"At no less accuracy: {_against(name, other, changes, sweep)}"


def _verdict(sweep: Record, compared: Mapping[tuple[str, str], Record]) -> str:
    """Say in one sentence whether suppression protects, from the intervals alone."""
    suppressed = [defence["name"] for defence in sweep["defences"] if defence["training"] == SUPPRESS]
    if not suppressed:
        return "The sweep has no suppressed network, so it says nothing about suppression."
    lowered = [_lowered(name, sweep, compared) for name in suppressed]
    helped = [text for text in lowered if text]
    harmed = [text for text in (_raised(name, sweep, compared) for name in suppressed) if text]
    if not helped:
        said = f"None of {len(suppressed)} degrees of suppression was shown to lower any measure of leakage"
    else:
        said = "Suppression was shown to lower " + "; ".join(helped)
    return f"{said}. " + ("It was shown to raise " + "; ".join(harmed) + "." if harmed
                          else "It was not shown to raise any.")


def _lowered(name: str, sweep: Record, compared: Mapping[tuple[str, str], Record]) -> str:
    """Name what a suppressed defence lowers, and which alternative lowers it as well at no less accuracy."""
    found = []
    for measure in sweep["leaks"]:
        if direction(compared[name, sweep["baseline"]].get(measure)) < 0:
            rivals = [other for other in _alternatives(sweep) if _rivals(compared[name, other], measure)
                      and direction(compared[other, sweep["baseline"]].get(measure)) < 0]
            also = f" (as {' and '.join(rivals)} did at no less accuracy)" if rivals else ""
            found.append(f"{sweep['labels'][measure]}{also}")
    return f"{', '.join(found)} at {name}" if found else ""


def _raised(name: str, sweep: Record, compared: Mapping[tuple[str, str], Record]) -> str:
    """Name the leaks that a suppressed defence raises."""
    found = [sweep["labels"][measure] for measure in sweep["leaks"]
             if direction(compared[name, sweep["baseline"]].get(measure)) > 0]
    return f"{', '.join(found)} at {name}" if found else ""


def _alternatives(sweep: Record) -> list[str]:
    """Return the defences other than suppression and the baseline."""
    return [defence["name"] for defence in sweep["defences"]
            if defence["training"] != SUPPRESS and defence["name"] != sweep["baseline"]]


def _rivals(changes: Record, measure: str) -> bool:
    """Tell whether suppression was shown neither more accurate than the alternative nor lower in the measure."""
    return direction(changes[ACCURACY]) <= 0 and direction(changes.get(measure)) >= 0


def _caution(sweep: Record) -> str:
    """Say how much of all this chance alone would give."""
    intervals = sum(len(entry["changes"]) for entry in sweep["comparisons"])
    return (f"{intervals} differences were looked at; with 95 % intervals about {round(intervals / 20)} exclude zero "
            f"by chance alone, so single ones prove little. Intervals are over {sweep['models']} networks per defence.")


def direction(change: Record | None) -> int:
    """Return −1 or +1 where the interval of a change excludes zero, and 0 where it does not or there is none."""
    if change is None or not change.get("ci") or None in change["ci"]:
        return 0
    low, high = change["ci"]
    return int(low > 0) - int(high < 0)


def _points(label: str, change: Record) -> str:
    """Put a change of accuracy in words, in percentage points."""
    scaled = {"value": _times(change["value"], 100),
              "ci": [_times(end, 100) for end in change["ci"]] if change.get("ci") else None}
    words = {-1: "lower", 0: "no change shown", 1: "higher"}
    return f"{label} {_amount(scaled, 2)} percentage points, {words[direction(change)]}"


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
