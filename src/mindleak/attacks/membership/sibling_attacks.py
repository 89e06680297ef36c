"""Membership attacks among networks of one recipe: each attacked with the others as shadows and references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.attacks.membership.metric import metric_scores
from mindleak.attacks.membership.names import LIRA_ATTACKS, METRIC_ATTACKS, SHADOW
from mindleak.attacks.membership.report import TARGET_FPRS
from mindleak.attacks.membership.shadow import Answers, ShadowAttack
from mindleak.attacks.membership.siblings import (
    TILT,
    SiblingLira,
    SiblingScores,
    independent_rows,
)
from mindleak.evaluation.roc import area, auc
from mindleak.evaluation.shared_references import reference_parts
from mindleak.evaluation.signals import phi
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold


def sibling_scores(attacks: Sequence[str], answers: Sequence[Answers], number: int, shadow_attack: ShadowAttack,
                   seed: int) -> dict[str, SiblingScores]:
    """Attack one network by every attack asked for.

    Args:
        attacks: of ``names.SIBLING_ATTACKS``.
        answers: of all networks, on the same samples.
        number: which of them is attacked.
        shadow_attack: trained on the others where ``shadow`` is asked for.
        seed: of which rows the others show it.
    """
    target = answers[number]
    others = [each for place, each in enumerate(answers) if place != number]
    found = {}
    if SHADOW in attacks:
        shown = independent_rows(np.stack([each.members for each in answers]), number, seed)
        rows = [row for place, row in enumerate(shown) if place != number]
        result = shadow_attack.attack([_part(*each) for each in zip(others, rows)], target)
        found[SHADOW] = SiblingScores(result.scores[result.attacked], target.members[result.attacked],
                                      result.threshold_shadow.non_members())
    for name in (name for name in attacks if name in METRIC_ATTACKS):
        # The threshold of the sibling that fixes the shadow attack's too.
        fixing = others[-1]
        found[name] = SiblingScores(metric_scores(name, target.logits, target.labels), target.members,
                                    metric_scores(name, fixing.logits, fixing.labels)[~fixing.members])
    lira = [name for name in attacks if name in LIRA_ATTACKS]
    if lira:
        found |= _lira(answers, number).scores(lira)
    return {name: found[name] for name in attacks}


def by_sibling(attacks: Sequence[str], answers: Sequence[Answers], number: int) -> dict[str, list[float | None]]:
    """Return what each other network, as a reference, makes of the LiRA measures of one.

    Args:
        attacks: those that have to do with it are looked at.
        answers: of all networks, on the same samples.
        number: which of them is attacked.

    Returns:
        As ``lira_parts``.
    """
    names = [name for name in attacks if name in LIRA_ATTACKS]
    return lira_parts(_lira(answers, number), names, len(answers), number) if names else {}


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
    scores = lira.scores(names, 1 + np.concatenate([np.zeros((1, models)), -tilts, tilts]))
    values, *tilted = (_measures({name: each.part(attack) for name, each in scores.items()})
                       for attack in range(2 * models - 1))
    found: dict[str, list[float | None]] = {}
    for measure, value in values.items():
        # A threshold that a lighter reference leaves too few non-members for tells nothing of that reference.
        slopes = [(more.get(measure, value) - less.get(measure, value)) / (2 * TILT)
                  for less, more in zip(tilted[:models - 1], tilted[models - 1:])]
        parts: list[float | None] = reference_parts(value, slopes).tolist()
        found[measure] = [*parts[:number], None, *parts[number:]]
    return found


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


def _lira(answers: Sequence[Answers], number: int) -> SiblingLira:
    signals = np.stack([phi(each.logits, each.labels) for each in answers])[:, :, None]
    return SiblingLira(signals, np.stack([each.members for each in answers]), number)


def _part(answers: Answers, rows: np.ndarray) -> Answers:
    return Answers(answers.logits[rows], answers.labels[rows], answers.members[rows])


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
