"""Receiver operating characteristic of an attack: curve, area, and the rates at a threshold.

A score is higher for samples more like members, and a sample is called a member when its score is *at least*
the threshold. Samples with equal scores cannot be told apart, so they enter or leave together: one step of
the curve, one half in the area. Membership inference is judged at low false-positive rates (Carlini et al.,
arXiv 2112.03570), where few samples decide; hence every rate carries its counts, ties and interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from mindleak.evaluation.decisions import decisions
from mindleak.evaluation.distributions import normal_quantile, normal_tail
from mindleak.evaluation.intervals import clopper_pearson, mean_of_independent, proportion
from mindleak.evaluation.metric import Interval, Metric, join_reasons, undefined
from mindleak.evaluation.validation import scored_members

DELONG, NEWCOMBE = "delong-logit", "newcombe-score"
# Size of the smaller group times the share of wrongly ranked pairs, below which DeLong's interval covers too rarely.
FEW_DECIDING = 10


@dataclass(frozen=True)
class RocCurve:
    """Points of the curve from (0, 0) to (1, 1), one per distinct score, all of shape (distinct scores + 1,).

    ``thresholds`` fall; the first is infinite and calls nobody a member.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True)
class _Steps:
    """Counts per distinct score, highest score first, each of shape (distinct scores,)."""

    scores: NDArray[np.float64]
    members: NDArray[np.int64]
    non_members: NDArray[np.int64]


def roc_curve(scores: ArrayLike, members: ArrayLike) -> RocCurve:
    """Return the curve of ``scores`` of shape (N,) for ``members``, booleans of shape (N,).

    Raises:
        ValueError: NaN scores, different lengths, or no member or no non-member.
    """
    score_array, member_array = scored_members(scores, members)
    empty = _empty_group(member_array)
    if empty:
        raise ValueError(f"a ROC curve needs members and non-members: {empty}")
    steps = _steps(score_array, member_array)
    false_positives = np.concatenate(([0], np.cumsum(steps.non_members)))
    true_positives = np.concatenate(([0], np.cumsum(steps.members)))
    return RocCurve(
        fpr=false_positives / false_positives[-1],
        tpr=true_positives / true_positives[-1],
        thresholds=np.concatenate(([np.inf], steps.scores)),
    )


def auc(scores: ArrayLike, members: ArrayLike, level: float = 0.95) -> Metric:
    """Return P(member's score > non-member's) + ½ P(equal): the area under the curve (Mann & Whitney 1947).

    The interval is ``area_interval``'s. ``n`` counts both groups; without members or non-members the value is NaN.
    ``p`` is that of an area of ½, by the interval's own test.

    Raises:
        ValueError: NaN scores, different lengths, or a level outside (0, 1).
    """
    score_array, member_array = scored_members(scores, members)
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1, got {level}")
    empty = _empty_group(member_array)
    if empty:
        return undefined(empty, score_array.size, level=level)
    steps = _steps(score_array, member_array)
    n_in, n_out = int(steps.members.sum()), int(steps.non_members.sum())
    value = _area(steps, n_in, n_out)
    variance = _delong_variance(steps, n_in, n_out)
    interval, method = area_interval(value, variance, n_in, n_out, level)
    deviates = [abs(value - 0.5) / math.sqrt(_newcombe_variance(0.5, n_in, n_out))] if method != DELONG else []
    if method != NEWCOMBE:
        deviates.append(abs(math.log(value / (1.0 - value))) * value * (1.0 - value) / math.sqrt(variance))
    # The interval is the wider of two and excludes ½ only where both do, so p is the larger of theirs.
    p = 2.0 * normal_tail(min(deviates))
    return Metric(value, n_in + n_out, ci=interval, ci_level=level, ci_method=method, p=p)


def area(scores: ArrayLike, members: ArrayLike) -> float:
    """Return the value of ``auc`` without its interval, for whoever needs hundreds of them.

    Raises:
        ValueError: NaN scores, different lengths, no members or no non-members.
    """
    score_array, member_array = scored_members(scores, members)
    empty = _empty_group(member_array)
    if empty:
        raise ValueError(f"an area needs members and non-members: {empty}")
    n_in = int(member_array.sum())
    return _area(_steps(score_array, member_array), n_in, member_array.size - n_in)


def few_decide(value: float, n_in: int, n_out: int) -> bool:
    """Tell whether an area rests on a few samples that rank among the other side's, so that its variance is unsure."""
    return deciding(value, n_in, n_out) < FEW_DECIDING


