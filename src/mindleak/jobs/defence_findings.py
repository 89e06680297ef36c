"""What a sweep of defences says of suppression: what it lowers, what it raises, and what does as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mindleak.jobs.sweep_findings import ACCURACY, SUPPRESS, Record, against, by_pair, caution, direction


def defence_findings(sweep: Record) -> list[str]:
    """Return the conclusions of a sweep of defences in words, each from an interval."""
    compared = by_pair(sweep)
    names = [defence["name"] for defence in sweep["variants"]]
    against_baseline = [name for name in names if name != sweep["baseline"]]
    found = [against(name, sweep["baseline"], compared[name, sweep["baseline"]], sweep) for name in against_baseline]
    found += _equal_accuracy(sweep, compared)
    found.append(_verdict(sweep, compared))
    found.append(caution(sweep))
    return found


def _equal_accuracy(sweep: Record, compared: Mapping[tuple[str, str], Record]) -> Iterator[str]:
    """Compare each suppressed defence with the alternatives that were not shown to cost more accuracy."""
    for (name, other), changes in compared.items():
        if other != sweep["baseline"] and direction(changes[ACCURACY]) <= 0:
            yield f"At no less accuracy: {against(name, other, changes, sweep)}"


def _verdict(sweep: Record, compared: Mapping[tuple[str, str], Record]) -> str:
    """Say in one sentence whether suppression protects, from the intervals alone."""
    suppressed = [defence["name"] for defence in sweep["variants"] if defence["training"] == SUPPRESS]
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
    return [defence["name"] for defence in sweep["variants"]
            if defence["training"] != SUPPRESS and defence["name"] != sweep["baseline"]]


def _rivals(changes: Record, measure: str) -> bool:
    """Tell whether suppression was shown neither more accurate than the alternative nor lower in the measure."""
    return direction(changes[ACCURACY]) <= 0 and direction(changes.get(measure)) >= 0
