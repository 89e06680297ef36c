"""The tables of the report page, built from the audit document; every one names the subject in each row or column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from mindleak.reporting.cells import Cell, Row, Table, plain_cell, realised
from mindleak.reporting.wording import (
    NBSP,
    Name,
    Subjects,
    count,
    duration,
    metric_label,
    metrics_of,
    number,
    percent,
)

Document = Mapping[str, Any]
_EFFECTS = {"auc", "tpr", "tpr_own_roc"}
_ELSEWHERE = {
    ("headline", "membership"): "trained on everything: membership is measured on the membership subject",
    ("membership", "inversion"): "inversion is measured on the headline subject",
}


def summary(document: Document, subjects: Subjects) -> Table:
    """One row per subject: accuracy, sparsity, inversion confidence and SSIM, membership AUC and TPR."""
    table = Table(
        "Summary, one row per subject",
        [
            "Subject",
            "Test accuracy",
            "Weights set to zero",
            "Inversion: confidence",
            "Inversion: SSIM",
            "Membership: AUC",
            "Membership: TPR at 1 % FPR",
        ],
    )
    recipes: dict[str, list[Row]] = {}
    for subject in document["subjects"]:
        name = subjects.name(subject["id"])
        inversions = [entry for entry in document["inversion"] if entry["subject"] == subject["id"]]
        attacks = [entry for entry in document["membership"] if entry["subject"] == subject["id"]]
        cells = [
            [table.metric("accuracy", subject["test_accuracy"])],
            [_sparsity_cell(subject)],
            _inversion_cells(table, inversions, "confidence", document, subject["id"]),
            _inversion_cells(table, inversions, "ssim", document, subject["id"]),
            _membership_cells(table, attacks, "auc", document, subject["id"]),
            _membership_cells(table, attacks, "tpr@0.01", document, subject["id"]),
        ]
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


def _inversion_cells(
    table: Table, attacks: Sequence[Mapping[str, Any]], key: str, document: Document, subject_id: str
) -> list[Cell]:
    if not attacks:
        return [table.missing(_skipped(document, subject_id, "inversion"))]
    return [table.metric(key, attack["metrics"].get(key), label=f"layer {attack['layer']}") for attack in attacks]


def _membership_cells(
    table: Table, attacks: Sequence[Mapping[str, Any]], key: str, document: Document, subject_id: str
) -> list[Cell]:
    if not attacks:
        return [table.missing(_skipped(document, subject_id, "membership"))]
    several = len({attack["attack"] for attack in attacks}) > 1
    return [
        table.metric(key, attack["overall"].get(key), label=attack["attack"] if several else "") for attack in attacks
    ]


def _skipped(document: Document, subject_id: str, kind: str) -> str:
    """Return why an attack was not run, as the document records it."""
    for entry in document["skipped"]:
        if entry["subject"] == subject_id and entry["attack"].startswith(kind):
            return entry["reason"]
    others = [*(document.get("document_attack") or []), *(document.get("reference_attacks") or [])]
    if kind == "membership" and any(entry["subject"] == subject_id for entry in others):
        return "the shadow attack was not asked for; the others have sections of their own"
    role = next(subject["role"] for subject in document["subjects"] if subject["id"] == subject_id)
    return _ELSEWHERE.get((role, kind), f"{kind} was not run on this subject")


def _metric_cells(table: Table, keys: Iterable[str], metrics: Mapping[str, Any]) -> list[list[Cell]]:
    return [[table.metric(key, metrics.get(key))] for key in keys]


def _role(name: Name) -> str:
    return f"{name.role} subject, " if name.role else ""


def membership(document: Document, subjects: Subjects) -> Table:
    """Overall membership figures: metrics in rows, subjects in columns."""
    results = document["membership"]
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


def shadows(document: Document, subjects: Subjects) -> Table:
    """How well the shadows imitate the subject: accuracy on seen and unseen data of both."""
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
    known = {subject["id"]: subject for subject in document["subjects"]}
    rows = []
    for result in document["membership"]:
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


def detectable(document: Document, subjects: Subjects) -> Table:
    """What each sample could have shown: smallest visible AUC and TPR, finest false-positive rate."""
    results = document["membership"]
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
            Row(subjects.name(entry["subject"]).full, "", [[Cell(entry["attack"])], [Cell(entry["reason"])]])
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
