"""A membership attack's figures: per class and overall, each with interval and realised FPR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mindleak.evaluation.classification import binary_report
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.power import smallest_detectable_auc, smallest_detectable_tpr
from mindleak.evaluation.roc import auc, roc_curve, tpr_at_fpr

TARGET_FPRS = (0.01, 0.001)
LEVEL, POWER = 0.95, 0.8


def figures(scores: np.ndarray, members: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1, support, AUC and TPR at 1 % and 0.1 % FPR as JSON values.

    Precision, recall and F1 are those of the member class; ``non_member`` holds the other side's.

    Args:
        scores: float (N,), higher means more member-like.
        members: bool (N,), the truth.
        predicted: bool (N,), by a threshold that was fixed beforehand.
    """
    report = binary_report(members, predicted)
    rates = {f"tpr@{target:g}": _rate(scores, members, target).to_json() for target in TARGET_FPRS}
    return {"accuracy": report["accuracy"].to_json(), **_side(report["member"]),
            "non_member": _side(report["non_member"]), "auc": auc(scores, members).to_json(), **rates}


def _rate(scores: np.ndarray, members: np.ndarray, target: float) -> Metric:
    """Return the TPR at a target FPR with an interval that covers the threshold's own uncertainty too.

    Clopper-Pearson with the threshold taken as given would cover the TPR at that FPR far too rarely.
    """
    rate = tpr_at_fpr(scores, members, target, LEVEL)
    if rate.ci is None:
        return rate
    return replace(rate, ci=tpr_interval_at_fpr(scores, members, target, LEVEL),
                   ci_method="order statistics, threshold included")


def _side(side: dict[str, Any]) -> dict[str, Any]:
    """Return one side of a binary report as JSON values."""
    return {name: value.to_json() if isinstance(value, Metric) else value for name, value in side.items()}


def detectable(n_in: int, n_out: int) -> dict[str, float | None]:
    """Return the smallest AUC and TPR that this many samples would have shown, at 95 % level and 80 % power.

    None stands where not even a perfect attack would be significant.
    """
    effects = {"auc": smallest_detectable_auc(n_in, n_out, LEVEL, POWER)}
    effects |= {f"tpr@{target:g}": smallest_detectable_tpr(n_in, n_out, target, LEVEL, POWER)
                for target in TARGET_FPRS}
    finite = {name: effect if math.isfinite(effect) else None for name, effect in effects.items()}
    return {**finite, "level": LEVEL, "power": POWER}


def per_class(scores: np.ndarray, members: np.ndarray, predicted: np.ndarray, labels: np.ndarray,
              class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return ``figures`` for every class that has scores, with the class's number, name and supports."""
    rows = []
    for label in np.unique(labels):
        chosen = labels == label
        inside = int(members[chosen].sum())
        rows.append({"class": int(label), "name": class_names[label], "support_in": inside,
                     "support_out": int(chosen.sum()) - inside,
                     **figures(scores[chosen], members[chosen], predicted[chosen])})
    return rows


def roc(scores: np.ndarray, members: np.ndarray) -> dict[str, list[float]]:
    """Return the ROC curve's corner points as lists."""
    curve = roc_curve(scores, members)
    return {"fpr": curve.fpr.tolist(), "tpr": curve.tpr.tolist()}
