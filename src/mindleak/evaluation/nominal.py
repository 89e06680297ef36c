"""Interval of the true-positive rate at a *nominal* false-positive rate, the threshold's uncertainty included.

``roc.tpr_at_fpr`` reads its threshold off the same non-members that it is judged on. A Clopper-Pearson interval
takes that threshold as given, and so covers the rate at the nominal false-positive rate far less often than its
level says: for scores N(0, 1) against N(2, 1), 1,000 of each, 25 % of the time at a rate of .1 % (level 95 %).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from mindleak.evaluation.metric import Interval
from mindleak.evaluation.validation import scored_members

# Ranks of the threshold that together have no more than this probability are left out, on either side.
_NEGLIGIBLE = 1e-6


def tpr_interval_at_fpr(scores: ArrayLike, members: ArrayLike, target_fpr: float, level: float = 0.95) -> Interval:
    """Return a two-sided interval of the TPR of the attack whose true false-positive rate is ``target_fpr``.

    The number K of the non-members above that attack's unknown threshold is binomial(n_out, target_fpr), so the
    threshold lies between the K-th and the (K+1)-th highest non-member, and the members above it lie between
    those above the one and those not below the other. Clopper-Pearson's two beta distributions for these counts,
    mixed over K, are the confidence distributions whose tails are cut off. No shape of the scores is assumed,
    and for n_out to infinity the interval becomes Clopper-Pearson's. It errs on the wide side; its lower end is
    0 where K = 0 has a probability above (1 - level)/2, i.e. below about 3.7 expected false positives at 95 %.

    Args:
        scores: shape (N,), higher = more member-like.
        members: booleans of shape (N,), with members and non-members among them.
        target_fpr: nominal false-positive rate in (0, 1).
        level: confidence level.

    Raises:
        ValueError: NaN scores, different lengths, no member or no non-member, or a rate or level outside (0, 1).
    """
    score_array, member_array = scored_members(scores, members)
    for name, value in (("target_fpr", target_fpr), ("level", level)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} lies between 0 and 1, got {value}")
    inside, outside = np.sort(score_array[member_array]), np.sort(score_array[~member_array])[::-1]
    n_in, n_out = inside.size, outside.size
    if min(n_in, n_out) == 0:
        raise ValueError(f"both groups need samples, got {n_in} and {n_out}")
    ranks, weights = _threshold_ranks(n_out, target_fpr)
    fewest = np.zeros(ranks.size, dtype=np.int64)
    fewest[ranks > 0] = n_in - np.searchsorted(inside, outside[ranks[ranks > 0] - 1], side="right")
    most = np.full(ranks.size, n_in, dtype=np.int64)
    most[ranks < n_out] = n_in - np.searchsorted(inside, outside[ranks[ranks < n_out]], side="left")
    tail = (1.0 - level) / 2
    # By symmetry the upper end is the lower end of the rate of misses.
    return _lower_end(fewest, n_in, weights, tail), 1.0 - _lower_end(n_in - most, n_in, weights, tail)


def _threshold_ranks(n_out: int, fpr: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ranks K that matter and their binomial probabilities, both of shape (ranks,)."""
    count = stats.binom(n_out, fpr)
    ranks = np.arange(int(count.ppf(_NEGLIGIBLE)), int(count.isf(_NEGLIGIBLE)) + 1)
    weights: NDArray[np.float64] = count.pmf(ranks)
    return ranks, weights / weights.sum()


def _lower_end(counts: NDArray[np.int64], n: int, weights: NDArray[np.float64], tail: float) -> float:
    """Return the ``tail`` quantile of the mixture of beta(count, n - count + 1); count 0 is a point mass at 0."""
    positive = counts > 0
    if weights[~positive].sum() >= tail:
        return 0.0
    # Equal counts are common (ranks without a member between them): one beta evaluation for all of them.
    distinct, inverse = np.unique(counts[positive], return_inverse=True)
    shares = np.bincount(inverse, weights=weights[positive])
    missing = tail - weights[~positive].sum()

    def excess(rate: float) -> float:
        return float(np.sum(shares * stats.beta.cdf(rate, distinct, n - distinct + 1)) - missing)

    return float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-12))
