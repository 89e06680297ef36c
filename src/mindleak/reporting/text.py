"""The summary as plain text for a terminal: one block of lines per subject, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mindleak.reporting.wording import (
    DASH,
    NBSP,
    Subjects,
    count,
    has_value,
    metrics_of,
    number,
    percent,
    written_bounds,
)

WIDTH = 100
_NAME_WIDTH = 26
_HEAD = (
    ("subject", ""),
    ("test", "accuracy"),
    ("weights", "zero"),
    ("inversion", "confidence"),
    ("inversion", "SSIM"),
    ("membership", "AUC"),
    ("TPR at", "1 % FPR"),
)

Lines = list[str]


def summary_table(document: Mapping[str, Any]) -> str:
    """Return the summary table: subjects by recipe, intervals on the line below, what the samples could show.

    Lines are at most 100 characters long; a longer name or reason is cut or wrapped. Ends without a newline.
    """
    subjects = Subjects(document)
    recipes = list(dict.fromkeys(subjects.name(subject["id"]).recipe for subject in document["subjects"]))
    ordered = sorted(document["subjects"], key=lambda each: recipes.index(subjects.name(each["id"]).recipe))
    blocks = [_block(subject, document, subjects) for subject in ordered]
    if not blocks:
        return "no subjects"
    head: list[Lines] = [list(pair) for pair in _HEAD]
    widths = [max(len(line) for block in [head, *blocks] for line in block[column]) for column in range(len(head))]
    widths[0] -= max(0, sum(widths) + 2 * (len(widths) - 1) - WIDTH)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [*_aligned(head, widths), rule]
    for block in blocks:
        lines += _aligned(block, widths)
    return "\n".join([*lines, rule, *_explained(document, subjects)])


def _block(subject: Mapping[str, Any], document: Mapping[str, Any], subjects: Subjects) -> list[Lines]:
    """Return one subject's cells, each a list of lines."""
    name = subjects.name(subject["id"])
    inversion = _first(document["inversion"], subject["id"], "metrics")
    membership = _first(document["membership"], subject["id"], "overall")
    sparsity = subject["sparsity"]
    tpr = membership.get("tpr@0.01")
    realised = [f"FPR {_ordinary(percent(tpr['fpr'], 2))}"] if tpr and tpr.get("fpr") is not None else []
    return [
        [_cut(name.recipe), _cut(f"  {name.role}, n={_size(subject['n_train'])}")],
        _metric("accuracy", subject["test_accuracy"]),
        [_ordinary(percent(sparsity["overall"], 1)) if sparsity else DASH],
        _metric("confidence", inversion.get("confidence")),
        _metric("ssim", inversion.get("ssim")),
        _metric("auc", membership.get("auc")),
        _metric("tpr@0.01", tpr) + realised,
    ]


def _size(n_train: Optional[int]) -> str:
    return "?" if n_train is None else count(n_train)


def _first(results: Sequence[Mapping[str, Any]], subject_id: str, part: str) -> Mapping[str, Any]:
    """Return the metrics of the subject's first result (the report page has them all), or nothing."""
    return next((result[part] for result in results if result["subject"] == subject_id), {})


def _metric(key: str, metric: Optional[Mapping[str, Any]]) -> Lines:
    if metric is None or not has_value(metric):
        return [DASH]
    lines = [_ordinary(number(key, metric["value"]))]
    interval = written_bounds(key, metric)
    if interval:
        lines.append(DASH.join(interval))
    return lines


def _aligned(cells: Sequence[Lines], widths: Sequence[int]) -> Lines:
    """Lay cells of several lines side by side: the first column to the left, the others to the right."""
    lines = []
    for index in range(max(len(cell) for cell in cells)):
        parts = [cell[index] if index < len(cell) else "" for cell in cells]
        name = _cut(parts[0], widths[0]).ljust(widths[0])
        values = [part.rjust(width) for part, width in zip(parts[1:], widths[1:])]
        lines.append("  ".join([name, *values]).rstrip())
    return lines


def _explained(document: Mapping[str, Any], subjects: Subjects) -> Lines:
    """Say under the table what the intervals are and what each membership sample could have shown."""
    levels = {
        metric["ci_level"]
        for result in document["membership"]
        for metric in metrics_of(result["overall"]).values()
        if metric.get("ci_level") is not None
    }
    lines = [f"ranges: {' / '.join(_ordinary(percent(level)) for level in sorted(levels))} intervals"] if levels else []
    smallest: dict[str, Lines] = {}
    among = ", asked alone"
    for result in document["membership"]:
        effect = result.get("detectable") or {}
        if "auc" in effect:
            compared = effect.get("compared", {"auc": 1})["auc"]
            among = f" as one of {compared} compared" if compared > 1 else ", asked alone"
            shown = "none" if effect["auc"] is None else number("auc", effect["auc"])
            smallest.setdefault(shown, []).append(subjects.name(result["subject"]).recipe)
    for value, names in smallest.items():
        whose = "" if len(smallest) == 1 else f" ({', '.join(names)})"
        line = f"smallest membership AUC these samples would have shown{among}: {value}{whose}"
        lines.append(_cut(line, WIDTH))
    return lines


def _cut(text: str, width: int = _NAME_WIDTH) -> str:
    """Shorten from the middle, keeping both ends of a long name readable."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def _ordinary(text: str) -> str:
    return text.replace(NBSP, " ")