def deciding(value: float, n_in: int, n_out: int) -> float:
    """Return how many samples of the smaller group an area rests on: those ranked among the other side's."""
    return min(n_in, n_out) * min(value, 1.0 - value)


def area_interval(value: float, variance: float, n_in: int, n_out: int, level: float = 0.95) -> tuple[Interval, str]:
    """Return the interval of an area with DeLong's ``variance``, and the name of its method.

    DeLong, DeLong & Clarke-Pearson's (Biometrics 44, 1988), on the logit scale so that it stays inside (0, 1). Where
    their variance is zero or undefined (perfect separation, constant scores, a single sample on one side) it would
    pretend certainty; there the interval is Newcombe's score interval (Statistics in Medicine 25, 2006, method 5).
    Where few samples decide, DeLong's covers 79 to 94 % (simulated), and Newcombe's too little for unequal groups:
    there either end is the wider one's.
    """
    known = variance > 0.0 and 0.0 < value < 1.0
    if known and not few_decide(value, n_in, n_out):
        return _logit_interval(value, variance, level), DELONG
    score = newcombe_interval(value, n_in, n_out, level)
    if not known:
        return score, NEWCOMBE
    logit = _logit_interval(value, variance, level)
    return (min(logit[0], score[0]), max(logit[1], score[1])), f"the wider of {DELONG} and {NEWCOMBE}"


def tpr_at_fpr(scores: ArrayLike, members: ArrayLike, target_fpr: float, level: float = 0.95) -> Metric:
    """Return the true-positive rate at the largest realised false-positive rate up to ``target_fpr``.

    Among thresholds with that rate the one with the most true positives is taken. ``fpr`` is the realised
    rate with its Clopper-Pearson interval, ``ties`` the number of samples exactly on the threshold, ``n`` the
    number of members. The interval of the value is Clopper-Pearson's with the threshold taken as given: it
    speaks of the attack *at this threshold*, whose own false-positive rate is only known to lie in
    ``fpr_ci``. For the rate at the nominal ``target_fpr`` see ``nominal.tpr_interval_at_fpr``, for whether a
    value could be chance ``power.chance_tpr_limit``. ``reason`` says when there are too few non-members to
    resolve the target, or when nobody can be called a member at it.

    Raises:
        ValueError: NaN scores, different lengths, or a target outside [0, 1].
    """
    score_array, member_array = scored_members(scores, members)
    if not 0.0 <= target_fpr <= 1.0:
        raise ValueError(f"target_fpr lies in [0, 1], got {target_fpr}")
    empty = _empty_group(member_array)
    if empty:
        return undefined(empty, int(member_array.sum()), level=level)
    steps = _steps(score_array, member_array)
    n_in, n_out = int(steps.members.sum()), int(steps.non_members.sum())
    false_positives = np.cumsum(steps.non_members)
    taken = int(np.searchsorted(false_positives / n_out, target_fpr, side="right"))
    k_in = int(steps.members[:taken].sum())
    k_out = int(steps.non_members[:taken].sum())
    unresolved = None
    if target_fpr < 1.0 / n_out:
        unresolved = f"{n_out} non-members cannot resolve a false-positive rate of {target_fpr:g}"
    nobody = None if taken else "no threshold reaches the target, so nobody is called a member"
    return Metric(
        k_in / n_in,
        n_in,
        ci=clopper_pearson(k_in, n_in, level),
        ci_level=level,
        ci_method="clopper-pearson",
        fpr=k_out / n_out,
        fpr_ci=clopper_pearson(k_out, n_out, level),
        threshold=steps.scores[taken - 1] if taken else math.inf,
        ties=int(steps.members[taken - 1] + steps.non_members[taken - 1]) if taken else 0,
        reason=join_reasons(unresolved, nobody),
    )


def balanced_accuracy_at(scores: ArrayLike, members: ArrayLike, threshold: float, level: float = 0.95) -> Metric:
    """Return ½ (TPR + TNR) at a threshold that was fixed beforehand, e.g. on shadow models.

    The interval joins the two rates' Clopper-Pearson intervals (Zou & Donner 2008); ``n`` counts both groups.

    Raises:
        ValueError: NaN scores or threshold, or different lengths.
    """
    score_array, member_array = scored_members(scores, members)
    if math.isnan(threshold):
        raise ValueError("the threshold is NaN")
    k_in, n_in, k_out, n_out = decisions(score_array >= threshold, member_array)
    true_positive = proportion(k_in, n_in, level, of="members")
    true_negative = proportion(n_out - k_out, n_out, level, of="non-members")
    mean = mean_of_independent(true_positive, true_negative)
    if math.isnan(mean.value):
        return mean
    return Metric(
        mean.value,
        mean.n,
        ci=mean.ci,
        ci_level=level,
        ci_method="mover of clopper-pearson",
        fpr=k_out / n_out,
        fpr_ci=clopper_pearson(k_out, n_out, level),
        threshold=threshold,
        ties=int(np.count_nonzero(score_array == threshold)),
        reason=None if k_in + k_out else "nobody is called a member",
    )


