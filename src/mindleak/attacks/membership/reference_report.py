"""Figures of a reference attack: every threshold fixed on references, every rate with what it realised and intervals.

What a threshold decides it decides on the target's scores by as few references as those had that set it
(``AttackScores.decided``); AUC and the rates of the target's own ROC are of its scores by all of them.

A score equal to a threshold's border is a non-member's for the rates at a given false-positive rate (split-conformal,
``evaluation.thresholds``) and a member's for balanced accuracy and ε, whose thresholds lie between two scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindleak.attacks.membership.metric import balanced_threshold, class_thresholds
from mindleak.attacks.membership.report import LEVEL, TARGET_FPRS
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import Flags, Floats
from mindleak.evaluation import empirical_epsilon
from mindleak.evaluation.metric import Metric, undefined
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.predictive_value import PRIORS, positive_predictive_value
from mindleak.evaluation.roc import auc, balanced_accuracy_at, tpr_at_fpr
from mindleak.evaluation.roc_bootstrap import area_and_rates, bootstrap_roc
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold

# A rate of .01 % is only asked for where that many non-members can show it.
FINEST_FPR, FINEST_NON_MEMBERS = 1e-4, 10_000
RESAMPLES = 1000


@dataclass(frozen=True)
class Truth:
    """The truth of a target and of the references on the same samples: (samples,), (models, samples), (samples,)."""

    members: Flags
    keep: Flags
    labels: np.ndarray


def target_fprs(n_out: int) -> tuple[float, ...]:
    """Return the nominal false-positive rates that ``n_out`` non-members allow."""
    return (*TARGET_FPRS, FINEST_FPR) if n_out >= FINEST_NON_MEMBERS else TARGET_FPRS


def figures(scores: AttackScores, truth: Truth, seed: int) -> dict[str, Any]:
    """Return the figures of one attack as JSON values: flat metrics, and ``bootstrap``, ``ppv`` and ``epsilon`` beside.

    Args:
        scores: of target and references; samples without a score are left out and counted in ``unscored``.
        truth: what they are held against.
        seed: of the bootstrap.
    """
    known = np.isfinite(scores.target) & np.isfinite(scores.decided)
    own, decided, members = scores.target[known], scores.decided[known], truth.members[known]
    n_in = int(members.sum())
    n_out = len(members) - n_in
    base = {"n_in": n_in, "n_out": n_out, "unscored": int((~known).sum())}
    if min(n_in, n_out) == 0:
        reason = "no members" if n_in == 0 else "no non-members"
        return {**base, "overall": {"auc": undefined(reason, len(members), level=LEVEL).to_json()}, "bootstrap": {},
                "ppv": {}, "epsilon": None}
    inside, outside = _pooled(scores, truth)
    fprs = target_fprs(n_out)
    area = replace(auc(own, members, LEVEL), reason=_tie_break(scores.share, known, members))
    overall = {"auc": area, "balanced_accuracy": _balanced(decided, members, inside, outside)}
    fixed = {target: threshold_at_fpr(outside, target) for target in fprs}
    overall |= {f"tpr@{target:g}": tpr_at_threshold(decided, members, fixed[target], LEVEL) for target in fprs}
    overall |= {f"tpr_own_roc@{target:g}": _own_roc(own, members, target) for target in fprs}
    ppv = {f"{target:g}": {f"ppv@{prior:g}": _predictive(decided, members, fixed[target].border, prior).to_json()
                           for prior in PRIORS} for target in fprs}
    drawn = bootstrap_roc(own, members, fprs, level=LEVEL, resamples=RESAMPLES, seed=seed)
    return {**base, "overall": {name: metric.to_json() for name, metric in overall.items()},
            "bootstrap": {name: metric.to_json() for name, metric in drawn.items()}, "ppv": ppv,
            "epsilon": _epsilon(decided, members, inside, outside)}


def per_class_decisions(scores: AttackScores, truth: Truth, classes: int,
                        class_names: Sequence[str]) -> dict[str, Any]:
    """Return the balanced accuracy with a threshold per class, and which classes share the global one.

    Raises:
        ValueError: references without members or non-members.
    """
    chosen = scores.judged
    fixed = class_thresholds(scores.references[chosen], truth.keep[chosen], truth.labels, classes)
    shifted = scores.decided - fixed.values[truth.labels]
    # An infinite threshold calls nobody a member; inf - inf must not.
    shifted = np.where(np.isnan(shifted), -np.inf, shifted)
    metric = replace(balanced_accuracy_at(shifted, truth.members, 0.0, LEVEL), threshold=None)
    return {"balanced_accuracy_per_class": metric.to_json(),
            "shared_threshold": {class_names[label]: reason for label, reason in fixed.shared.items()
                                 if np.any(truth.labels == label)}}


def several_targets(scores: AttackScores, truth: Truth) -> dict[str, Any]:
    """Return mean and standard deviation of AUC and own-ROC rates over the references as targets, as JSON values.

    They are trainings of one recipe on halves of one pool, so the deviation is that between trainings, not between
    samples of other people.
    """
    rows = scores.judged
    columns = np.isfinite(scores.references[rows]).all(axis=0)
    found = [area_and_rates(scores.references[number, columns], truth.keep[number, columns], TARGET_FPRS)
             for number in rows] if columns.any() else []
    names = found[0] if found else {}
    return {"targets": len(found), **{name: _spread([each[name] for each in found]) for name in names}}


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    known = np.asarray([value for value in values if np.isfinite(value)])
    if known.size == 0:
        return {"mean": None, "sd": None, "min": None, "max": None}
    deviation = float(known.std(ddof=1)) if known.size > 1 else None
    return {"mean": float(known.mean()), "sd": deviation, "min": float(known.min()), "max": float(known.max())}


def _pooled(scores: AttackScores, truth: Truth) -> tuple[Floats, Floats]:
    """Return the references' scores as members and as non-members, in rising order, those without a score left out.

    Sorted once: all that fixes a threshold sorts again, and sorting what is sorted costs little.
    """
    values, kept = scores.references[scores.judged], truth.keep[scores.judged]
    known = np.isfinite(values)
    return np.sort(values[kept & known]), np.sort(values[~kept & known])


def _tie_break(share: Floats | None, known: Flags, members: Flags) -> str | None:
    """Say that RMIA's score is not the share of its paper where most samples have the same; None where they differ."""
    if share is None:
        return None
    shares, counts = np.unique(share[known], return_counts=True)
    largest = int(counts.max())
    if 2 * largest <= len(members):
        return None
    return (f"{largest} of {len(members)} samples dominate the same share of the population, "
            f"{shares[counts.argmax()]:.3f}; the score is that share with ties broken by R(x), and by the share alone "
            f"the AUC is {auc(share[known], members, LEVEL).value:.3f}")


