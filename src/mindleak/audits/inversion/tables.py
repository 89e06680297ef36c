"""The inversion table of the report page: every metric of every attack, and what it has to be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.wording import Subjects, count, metric_label, percent

Entry = Mapping[str, Any]
_KEYS = ("confidence", "judge_accuracy", "ssim", "ssim_mindarmour", "l2_relative", "l2", "psnr", "feature_mse")
_CONTROLS = {
    "mean_image": "the mean image",
    "original": "the originals",
    "random_start": "the random start",
    "identity": "identity network, free",
    "identity_regularised": "identity, same weights",
}
_LESS = {"mean_image": "less the mean image's", "non_members": "less non-members'"}
_NEAREST = ("top1", "class_match", "rank_share")
# Settings in which attacks may differ; a row is left out if no record has it.
_SETTINGS = {
    "engine": "Engine",
    "optimizer": "Optimiser",
    "tv": "Total variation",
    "loss_weights": "Loss weights",
    "iterations": "Iterations",
    "restarts": "Restarts",
}


def inversion(entries: Sequence[Entry], subjects: Subjects) -> Table:
    """Attacks in columns; each metric with non-members, paired differences and controls in the rows below it."""
    heads = [f"{subjects.name(entry['subject']).full}, layer {entry['layer']}" for entry in entries]
    table = Table("Inversion: how close the pictures come, and controls", ["Metric", *heads])
    table.groups.append(_about(table, entries))
    present = {key for entry in entries for key in entry["metrics"]}
    for key in [*(key for key in _KEYS if key in present), *sorted(present - set(_KEYS))]:
        table.groups.append(_metric_group(table, entries, key))
    nearest = [_nearest_row(table, entries, key) for key in _NEAREST]
    table.groups.append([row for row in nearest if row is not None])
    return table


def _about(table: Table, entries: Sequence[Entry]) -> list[Row]:
    """Return what was inverted, how, and who judged."""
    rows = [Row("Images", "", [[plain_cell(entry["n"])] for entry in entries])]
    for key, title in _SETTINGS.items():
        if any(entry.get(key) is not None for entry in entries):
            rows.append(Row(title, "", [[plain_cell(_written(entry.get(key)))] for entry in entries]))
    for key, title in (("dead", "Images without features to follow"), ("frozen", "Images frozen early")):
        if any(entry.get(key) for entry in entries):
            rows.append(Row(title, "", [[plain_cell(entry.get(key))] for entry in entries]))
    judged = [entry.get("judge_test_accuracy") for entry in entries]
    if any(judged):
        trained = [entry.get("judge_n_train") for entry in entries]
        sizes = [f"trained on {count(size)} other images" if size else "" for size in trained]
        rows.append(Row("The judge's own test accuracy", "",
                        [[table.metric("accuracy", m, label=size)] for m, size in zip(judged, sizes)]))
    return rows


def _written(value: Any) -> Any:
    """Write names without underscores and lists without brackets."""
    if isinstance(value, list):
        return ", ".join(f"{number:g}" for number in value)
    return value.replace("_", " ") if isinstance(value, str) else value


def _metric_group(table: Table, entries: Sequence[Entry], key: str) -> list[Row]:
    """Return a metric's row, and below it all that it is to be held against."""
    rows = [Row(metric_label(key), "", [[table.metric(key, entry["metrics"].get(key))] for entry in entries])]
    others = [(entry.get("non_members") or {}) for entry in entries]
    strangers = [(other.get("metrics") or {}).get(key) for other in others]
    if any(strangers):
        sources = dict.fromkeys(other["source"] for other in others if other)
        rows += _control_row(table, key, strangers, f"non-members, {' or '.join(sources)}")
    if key in ("confidence", "ssim"):
        for name, title in _LESS.items():
            values = [((entry.get("differences") or {}).get(name) or {}).get(key) for entry in entries]
            rows += _control_row(table, key, values, title)
    controls = dict.fromkeys(control for entry in entries for control in entry.get("controls") or {})
    for control in controls:
        values = [((entry.get("controls") or {}).get(control) or {}).get(key) for entry in entries]
        rows += _control_row(table, key, values, f"control: {_CONTROLS.get(control, control.replace('_', ' '))}")
    return rows


def _control_row(table: Table, key: str, values: Sequence[Optional[Entry]], title: str) -> list[Row]:
    """Return the row of what some entries have, or nothing."""
    if not any(values):
        return []
    return [Row(title, "", [[table.metric(key, value)] for value in values], control=True)]


def _nearest_row(table: Table, entries: Sequence[Entry], key: str) -> Optional[Row]:
    """Return how the originals rank among the training images, with what chance gives."""
    found = [entry.get("nearest") for entry in entries]
    if not any(found):
        return None
    cells = [[_nearest_cell(table, one, key)] for one in found]
    return Row(metric_label(key), "", cells)


def _nearest_cell(table: Table, nearest: Optional[Entry], key: str) -> Cell:
    """Return one figure with what chance would give beside it."""
    if nearest is None:
        return plain_cell(None)
    return table.metric(key, nearest[key], label=f"by chance {percent(nearest['chance'][key])}")
