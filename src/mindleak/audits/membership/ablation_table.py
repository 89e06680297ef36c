"""The ablation of the improved attack as a table: which feature and which attack model buys what, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Row, Table
from mindleak.reporting.wording import DASH, NBSP, Subjects, count, has_value, number, written_bounds

_CHANGE = "difference of AUC"


def ablation_table(result: Record, subjects: Subjects) -> Table:
    """Return the variants of one subject's ablation, those of one kind together."""
    name = subjects.name(result["subject"]).full
    table = Table(
        f"{name}: what features and attack models are worth, {count(result['n_in'])} members and "
        f"{count(result['n_out'])} non-members, {result['n_shadows']} shadows",
        ["Features and attack model", "AUC", "AUC less that of the posterior only", "AUC less that of all features",
         "Balanced accuracy", "TPR at 1 % FPR", "AUC on the shadow for thresholds"],
    )
    table.groups = [[_row(table, each) for each in group] for group in _groups(result["variants"])]
    return table


def ablation_lines(results: Sequence[Record], subjects: Subjects) -> list[str]:
    """Return the ablations as lines for a terminal, at most 100 columns wide."""
    lines: list[str] = []
    for result in results:
        width = max(len(each["name"]) for each in result["variants"])
        lines += [f"Ablation of the improved attack on {subjects.name(result['subject']).full}, {_model(result)}",
                  f"  {'':<{width}}  {'AUC':<22}less that of the posterior only"]
        for each in (each for group in _groups(result["variants"]) for each in group):
            area, change = _short("auc", each["overall"]["auc"]), _signed(each["change"])
            lines.append(f"  {each['name']:<{width}}  {area:<22}{change}".rstrip())
    return lines


def _row(table: Table, variant: Record) -> Row:
    overall = variant["overall"]
    changes = [[_change(table, variant[key])] for key in ("change", "change_from_all")]
    return Row(variant["name"], _model(variant), [
        [table.metric("auc", overall["auc"])], *changes,
        [table.metric("balanced_accuracy", overall["balanced_accuracy"], with_fpr=False)],
        [table.metric("tpr@0.01", overall.get("tpr@0.01"))],
        [table.metric("auc", variant["threshold_shadow_auc"])]])


def _groups(variants: Sequence[Record]) -> list[list[Record]]:
    """Return the variants in groups: the two to compare with, then each kind."""
    starts = ("posterior +", "all but", "all, ")
    named = [[each for each in variants if each["name"].startswith(start)] for start in starts]
    rest = [each for each in variants if not each["name"].startswith(starts)]
    return [group for group in (rest, *named) if group]


def _model(record: Record) -> str:
    shared = "one per class" if record["one_per_class"] else "one for all classes"
    return f"{record['attack_model'].replace('_', ' ')}, {shared}"


def _change(table: Table, metric: Record | None) -> Cell:
    if metric is None:
        return Cell(DASH)
    cell = table.metric(_CHANGE, metric)
    if not has_value(metric):
        return cell
    interval = f"[{', '.join(_plus(end) for end in metric['ci'])}]" if metric.get("ci") else ""
    return Cell(_plus(metric["value"]), interval, note=cell.note)


def _signed(metric: Record | None) -> str:
    if metric is None or not has_value(metric):
        return ""
    interval = f" [{', '.join(_plus(end) for end in metric['ci'])}]" if metric.get("ci") else ""
    return f"{_plus(metric['value'])}{interval}"


def _short(key: str, metric: Record) -> str:
    if not has_value(metric):
        return DASH
    interval = written_bounds(key, metric)
    written = number(key, metric["value"]) + (f" [{interval[0]}, {interval[1]}]" if interval else "")
    return written.replace(NBSP, " ")


def _plus(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.3f}".replace("-", "\u2212", 1)
