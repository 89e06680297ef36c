"""What a sweep of defences says of suppression: what it lowers, what it raises, and what does as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mindleak.audits.finding import CANNOT_TELL, verdict
from mindleak.audits.sweep.findings import SUPPRESS, against, by_pair, caution, label_of
from mindleak.audits.sweep.questions import MARGIN, SweepQuestions
from mindleak.evaluation.metric import Record


def defence_findings(sweep: Record) -> list[str]:
    """Return the conclusions of a sweep of defences in words, each from a test that is corrected for their number."""
    compared, shown = by_pair(sweep), SweepQuestions(sweep)
    names = [defence["name"] for defence in sweep["variants"]]
    against_baseline = [name for name in names if name != sweep["baseline"]]
    baseline = sweep["baseline"]
    found = [against(name, baseline, compared[name, baseline], sweep, shown) for name in against_baseline]
    found += _equal_accuracy(sweep, compared, shown)
    found += _failed_attacks(sweep)
    found.append(_verdict(sweep, shown))
    found.append(caution(sweep, shown))
    return found


def verdict_of(sweep: Record) -> str:
    """Return whether suppression was shown to change any leak, lower or higher, against the baseline."""
    suppressed = [defence["name"] for defence in sweep["variants"] if defence["training"] == SUPPRESS]
    if not suppressed:
        return CANNOT_TELL
    shown = SweepQuestions(sweep)
    return verdict(any(shown.direction(name, sweep["baseline"], measure) for name in suppressed
                       for measure in sweep["leaks"]))


def failed_share(name: str, measure: str, sweep: Record) -> float:
    """Return the share of what a measure of a defence was taken of that means nothing in it."""
    defence = next(each for each in sweep["variants"] if each["name"] == name)
    failures = sweep["measures"][measure]["failures"]
    found = defence["measures"].get(failures) if failures else None
    return 0.0 if found is None or found["value"] is None else float(found["value"])


def _failed_attacks(sweep: Record) -> Iterator[str]:
    """Name the defences against which attacks failed, which is no protection."""
    for defence in sweep["variants"]:
        for measure, metric in defence["measures"].items():
            failed = sweep["measures"][measure]["failed"]
            if failed and metric["value"]:
                yield f"{defence['name']}: {100 * metric['value']:.1f} % of the {failed}"


def _equal_accuracy(sweep: Record, compared: Mapping[tuple[str, str], Record],
                    shown: SweepQuestions) -> Iterator[str]:
    """Compare each suppressed defence with the alternatives that were shown to be as accurate, or nearly."""
    for (name, other), changes in compared.items():
        if other != sweep["baseline"] and shown.not_higher(name, other):
            yield (f"Shown to be less than {100 * MARGIN:g} point more accurate, if at all: "
                   + against(name, other, changes, sweep, shown))


def _verdict(sweep: Record, shown: SweepQuestions) -> str:
    """Say in one sentence whether suppression protects, from what was shown alone."""
    suppressed = [defence["name"] for defence in sweep["variants"] if defence["training"] == SUPPRESS]
    if not suppressed:
        return "The sweep has no suppressed network, so it says nothing about suppression."
    lowered = [_lowered(name, sweep, shown) for name in suppressed]
    helped = [text for text in lowered if text]
    harmed = [text for text in (_raised(name, sweep, shown) for name in suppressed) if text]
    if not helped:
        said = f"None of {len(suppressed)} degrees of suppression was shown to lower any measure of leakage"
    else:
        said = "Suppression was shown to lower " + "; ".join(helped)
    return f"{said}. " + ("It was shown to raise " + "; ".join(harmed) + "." if harmed
                          else "It was not shown to raise any.")


def _lowered(name: str, sweep: Record, shown: SweepQuestions) -> str:
    """Name what a suppressed defence lowers, and which alternatives as accurate lower it as well.

    A measure of attacks some of which failed is passed over.
    """
    found = []
    for measure in sweep["leaks"]:
        if shown.direction(name, sweep["baseline"], measure) < 0 and not failed_share(name, measure, sweep):
            rivals = [other for other in _alternatives(sweep) if _rivals(name, other, measure, shown)
                      and shown.direction(other, sweep["baseline"], measure) < 0]
            also = (f" ({' and '.join(rivals)}, shown to be less than {100 * MARGIN:g} point less accurate if at all, "
                    "lowered it too, and it was not shown to be lower with suppression)") if rivals else ""
            found.append(f"{label_of(sweep, measure)}{also}")
    return f"{', '.join(found)} at {name}" if found else ""


def _raised(name: str, sweep: Record, shown: SweepQuestions) -> str:
    """Name the leaks that a suppressed defence raises."""
    found = [label_of(sweep, measure) for measure in sweep["leaks"]
             if shown.direction(name, sweep["baseline"], measure) > 0]
    return f"{', '.join(found)} at {name}" if found else ""


def _alternatives(sweep: Record) -> list[str]:
    """Return the defences other than suppression and the baseline."""
    return [defence["name"] for defence in sweep["variants"]
            if defence["training"] != SUPPRESS and defence["name"] != sweep["baseline"]]


def _rivals(name: str, other: str, measure: str, shown: SweepQuestions) -> bool:
    """Tell whether an alternative was shown to be as accurate, and suppression not shown lower in the measure."""
    return shown.not_higher(name, other) and shown.direction(name, other, measure) >= 0
