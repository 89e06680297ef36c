"""Empirical lower bound of ε from an attack's decisions at one threshold.

Jagielski, Ullman & Oprea (arXiv 2006.07709): an (ε, δ)-private training bounds what any membership test may reach,
P(called member | member) ≤ e^ε P(called member | non-member) + δ, and the same with the answers exchanged. Rates that
exceed this, by exact intervals, refute the ε.

The threshold must have been fixed on other models. Maximising the bound over thresholds on the data it is reported
for gives a positive ε for scores that say nothing far more often than α allows. The samples of one model are taken
for independent trials, as everywhere in this package; the bound is about this training, not about the algorithm's
worst case over data sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mindleak.evaluation.decisions import decisions
from mindleak.evaluation.validation import score_vector, scored_members

# So many thresholds are tried on the references, enough to resolve a rate of .1 % of their pooled scores.
_GRID = 2000


@dataclass(frozen=True)
class EpsilonBound:
    """ε ≥ ``epsilon`` with confidence 1 - ``alpha``, at ``threshold``; inputs to the bound beside it."""

    epsilon: float
    true_positives: int
    n_in: int
    false_positives: int
    n_out: int
    threshold: float
    delta: float
    alpha: float

    def at(self, alpha: float) -> EpsilonBound:
        """Return the bound of the same decisions at another probability of being wrong."""
        counts = self.true_positives, self.n_in, self.false_positives, self.n_out
        return replace(self, epsilon=float(epsilon_lower_bound(*counts, self.delta, alpha)), alpha=alpha)

    @property
    def by_accusation(self) -> bool:
        """True if the members called so bound ε, False if it is the non-members that are not."""
        hits, alarms = np.array([self.true_positives]), np.array([self.false_positives])
        called = float(_log_ratio(hits, self.n_in, alarms, self.n_out, self.delta, self.alpha)[0])
        return math.isclose(max(called, 0.0), self.epsilon)

    def to_json(self) -> dict[str, float | int | bool | None]:
        """Return plain JSON values; the threshold is null where nobody is called a member."""
        return {**vars(self), "threshold": self.threshold if math.isfinite(self.threshold) else None,
                "by_accusation": self.by_accusation}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> EpsilonBound:
        """Return the bound that ``to_json`` wrote."""
        known = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**known, "threshold": math.inf if known["threshold"] is None else known["threshold"]})


def epsilon_lower_bound(true_positives: ArrayLike, n_in: int, false_positives: ArrayLike, n_out: int,
                        delta: float = 1e-5, alpha: float = 0.05) -> NDArray[np.float64]:
    """Return the lower bound of ε for counts at a threshold, elementwise.

    max{ln((lo(TP) - δ)/hi(FP)), ln((lo(TN) - δ)/hi(FN)), 0} with lo and hi Clopper-Pearson's limits of the rates,
    α/2 outside each: lo(k, n) = BetaInv(α/2; k, n-k+1), hi(k, n) = BetaInv(1-α/2; k+1, n-k).

    Args:
        true_positives, false_positives: counts of the members and the non-members called members, equal shapes.
        n_in, n_out: numbers of members and non-members, at least 1.
        delta: in [0, 1).
        alpha: probability that the bound is wrong, in (0, 1).

    Raises:
        ValueError: counts outside their range, or δ or α outside theirs.
    """
    hits, alarms = (np.asarray(counts, dtype=np.int64) for counts in (true_positives, false_positives))
    if min(n_in, n_out) < 1 or (hits < 0).any() or (hits > n_in).any() or (alarms < 0).any() or (alarms > n_out).any():
        raise ValueError(f"counts lie in [0, {n_in}] and [0, {n_out}]")
    if not 0.0 <= delta < 1.0 or not 0.0 < alpha < 1.0:
        raise ValueError(f"delta lies in [0, 1) and alpha in (0, 1), got {delta} and {alpha}")
    called = _log_ratio(hits, n_in, alarms, n_out, delta, alpha)
    not_called = _log_ratio(n_out - alarms, n_out, n_in - hits, n_in, delta, alpha)
    return np.maximum(0.0, np.maximum(called, not_called))


def epsilon_at(scores: ArrayLike, members: ArrayLike, threshold: float, delta: float = 1e-5,
               alpha: float = 0.05) -> EpsilonBound:
    """Return the bound of ε of an attack whose threshold was fixed on other models.

    Args:
        scores: shape (N,); a sample is called a member where its score is at least ``threshold``.
        members: booleans of shape (N,).
        threshold: not read off these scores.
        delta: δ of the promise that is tested.
        alpha: probability that the bound exceeds ε.

    Raises:
        ValueError: NaN scores or threshold, no member or no non-member, or as ``epsilon_lower_bound``.
    """
    score_array, member_array = scored_members(scores, members)
    if math.isnan(threshold):
        raise ValueError("the threshold is NaN")
    counts = decisions(score_array >= threshold, member_array)
    return EpsilonBound(float(epsilon_lower_bound(*counts, delta, alpha)), *counts, float(threshold), delta, alpha)


def best_threshold(members: ArrayLike, non_members: ArrayLike, n_in: int, n_out: int, delta: float = 1e-5,
                   alpha: float = 0.05) -> float:
    """Return the threshold at which models like these would give the largest bound on n_in and n_out samples.

    To be taken of references' scores, pooled; the rates found there are turned into the counts that are expected of
    the target. Where no threshold gives a positive bound it is that of the largest ln TPR - ln FPR among thresholds
    that call at least one in a hundred a member.

    Args:
        members, non_members: scores of the references' members and non-members, one-dimensional, of any order.
        n_in, n_out: how many of each the target will be judged on.
        delta, alpha: as for ``epsilon_lower_bound``.

    Raises:
        ValueError: NaN scores, nobody on a side, or as ``epsilon_lower_bound``.
    """
    inside, outside = (np.sort(score_vector(side), kind="stable") for side in (members, non_members))
    if min(inside.size, outside.size, n_in, n_out) < 1:
        raise ValueError("members and non-members are needed")
    grid = _grid(inside, outside)
    tpr = 1.0 - np.searchsorted(inside, grid, side="left") / inside.size
    fpr = 1.0 - np.searchsorted(outside, grid, side="left") / outside.size
    hits, alarms = (np.rint(rate * n).astype(np.int64) for rate, n in ((tpr, n_in), (fpr, n_out)))
    bounds = epsilon_lower_bound(hits, n_in, alarms, n_out, delta, alpha)
    if bounds.max() > 0.0:
        return float(grid[np.argmax(bounds)])
    advantage = np.where(tpr >= 0.01, np.log(np.maximum(tpr, 1e-12)) - np.log(fpr + 1.0 / outside.size), -np.inf)
    return float(grid[np.argmax(advantage)])


def _grid(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return thresholds of two sorted sides, dense in both tails, where the two ratios are largest."""
    tail = np.geomspace(1e-5, 0.5, _GRID // 4)
    levels = np.concatenate([tail, 1.0 - tail])
    picked = [side[np.ceil(levels * (side.size - 1)).astype(np.int64)] for side in (inside, outside)]
    return np.unique(np.concatenate(picked))


def _log_ratio(k: NDArray[np.int64], n: int, other: NDArray[np.int64], n_other: int, delta: float,
               alpha: float) -> NDArray[np.float64]:
    """Return ln((lo(k/n) - δ)/hi(other/n_other)), -inf where δ alone explains the rate."""
    low = np.where(k > 0, stats.beta.ppf(alpha / 2, np.maximum(k, 1), n - k + 1), 0.0)
    high = np.where(other < n_other, stats.beta.ppf(1 - alpha / 2, other + 1, np.maximum(n_other - other, 1)), 1.0)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(low - delta, 0.0)) - np.log(high)