def _balanced(own: Floats, members: Flags, inside: Floats, outside: Floats) -> Metric:
    if min(inside.size, outside.size) == 0:
        return undefined("the references have no scores of both kinds to fix a threshold on", len(members), level=LEVEL)
    return balanced_accuracy_at(own, members, balanced_threshold(inside, outside), LEVEL)


def _own_roc(own: Floats, members: Flags, target: float) -> Metric:
    """Return the rate on the target's own ROC; the interval covers the uncertainty of its threshold too."""
    rate = tpr_at_fpr(own, members, target, LEVEL)
    return replace(rate, ci=tpr_interval_at_fpr(own, members, target, LEVEL),
                   ci_method="order statistics, threshold included")


def _predictive(own: Floats, members: Flags, border: float, prior: float) -> Metric:
    called = own > border
    n_in = int(members.sum())
    return positive_predictive_value(int((called & members).sum()), n_in, int((called & ~members).sum()),
                                     len(members) - n_in, prior, LEVEL)


def _epsilon(own: Floats, members: Flags, inside: Floats, outside: Floats) -> dict[str, Any] | None:
    if min(inside.size, outside.size) == 0:
        return None
    n_in = int(members.sum())
    threshold = empirical_epsilon.best_threshold(inside, outside, n_in, len(members) - n_in)
    return empirical_epsilon.epsilon_at(own, members, threshold).to_json()
