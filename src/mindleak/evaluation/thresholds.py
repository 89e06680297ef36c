"""Thresholds that are fixed on other models' scores and then applied: the rate that an attacker really reaches.

A threshold read off the subject's own ROC curve (``roc.tpr_at_fpr``) has looked at the answers it is judged by, and
no attacker has those. Here the threshold comes from a model of the attacker's, and the false-positive rate that it
realises on the subject is measured, not set. The rank is split-conformal (Vovk, Gammerman & Shafer 2005, ch. 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mindleak.evaluation.decisions import decisions
from mindleak.evaluation.intervals import CLOPPER_PEARSON, clopper_pearson
from mindleak.evaluation.metric import Metric, join_reasons, undefined
from mindleak.evaluation.validation import score_vector, scored_members


@dataclass(frozen=True)
class Threshold:
    """A decision that was fixed beforehand: scores *above* ``border`` are called members.

    Attributes:
        target_fpr: false-positive rate that was aimed at.
        border: the score that must be exceeded; a tie with it is called a non-member. Infinite where ``n_out``
            non-members cannot set a threshold for the target.
        n_out: number of non-members it was fixed on.
        ties: how many of these have exactly the score ``border``.
        reason: why there is none, or None.
    """

    target_fpr: float
    border: float
    n_out: int
    ties: int = 0
    reason: str | None = None


def threshold_at_fpr(non_members: ArrayLike, target_fpr: float, weights: ArrayLike | None = None) -> Threshold:
    """Return the lowest border whose expected false-positive rate on a like model is at most ``target_fpr``.

    Of n exchangeable scores and one more, the last exceeds the k-th highest of the n with probability at most
    k/(n + 1), whatever their distribution and ties; so the border is the k-th highest, k = ⌊target·(n + 1)⌋. With
    k = 0 there is none: 1/target - 1 non-members are the fewest that can set one.

    Args:
        non_members: scores of non-members of a model that the attack was not trained on, shape (n,).
        target_fpr: in (0, 1).
        weights: how often each score counts, shape (n,), above 0; once by default. n is then their sum.

    Raises:
        ValueError: NaN scores, or a target outside (0, 1).
    """
    scores = score_vector(non_members)
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    if not 0.0 < target_fpr < 1.0:
        raise ValueError(f"target_fpr lies between 0 and 1, got {target_fpr}")
    counted = np.cumsum(np.ones(scores.size) if weights is None else np.asarray(weights, dtype=np.float64)[order])
    # Rounded before floor, since .01 · 100 may come out just below 1 in binary.
    rank = math.floor(round(target_fpr * (float(counted[-1] if scores.size else 0.0) + 1), 9))
    if rank == 0:
        fewest = math.ceil(round(1.0 / target_fpr, 9)) - 1
        reason = (f"{scores.size} non-members of the threshold shadow cannot set a threshold for a false-positive "
                  f"rate of {target_fpr:g}; at least {fewest} are needed")
        return Threshold(target_fpr, math.inf, scores.size, reason=reason)
    border = float(scores[np.searchsorted(counted, rank)])
    return Threshold(target_fpr, border, scores.size, int(np.count_nonzero(scores == border)))


def tpr_at_threshold(scores: ArrayLike, members: ArrayLike, threshold: Threshold, level: float = 0.95) -> Metric:
    """Return the true-positive rate of a threshold that was fixed on other models, with what it realises here.

    Value and ``fpr`` are two independent proportions with Clopper-Pearson intervals; neither was used to choose the
    threshold, so these cover as they say. ``threshold`` is the smallest score that is called a member, ``ties``
    counts the samples on ``border``, which are not. ``n`` is the number of members; ``fpr`` is of the others.

    Raises:
        ValueError: NaN scores or different lengths.
    """
    score_array, member_array = scored_members(scores, members)
    k_in, n_in, k_out, n_out = decisions(score_array > threshold.border, member_array)
    if threshold.reason is not None:
        return undefined(threshold.reason, n_in, level=level)
    if min(n_in, n_out) == 0:
        return undefined("no members" if n_in == 0 else "no non-members", n_in, level=level)
    ties = int(np.count_nonzero(score_array == threshold.border))
    tied = f"{ties} samples tie with the threshold's border and are called non-members" if ties else None
    unresolved = None
    if threshold.target_fpr < 1.0 / n_out:
        unresolved = f"{n_out} non-members cannot show whether a rate of {threshold.target_fpr:g} was kept"
    return Metric(
        k_in / n_in,
        n_in,
        ci=clopper_pearson(k_in, n_in, level),
        ci_level=level,
        ci_method=CLOPPER_PEARSON,
        fpr=k_out / n_out,
        fpr_ci=clopper_pearson(k_out, n_out, level),
        threshold=float(np.nextafter(threshold.border, math.inf)),
        ties=ties,
        reason=join_reasons(unresolved, tied),
    )