def hanley_mcneil_variance(area: float, n_in: float, n_out: float) -> float:
    """Return the variance of an estimated area, were the scores exponential (Hanley & McNeil 1982, eq. 1).

    At area ½ it is the Mann-Whitney null variance (n_in + n_out + 1)/(12 n_in n_out), whatever the scores.
    """
    spread = 1.0 + (n_in - 1) * (1 - area) / (2 - area) + (n_out - 1) * area / (1 + area)
    return area * (1 - area) * spread / (n_in * n_out)


def newcombe_interval(area: float, n_in: int, n_out: int, level: float = 0.95) -> Interval:
    """Return all areas θ whose distance to ``area`` is at most z·√V(θ), V by Hanley & McNeil (Newcombe 2006).

    His method 5 puts (n_in + n_out)/2 in place of either count inside the bracket of V. It never collapses to
    a point, so it also serves at areas of 0 and 1.
    """
    z = normal_quantile((1.0 + level) / 2)

    def lower(estimate: float) -> float:
        def excess(area: float) -> float:
            return (estimate - area) ** 2 - z**2 * _newcombe_variance(area, n_in, n_out)

        # At an estimate of 1 the end of the range is a root as well, but not the wanted one.
        end = min(estimate, 1.0 - 1e-12)
        return float(optimize.brentq(excess, 0.0, end, xtol=1e-12)) if estimate > 0.0 else 0.0

    return lower(area), 1.0 - lower(1.0 - area)


def _newcombe_variance(area: float, n_in: int, n_out: int) -> float:
    mean_count = (n_in + n_out) / 2
    return mean_count**2 / (n_in * n_out) * hanley_mcneil_variance(area, mean_count, mean_count)


def _empty_group(members: NDArray[np.bool_]) -> str | None:
    if not members.any():
        return "no members"
    return "no non-members" if members.all() else None


def _steps(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> _Steps:
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    # Compared, not subtracted: two infinite scores are equal, their difference is NaN.
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    members_per_step = np.add.reduceat(members[order].astype(np.int64), first)
    samples_per_step = np.diff(np.concatenate((first, [scores.size])))
    return _Steps(ordered[first], members_per_step, samples_per_step - members_per_step)


def _area(steps: _Steps, n_in: int, n_out: int) -> float:
    # Twice the Mann-Whitney count, in whole numbers: the sample order cannot change the last digit.
    outranked = n_out - np.cumsum(steps.non_members)
    return int(np.sum(steps.members * (2 * outranked + steps.non_members))) / (2 * n_in * n_out)


def _delong_variance(steps: _Steps, n_in: int, n_out: int) -> float:
    """Return DeLong's variance of the area (1988, eq. 5); NaN with a single sample on one side.

    A member's placement is the share of non-members it outranks, ties half; a non-member's the share of
    members that outrank it. Both depend on the score only, so they are computed once per distinct score.
    """
    if min(n_in, n_out) < 2:
        return math.nan
    below = n_out - np.cumsum(steps.non_members)
    above = np.cumsum(steps.members) - steps.members
    member_placement = (below + steps.non_members / 2) / n_out
    non_member_placement = (above + steps.members / 2) / n_in
    return _weighted_variance(member_placement, steps.members) / n_in + (
        _weighted_variance(non_member_placement, steps.non_members) / n_out
    )


def _weighted_variance(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    n = counts.sum()
    mean = np.sum(values * counts) / n
    return float(np.sum(counts * (values - mean) ** 2) / (n - 1))


def _logit_interval(value: float, variance: float, level: float) -> Interval:
    half = normal_quantile((1.0 + level) / 2) * math.sqrt(variance) / (value * (1.0 - value))
    # odds(value)·e^∓half back to a proportion, in the form that does not overflow.
    odds_against = (1.0 - value) / value
    return tuple(1.0 / (1.0 + odds_against * math.exp(min(step, 700.0))) for step in (half, -half))  # type: ignore[return-value]
