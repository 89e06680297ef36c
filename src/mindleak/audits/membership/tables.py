"""The tables of attacks by shadows: figures overall and class by class, and what the samples could have shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Row, Table, plain_cell, realised
from mindleak.reporting.wording import NBSP, Name, Subjects, count, metric_label, metrics_of, number, percent

_EFFECTS = {"auc", "tpr", "tpr_own_roc"}


def _metric_cells(table: Table, keys: Iterable[str], metrics: Mapping[str, Any]) -> list[list[Cell]]:
    return [[table.metric(key, metrics.get(key))] for key in keys]


def _role(name: Name) -> str:
    return f"{name.role} subject, " if name.role else ""


def membership(results: Sequence[Record], subjects: Subjects) -> Table:
    """Overall membership figures: metrics in rows, subjects in columns."""
    table = Table("Membership inference, all classes together", ["Metric", *(_heading(r, subjects) for r in results)])
    found = [metrics_of(result["overall"]) for result in results]
    keys = list(dict.fromkeys(key for metrics in found for key in metrics))
    sizes = [
        Row(
            "Members / non-members",
            "",
            [[Cell(f"{count(result['n_in'])} / {count(result['n_out'])}")] for result in results],
        ),
        Row("Shadow models", "", [[plain_cell(result["n_shadows"])] for result in results]),
    ]
    table.groups = [sizes]
    for key in (key for key in keys if "/" not in key):
        row = [metrics.get(key) for metrics in found]
        rows = [Row(metric_label(key), "", [[table.metric(key, metric, with_fpr=False)] for metric in row])]
        if any(metric and metric.get("fpr") is not None for metric in row):
            rows.append(Row("realised FPR", "", [[realised(metric)] for metric in row], control=True))
        for side in (other for other in keys if other.startswith(f"{key}/")):
            cells = [[table.metric(side, metrics.get(side))] for metrics in found]
            rows.append(Row(metric_label(side), "", cells, control=True))
        table.groups.append(rows)
    return table


def _heading(result: Mapping[str, Any], subjects: Subjects) -> str:
    return f"{subjects.name(result['subject']).full}, {result['attack']} attack"


def per_class(result: Mapping[str, Any], subjects: Subjects) -> Table:
    """Membership figures of one subject class by class."""
    rows = result["per_class"]
    keys = list(dict.fromkeys(key for row in rows for key in metrics_of(row) if "/" not in key))
    head = ["Class", "Members / non-members", *map(metric_label, keys)]
    table = Table(f"Per class: {_heading(result, subjects)}", head)
    body = []
    for row in rows:
        support = [Cell(f"{count(row['support_in'])} / {count(row['support_out'])}")]
        named = row["name"] if row["name"] == str(row["class"]) else f"{row['class']}{NBSP}{row['name']}"
        body.append(Row(named, "", [support, *_metric_cells(table, keys, row)]))
    for name, reason in (result.get("skipped_classes") or {}).items():
        body.append(Row(name, "not attacked", [[table.missing(reason)], *([plain_cell(None)] for _ in keys)]))
    table.groups = [body]
    return table


def shadows(results: Sequence[Record], known: Mapping[str, Record], subjects: Subjects) -> Table:
    """How well the shadows imitate the subject: accuracy on seen and unseen data of both.

    ``known`` are the record's subjects by id.
    """
    table = Table(
        "Shadow models beside the subject they imitate",
        [
            "Subject",
            "Shadows",
            "Shadow accuracy, seen",
            "Shadow accuracy, unseen",
            "Subject accuracy, seen",
            "Subject accuracy, unseen",
        ],
    )
    rows = []
    for result in results:
        name = subjects.name(result["subject"])
        subject = known.get(result["subject"], {})
        rows.append(
            Row(
                name.recipe,
                f"{name.role} subject" if name.role else "",
                [
                    [plain_cell(result["n_shadows"])],
                    [_spread([shadow["train"] for shadow in result["shadow_accuracy"]])],
                    [_spread([shadow["test"] for shadow in result["shadow_accuracy"]])],
                    [table.metric("train_accuracy", subject.get("train_accuracy"))],
                    [table.metric("test_accuracy", subject.get("test_accuracy"))],
                ],
            )
        )
    table.groups = [rows]
    return table


def _spread(values: Sequence[Optional[float]]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return plain_cell(None)
    spread = f"{100 * min(known):.2f} to {100 * max(known):.2f}" if len(known) > 1 else ""
    return Cell(percent(sum(known) / len(known), 2), spread)


def detectable(results: Sequence[Record], subjects: Subjects) -> Table:
    """What each sample could have shown: smallest visible AUC and TPR, finest false-positive rate."""
    keys = list(
        dict.fromkeys(
            key for result in results for key in (result.get("detectable") or {}) if key.partition("@")[0] in _EFFECTS
        )
    )
    table = Table(
        "What the sample size could have shown",
        [
            "Subject",
            "Members / non-members",
            *map(_smallest, keys),
            "Finest FPR",
            "Realised FPR at the 1 % threshold",
        ],
    )
    rows = []
    for result in results:
        name, effect = subjects.name(result["subject"]), result.get("detectable") or {}
        test = _power(effect) if effect else ""
        rows.append(
            Row(
                name.recipe,
                f"{_role(name)}{test}".removesuffix(", "),
                [
                    [Cell(f"{count(result['n_in'])} / {count(result['n_out'])}")],
                    *([_number_cell(key, effect.get(key))] for key in keys),
                    [Cell(percent(1 / result["n_out"]), detail=f"1 of {count(result['n_out'])}")],
                    [realised(result["overall"].get("tpr@0.01"))],
                ],
            )
        )
    table.groups = [rows]
    return table


def _power(effect: Mapping[str, Any]) -> str:
    """Say by which test an effect is the smallest: of how many that the whole audit makes."""
    compared = effect.get("compared") or {}
    several = [f"{compared[kind]} {nouns}" for kind, nouns in (("auc", "AUCs"), ("rates", "rates"))
               if compared.get(kind, 0) > 1]
    among = (f", for {' or '.join(several)} compared together" if several else ", each as the only question asked")
    return f"{percent(effect['power'])} power at {percent(effect['level'])} level{among}"


def _smallest(key: str) -> str:
    """Head the smallest visible value of a metric, saying which test would show it where two might."""
    kind, _, rate = key.partition("@")
    if kind == "tpr_own_roc":
        return f"Smallest visible TPR at {percent(float(rate))} FPR of the subject's own ROC"
    where = " at a threshold of other models" if kind == "tpr" else ""
    return f"Smallest visible {metric_label(key)}{where}"


def _number_cell(key: str, value: Optional[float]) -> Cell:
    return plain_cell(None) if value is None else Cell(number(key, value))
