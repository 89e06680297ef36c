"""Whether one quantity rises with another over a few cases: Kendall's τ with a permutation test.

Kendall (Biometrika 30, 1938). The null hypothesis is that every pairing of the two quantities is as likely as the one
seen, so τ's distribution follows from the values themselves, ties and all. Without ties SciPy has it for any number of
cases. With ties it approximates by a normal distribution, whose p is too small for the handful of cases meant here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# Up to eight cases all pairings are counted, 40,320 at most; of more cases that many are drawn.
PAIRINGS = math.factorial(8)
# So many compared signs are held at once by the permutation test: 32 MiB.
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's ``tau`` (τ_b) of ``n`` cases and its two-sided ``p``; ``exact`` if every pairing was counted.

    Both are NaN where all cases are alike in one of the two quantities.
    """

    tau: float
    p: float
    n: int
    exact: bool


def kendall(first: ArrayLike, second: ArrayLike, seed: int = 0) -> RankCorrelation:
    """Return the rank correlation of two quantities, each of shape (n,), with the p-value of a permutation test.

    Twice the smaller of the two tails, at most 1. Exact without ties, and with ties of up to eight cases. With ties of
    more, 40,319 pairings are drawn and the one seen is counted among them (Phipson & Smyth, arXiv 1603.05766): so
    drawing makes no p too small.

    Args:
        first, second: finite numbers, one of each per case.
        seed: of the drawn pairings.

    Raises:
        ValueError: other shapes, or numbers that are not finite.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"two quantities of one shape (n,), not {one.shape} and {other.shape}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("only finite numbers have ranks")
    n = one.size
    if n < 2 or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return RankCorrelation(math.nan, math.nan, n, exact=True)
    if np.unique(one).size == n == np.unique(other).size:
        untied = stats.kendalltau(one, other, method="exact")
        return RankCorrelation(float(untied.statistic), float(untied.pvalue), n, exact=True)
    tau = float(stats.kendalltau(one, other).statistic)
    return RankCorrelation(tau, _permutation_p(one, other, seed), n, exact=_all_pairings(n))


def _all_pairings(n: int) -> bool:
    """Tell whether the pairings of n cases are few enough to look at all of them."""
    return math.factorial(min(n, 20)) <= PAIRINGS


def _permutation_p(one: NDArray[np.float64], other: NDArray[np.float64], seed: int) -> float:
    left, right = np.triu_indices(one.size, 1)
    signs = np.sign(one[left] - one[right])

    def concordance(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        paired = np.moveaxis(np.asarray(values), axis, -1)
        return np.asarray(np.sign(paired[..., left] - paired[..., right]) @ signs)

    test = stats.permutation_test((other,), concordance, permutation_type="pairings", vectorized=True,
                                  n_resamples=PAIRINGS - (not _all_pairings(one.size)),
                                  batch=max(1, _BLOCK_ELEMENTS // left.size), random_state=np.random.default_rng(seed))
    return float(test.pvalue)
