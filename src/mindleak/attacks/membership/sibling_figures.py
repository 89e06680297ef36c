"""Membership attacks among siblings: what they find of a network, and what each of the others makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.attacks.membership.report import TARGET_FPRS
from mindleak.attacks.membership.siblings import TILT, SiblingLira, SiblingScores
from mindleak.evaluation.roc import area, auc
from mindleak.evaluation.shared_references import reference_parts
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold

# Attacks with different weights that are computed at once.
TOGETHER = 16


def sibling_figures(scores: SiblingScores) -> dict[str, Any]:
    """Return AUC and TPRs as JSON values, each TPR with the false-positive rate that its threshold realises."""
    figures = {"auc": auc(scores.target, scores.members)}
    figures |= {f"tpr@{rate:g}": tpr_at_threshold(scores.target, scores.members,
                                                  threshold_at_fpr(scores.sibling_non_members, rate, scores.weights))
                for rate in TARGET_FPRS}
    return {name: metric.to_json() for name, metric in figures.items()}


def flat_figures(attack: str, figures: dict[str, Any]) -> dict[str, float]:
    """Return the measures of one attack by name, those that have a value.

    ``excess`` is TPR less realised FPR: what the threshold finds beyond what it accuses wrongly.
    """
    values = {"auc": figures["auc"]["value"]}
    for rate in (f"{rate:g}" for rate in TARGET_FPRS):
        metric = figures[f"tpr@{rate}"]
        if metric["value"] is not None:
            values |= {f"tpr@{rate}": metric["value"], f"fpr@{rate}": metric["fpr"],
                       f"excess@{rate}": metric["value"] - metric["fpr"]}
    return {f"{name}/{attack}": value for name, value in values.items() if value is not None}


def lira_measures(lira: SiblingLira, names: Sequence[str]) -> dict[str, float]:
    """Return the measures of LiRA attacks on one network by name, the values of ``flat_figures``."""
    return _measures(lira.scores(names))


def lira_parts(lira: SiblingLira, names: Sequence[str], models: int, number: int) -> dict[str, list[float | None]]:
    """Return what each other network, as a reference, makes of the LiRA measures of one.

    Args:
        lira: against the network.
        names: of the attacks.
        models: how many networks there are.
        number: which of them is attacked.

    Returns:
        By the measure's name (``flat_figures``) a value per network, of which the measure is the mean
        (``shared_references.reference_parts``); None in the attacked network's own place.
    """
    tilts = np.delete(np.eye(models), number, axis=0) * TILT
    values, *tilted = _weighted(lira, names, 1 + np.concatenate([np.zeros((1, models)), -tilts, tilts]))
    found: dict[str, list[float | None]] = {}
    for measure, value in values.items():
        # A threshold that a lighter reference leaves too few non-members for tells nothing of that reference.
        slopes = [(more.get(measure, value) - less.get(measure, value)) / (2 * TILT)
                  for less, more in zip(tilted[:models - 1], tilted[models - 1:])]
        parts: list[float | None] = reference_parts(value, slopes).tolist()
        found[measure] = [*parts[:number], None, *parts[number:]]
    return found


def _weighted(lira: SiblingLira, names: Sequence[str], weights: np.ndarray) -> Iterator[dict[str, float]]:
    """Yield the measures under every row of weights, (attacks, models); some at a time, for the memory's sake."""
    for start in range(0, len(weights), TOGETHER):
        rows = weights[start:start + TOGETHER]
        scores = lira.scores(names, rows)
        yield from (_measures({name: each.part(attack) for name, each in scores.items()})
                    for attack in range(len(rows)))


def _measures(scores: Mapping[str, SiblingScores]) -> dict[str, float]:
    """Return the measures of ``flat_figures`` without the intervals, which take most of the time."""
    values = {}
    for name, each in scores.items():
        values[f"auc/{name}"] = area(each.target, each.members)
        for rate in TARGET_FPRS:
            threshold = threshold_at_fpr(each.sibling_non_members, rate, each.weights)
            if threshold.reason is None:
                called = each.target > threshold.border
                found = {"tpr": float(np.mean(called[each.members])), "fpr": float(np.mean(called[~each.members]))}
                found["excess"] = found["tpr"] - found["fpr"]
                values |= {f"{kind}@{rate:g}/{name}": value for kind, value in found.items()}
    return values
