"""The tables that every report has, built from the record; each names the subject in every row or column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mindleak.reporting.cells import Cell, Row, Table, plain_cell
from mindleak.reporting.page import SummaryColumn
from mindleak.reporting.wording import (
    Subjects,
    count,
    duration,
    percent,
)

Document = Mapping[str, Any]


def summary(document: Document, subjects: Subjects, columns: Sequence[SummaryColumn]) -> Table:
    """One row per subject: accuracy, sparsity, and what families give of it.

    Args:
        document: the record of a run.
        subjects: its names.
        columns: of the families.
    """
    table = Table("Summary, one row per subject",
                  ["Subject", "Test accuracy", "Weights set to zero", *(column.heading for column in columns)])
    recipes: dict[str, list[Row]] = {}
    for subject in document["subjects"]:
        name = subjects.name(subject["id"])
        cells = [[table.metric("accuracy", subject["test_accuracy"])], [_sparsity_cell(subject)],
                 *(column.cells(table, subject) for column in columns)]
        row = Row(name.recipe, f"{name.role} subject, {_trained_on(subject)}", cells)
        recipes.setdefault(name.recipe, []).append(row)
    table.groups = list(recipes.values())
    return table


def _trained_on(subject: Mapping[str, Any]) -> str:
    n_train = subject["n_train"]
    return "training data not given" if n_train is None else f"trained on {count(n_train)}"


def _sparsity_cell(subject: Mapping[str, Any]) -> Cell:
    sparsity = subject["sparsity"]
    if sparsity is None:
        return Cell("none")
    return Cell(percent(sparsity["overall"], 1), detail=f"target {percent(sparsity['target'])}")


def sparsity(document: Document, subjects: Subjects) -> Table:
    """Zeros per masked layer, measured on the final weights, beside the target and what the layer can reach."""
    table = Table(
        "Suppressed and pruned layers: zeros in the final weights",
        ["Layer", "Weights", "Zeros", "Zero share", "Target", "Reachable", "Weights always kept"],
    )
    for subject in document["subjects"]:
        if subject["sparsity"] is None:
            continue
        whole = subject["sparsity"]
        label = subjects.name(subject["id"]).full
        head = Row(
            label,
            f"{count(whole['mask_updates'])} mask updates" if "mask_updates" in whole else "pruned at once",
            [
                [plain_cell(whole["masked_total"])],
                [plain_cell(None)],
                [Cell(percent(whole["overall"], 1))],
                [Cell(percent(whole["target"]))],
                [plain_cell(None)],
                [plain_cell(None)],
            ],
        )
        table.groups.append([head, *(_layer_row(layer) for layer in whole["layers"])])
    return table


def _layer_row(layer: Mapping[str, Any]) -> Row:
    shares = [
        Cell(percent(layer[key], 1)) if layer[key] is not None else plain_cell(None)
        for key in ("fraction", "target", "reachable")
    ]
    kept = Cell("no floor") if layer["min_num"] is None or layer["min_num"] < 0 else plain_cell(layer["min_num"])
    return Row(
        layer["name"],
        "",
        [
            [plain_cell(layer["size"])],
            [plain_cell(layer["zeros"])],
            *([share] for share in shares),
            [kept],
        ],
        control=True,
    )


def training(document: Document, subjects: Subjects) -> Table:
    """Every subject's training: data, parameters, accuracies, time, checkpoint."""
    table = Table(
        "Subjects and their training",
        ["Subject", "Trained on", "Parameters", "Training accuracy", "Test accuracy", "Epochs", "Time", "Checkpoint"],
    )
    rows = []
    for subject in document["subjects"]:
        name = subjects.name(subject["id"])
        rows.append(
            Row(
                name.recipe,
                f"{name.role} subject",
                [
                    [plain_cell(subject["n_train"])],
                    [plain_cell(subject["parameters"])],
                    [table.metric("train_accuracy", subject["train_accuracy"])],
                    [table.metric("test_accuracy", subject["test_accuracy"])],
                    [plain_cell(len(subject["history"]) or None)],
                    [Cell(duration(subject["seconds"]))],
                    [plain_cell(subject["checkpoint"])],
                ],
            )
        )
    table.groups = [rows]
    return table


def skipped(document: Document, subjects: Subjects) -> Table:
    """What was not done, and why."""
    table = Table("Not done", ["Subject", "Attack", "Reason"], prose=True)
    table.groups = [
        [
            Row(subjects.name(entry["subject"]).full, "", [[Cell(entry["family"])], [Cell(entry["reason"])]])
            for entry in document["skipped"]
        ]
    ]
    return table


def stages(document: Document, _: Subjects) -> Table:
    """The run's stages with their keys and times."""
    table = Table("Stages of the run", ["Stage", "Key", "Time", "Taken from an earlier call"], prose=True)
    table.groups = [
        [
            Row(
                stage["name"],
                "",
                [
                    [Cell(stage["key"])],
                    [Cell(duration(stage["seconds"]))],
                    [Cell("yes" if stage["cached"] else "no")],
                ],
            )
            for stage in document["provenance"].get("stages", [])
        ]
    ]
    return table
