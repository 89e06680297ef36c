"""A membership attack's figures: per class and overall, each with interval and realised FPR.

Every threshold is fixed on shadows. What the subject's own ROC curve would give stands beside it under a name of its
own, since no attacker can choose a threshold there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mindleak.evaluation.classification import binary_report
from mindleak.evaluation.intervals import difference_of_independent
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.power import (
    smallest_detectable_auc,
    smallest_detectable_own_roc_tpr,
    smallest_detectable_tpr,
)
from mindleak.evaluation.roc import auc, roc_curve, tpr_at_fpr
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold

TARGET_FPRS = (0.01, 0.001)
LEVEL, POWER = 0.95, 0.8


def figures(scores: np.ndarray, members: np.ndarray, predicted: np.ndarray,
            shadow_non_members: np.ndarray) -> dict[str, Any]:
    """Return accuracy, precision, recall, F1, support, AUC and TPR at 1 % and 0.1 % FPR as JSON values.

    Precision, recall and F1 are those of the member class; ``non_member`` holds the other side's. ``tpr@…`` uses a
    threshold that a shadow sets for that rate, ``tpr_own_roc@…`` the subject's own ROC curve (optimistic).

    Args:
        scores: float (N,), higher means more member-like.
        members: bool (N,), the truth.
        predicted: bool (N,), by a threshold that was fixed beforehand.
        shadow_non_members: float (M,), the attack's scores of non-members of a shadow it was not trained on.
    """
    report = binary_report(members, predicted)
    rates = {f"tpr@{target:g}": tpr_at_threshold(scores, members, threshold_at_fpr(shadow_non_members, target), LEVEL)
             for target in TARGET_FPRS}
    rates |= {f"tpr_own_roc@{target:g}": _own_roc_rate(scores, members, target) for target in TARGET_FPRS}
    return {"accuracy": report["accuracy"].to_json(), **_side(report["member"]),
            "non_member": _side(report["non_member"]), "auc": auc(scores, members).to_json(),
            **{name: rate.to_json() for name, rate in rates.items()}}


def thresholds(shadow_non_members: np.ndarray, stopped_too: bool) -> dict[str, Any]:
    """Return where the thresholds of the overall figures come from, as JSON values.

    Args:
        shadow_non_members: as for ``figures``.
        stopped_too: the shadow also stopped the attack models' training.
    """
    fixed = [threshold_at_fpr(shadow_non_members, target) for target in TARGET_FPRS]
    return {"decision": "P(member) > 0.5, fixed beforehand; the attack models learn from equal numbers of both",
            "tpr": "the highest scores of a shadow's non-members, split-conformal rank",
            "tie_rule": "a score that ties with the border is called a non-member",
            "n_out": len(shadow_non_members), "shadow_stopped_training_too": stopped_too,
            "borders": {f"{each.target_fpr:g}": {"border": each.border if math.isfinite(each.border) else None,
                                                 "ties": each.ties, "reason": each.reason} for each in fixed}}


def _own_roc_rate(scores: np.ndarray, members: np.ndarray, target: float) -> Metric:
    """Return the TPR of the subject's own ROC at a target FPR; the interval covers the threshold's uncertainty too.

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


def detectable(n_in: int, n_out: int, fprs: Sequence[float] = TARGET_FPRS,
               n_threshold: int | None = None, areas: float = LEVEL, rates: float = LEVEL) -> dict[str, Any]:
    """Return the smallest AUC and TPRs that this many samples would have shown with 80 % power.

    Each by the test of its own verdict: of the AUC's interval, of TPR - FPR at a threshold that ``n_threshold``
    non-members of other models set, and on the subject's own ROC. None stands where there is no verdict, or not even a
    perfect attack would be significant.

    Args:
        n_in, n_out: members and non-members.
        fprs: the rates that TPRs are taken at.
        n_threshold: of the threshold of other models; without it the threshold realises its rate.
        areas, rates: levels of the tests of AUCs and of rates, higher where each is one of several compared.
    """
    effects = {"auc": smallest_detectable_auc(n_in, n_out, areas, POWER)}
    effects |= {f"tpr@{target:g}": smallest_detectable_tpr(n_in, n_out, target, n_threshold, rates, POWER)
                for target in fprs}
    effects |= {f"tpr_own_roc@{target:g}": smallest_detectable_own_roc_tpr(n_in, n_out, target, rates, POWER)
                for target in fprs}
    finite = {name: effect if math.isfinite(effect) else None for name, effect in effects.items()}
    return {**finite, "level": LEVEL, "power": POWER}


def per_class(scores: np.ndarray, members: np.ndarray, predicted: np.ndarray, labels: np.ndarray,
              class_names: Sequence[str], shadow_non_members: Callable[[int], np.ndarray]) -> list[dict[str, Any]]:
    """Return ``figures`` for every class that has scores, with the class's number, name and supports.

    ``shadow_non_members`` gives a class's; every class has thresholds of its own.
    """
    rows = []
    for label in np.unique(labels):
        chosen = labels == label
        inside = int(members[chosen].sum())
        rows.append({"class": int(label), "name": class_names[label], "support_in": inside,
                     "support_out": int(chosen.sum()) - inside,
                     **figures(scores[chosen], members[chosen], predicted[chosen], shadow_non_members(int(label)))})
    return rows


def generalisation(seen: Metric, unseen: Metric) -> dict[str, Any]:
    """Return a model's accuracy on members and on non-members, and the gap between them, as JSON values."""
    gap = difference_of_independent(seen, unseen)
    return {"train": seen.value, "test": unseen.value, "gap": gap.to_json(), "seen": seen.to_json(),
            "unseen": unseen.to_json()}


def roc(scores: np.ndarray, members: np.ndarray) -> dict[str, list[float]]:
    """Return the ROC curve's corner points as lists."""
    curve = roc_curve(scores, members)
    return {"fpr": curve.fpr.tolist(), "tpr": curve.tpr.tolist()}
