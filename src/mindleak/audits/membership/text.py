"""Every membership attack on a subject as lines for a terminal: area, rates and their realised FPR side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.audits.membership.results import REFERENCES, SHADOWS, of_kind
from mindleak.evaluation.metric import Record
from mindleak.reporting.text import ordinary
from mindleak.reporting.wording import (
    DASH,
    NBSP,
    Subjects,
    count,
    has_value,
    metric_label,
    metrics_of,
    number,
    percent,
    written_bounds,
)

_RATES = ("tpr@0.01", "tpr@0.001")


def membership_lines(results: Sequence[Record], subjects: Subjects) -> list[str]:
    """Return a block per subject that was attacked in several ways or with reference models, at most 100 columns wide.

    A subject under one shadow attack alone has no block: the summary says the same of it.
    """
    by_shadows, by_references = of_kind(results, SHADOWS), of_kind(results, REFERENCES)
    lines: list[str] = []
    for subject in dict.fromkeys(entry["subject"] for entry in (*by_shadows, *by_references)):
        own = [entry for entry in by_shadows if entry["subject"] == subject]
        with_references = [entry for entry in by_references if entry["subject"] == subject]
        if len(own) > 1 or with_references:
            lines += [_title(subjects.name(subject).full, own, with_references), *_table(own, with_references)]
    return lines


def _title(name: str, own: Sequence[Record], with_references: Sequence[Record]) -> str:
    sizes = [*own, *with_references][0]
    made = [f"{entry['n_shadows']} shadows" for entry in own[:1]]
    made += [f"{entry['n_references']} references" for entry in with_references]
    return (f"Membership of {name}: {', '.join(made)},\n"
            f"{count(sizes['n_in'])} members, {count(sizes['n_out'])} non-members, rates in %")


def _table(own: Sequence[Record], with_references: Sequence[Record]) -> list[str]:
    attacks = [*own, *(attack for entry in with_references for attack in entry["attacks"])]
    head = ["attack", "AUC", *(part for key in _RATES for part in (metric_label(key).replace(NBSP, " "), "FPR"))]
    rows = [head, *([attack["attack"], *_figures(attack["overall"])] for attack in attacks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [("  " + "  ".join(f"{value:<{width}}" for value, width in zip(row, widths))).rstrip() for row in rows]


def _figures(overall: Record) -> list[str]:
    """Return the area, and every rate with its realised FPR behind it."""
    written = [_with_interval("auc", overall.get("auc"))]
    for key in _RATES:
        metric = overall.get(key)
        realised = (metric or {}).get("fpr")
        written += [_with_interval(key, metric), DASH if realised is None else number(key, realised, unit=False)]
    return written


def _with_interval(key: str, metric: Record | None) -> str:
    if metric is None or not has_value(metric):
        return DASH
    interval = written_bounds(key, metric)
    return number(key, metric["value"], unit=False) + (f" [{interval[0]}, {interval[1]}]" if interval else "")


def summary_notes(results: Sequence[Record], subjects: Subjects) -> list[str]:
    """Say under the table what the intervals are and what each membership sample could have shown."""
    levels = {
        metric["ci_level"]
        for result in of_kind(results, SHADOWS)
        for metric in metrics_of(result["overall"]).values()
        if metric.get("ci_level") is not None
    }
    lines = [f"ranges: {' / '.join(ordinary(percent(level)) for level in sorted(levels))} intervals"] if levels else []
    smallest: dict[str, list[str]] = {}
    among = ", asked alone"
    for result in of_kind(results, SHADOWS):
        effect = result.get("detectable") or {}
        if "auc" in effect:
            compared = effect.get("compared", {"auc": 1})["auc"]
            among = f" as one of {compared} compared" if compared > 1 else ", asked alone"
            shown = "none" if effect["auc"] is None else number("auc", effect["auc"])
            smallest.setdefault(shown, []).append(subjects.name(result["subject"]).recipe)
    for value, names in smallest.items():
        whose = "" if len(smallest) == 1 else f" ({', '.join(names)})"
        lines.append(f"smallest membership AUC these samples would have shown{among}: {value}{whose}")
    return lines
