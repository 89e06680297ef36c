"""Two attacks on the same samples: the difference of their areas under the curve.

DeLong, DeLong & Clarke-Pearson (Biometrics 44, 1988). Two models attacked on the same members and non-members share
the samples' own difficulty, so their areas are correlated, and two separate intervals say little on the difference.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.evaluation.comparisons import p_by_inversion
from mindleak.evaluation.distributions import normal_quantile, normal_tail
from mindleak.evaluation.metric import Interval, Metric, undefined
from mindleak.evaluation.roc import area_interval, few_decide
from mindleak.evaluation.validation import scored_members

# DeLong's placements, as ``auc_difference`` describes them, of the members (n_in,) and of the non-members (n_out,).
Placements = tuple[NDArray[np.float64], NDArray[np.float64]]


def auc_difference(first: ArrayLike, second: ArrayLike, members: ArrayLike, level: float = 0.95) -> Metric:
    """Return AUC(second) - AUC(first) with DeLong's interval for correlated areas (1988, eq. 5 and 6).

    A member's placement is the share of non-members it outranks, ties half; a non-member's the share of members
    that outrank it. The variance of the difference is that of the members' placement differences over n_in plus
    that of the non-members' over n_out. Where few samples decide one of the areas (``roc.few_decide``) that variance
    is unsure, and the interval is recovered from those of the two areas and their correlation (Zou & Donner, Statistics
    in Medicine 27, 2008, eq. 5). It speaks of these two trained models on other samples, not of other trainings. No
    interval where the variance is zero (the two rank everything alike) or undefined (a single sample on one side): it
    would pretend certainty. ``p`` is that of equal areas.

    Args:
        first, second: scores of the same samples, shape (N,).
        members: booleans, shape (N,).
        level: confidence level.

    Raises:
        ValueError: NaN scores, different lengths, or a level outside (0, 1).
    """
    one, member_array = scored_members(first, members)
    other, _ = scored_members(second, members)
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1, got {level}")
    n_in = int(np.count_nonzero(member_array))
    n_out = member_array.size - n_in
    if min(n_in, n_out) == 0:
        return undefined("no members" if n_in == 0 else "no non-members", member_array.size, level=level)
    before, after = (_placements(scores, member_array) for scores in (one, other))
    inside, outside = (later - earlier for earlier, later in zip(before, after))
    value = float(inside.mean())
    if min(n_in, n_out) < 2:
        return Metric(value, member_array.size, ci_level=level, reason="a single sample on one side has no variance")
    variance = float(inside.var(ddof=1)) / n_in + float(outside.var(ddof=1)) / n_out
    if variance == 0.0:
        return Metric(value, member_array.size, ci_level=level, reason="both attacks rank every pair alike")
    if any(few_decide(float(placements[0].mean()), n_in, n_out) for placements in (before, after)):
        return _recovered(before, after, level)
    deviation = math.sqrt(variance)
    half = normal_quantile((1.0 + level) / 2) * deviation
    p = 2.0 * normal_tail(abs(value) / deviation)
    interval = (max(value - half, -1.0), min(value + half, 1.0))
    return Metric(value, member_array.size, ci=interval, ci_level=level, ci_method="delong-paired", p=p)


def _recovered(before: Placements, after: Placements, level: float) -> Metric:
    """Return the difference of two areas with the interval that theirs and their correlation give."""
    n_in, n_out = before[0].size, before[1].size
    covariance = np.cov(before[0], after[0]) / n_in + np.cov(before[1], after[1]) / n_out
    variances = [float(covariance[side, side]) for side in (0, 1)]
    scale = math.sqrt(variances[0] * variances[1])
    correlation = float(covariance[0, 1]) / scale if scale > 0.0 else 0.0
    one, other = (float(placements[0].mean()) for placements in (before, after))

    def interval(confidence: float) -> Interval:
        (low_1, high_1), (low_2, high_2) = (area_interval(area, variance, n_in, n_out, confidence)[0]
                                            for area, variance in zip((one, other), variances))
        reach = [math.sqrt(max(near**2 + far**2 - 2 * correlation * near * far, 0.0))
                 for near, far in ((other - low_2, high_1 - one), (high_2 - other, one - low_1))]
        return other - one - reach[0], other - one + reach[1]

    return Metric(other - one, n_in + n_out, ci=interval(level), ci_level=level, ci_method="mover of paired areas",
                  p=p_by_inversion(interval))


def _placements(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> Placements:
    """Return every member's and every non-member's placement, shapes (n_in,) and (n_out,)."""
    inside, outside = scores[members], scores[~members]
    return _share_below(inside, outside), 1.0 - _share_below(outside, inside)


def _share_below(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each score, the share of ``others`` below it, ties half."""
    ordered = np.sort(others)
    count = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    share: NDArray[np.float64] = count / (2 * others.size)
    return share
