"""Confidence intervals of proportions and means, and of sums and differences of independent estimates.

Clopper & Pearson (Biometrika 26, 1934) for proportions: guaranteed coverage, defined at 0 and n. Zou & Donner
(Statistics in Medicine 27, 2008) to combine two intervals of independent estimates without assuming symmetry.
Student's t for means of a few networks.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mindleak.evaluation.distributions import beta_quantile, student_quantile, student_tail
from mindleak.evaluation.metric import Interval, Metric, join_reasons, undefined

CLOPPER_PEARSON = "clopper-pearson"


def clopper_pearson(k: float, n: float, level: float = 0.95) -> Interval:
    """Return the exact two-sided interval of a proportion from ``k`` successes in ``n`` trials.

    (1 - level)/2 goes to each side; n = 0 knows nothing and gives (0, 1). Effective numbers of weighted trials need not
    be whole.

    Raises:
        ValueError: k outside [0, n], or a level outside (0, 1).
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes in {n} trials")
    return _exact(k, n, _tail(level))


@lru_cache(maxsize=1 << 14)
def _exact(k: float, n: float, tail: float) -> Interval:
    lower = beta_quantile(tail, k, n - k + 1) if k > 0 else 0.0
    upper = beta_quantile(1.0 - tail, k + 1, n - k) if k < n else 1.0
    return lower, upper


def proportion(k: int, n: int, level: float = 0.95, *, of: str = "samples", null: float | None = None) -> Metric:
    """Return k/n with its Clopper-Pearson interval; without trials the value is NaN and says "no ``of``".

    With a ``null`` the metric carries the p value of that rate: twice the smaller tail, as the interval has it.

    Raises:
        ValueError: as ``clopper_pearson``.
    """
    interval = clopper_pearson(k, n, level)
    if n == 0:
        return undefined(f"no {of}", level=level)
    p = None
    if null is not None:
        p = min(1.0, 2.0 * float(min(stats.binom.cdf(k, n, null), stats.binom.sf(k - 1, n, null))))
    return Metric(k / n, n, ci=interval, ci_level=level, ci_method=CLOPPER_PEARSON, p=p)


def weighted_proportion(right: ArrayLike, counts: ArrayLike, level: float = 0.95, *, of: str = "samples") -> Metric:
    """Return the share of rows that are right, where sample i makes up ``counts[i]`` rows of one outcome, shapes (N,).

    Clopper-Pearson's interval at the effective number of samples, (Σc)²/Σc² (Kish, Survey Sampling, 1965, sec. 11.7):
    rows of one sample are one trial. ``n`` counts samples.

    Raises:
        ValueError: a level outside (0, 1).
    """
    outcome, weights = np.asarray(right, dtype=np.bool_), np.asarray(counts, dtype=np.float64)
    if outcome.size == 0:
        return undefined(f"no {of}", level=level)
    share = float(weights[outcome].sum() / weights.sum())
    effective = float(weights.sum() ** 2 / (weights @ weights))
    return Metric(share, outcome.size, ci=clopper_pearson(share * effective, effective, level), ci_level=level,
                  ci_method=f"{CLOPPER_PEARSON} of effective samples")


def mean_of_independent(first: Metric, second: Metric, *, weight: float = 0.5) -> Metric:
    """Return w v₁ + (1 - w) v₂ of two independent estimates, its interval recovered from theirs (MOVER).

    lower = mean - √(w²(v₁-l₁)² + (1-w)²(v₂-l₂)²), upper likewise: Zou & Donner 2008, eq. 4. NaN where either is.

    Raises:
        ValueError: an estimate with a value but no interval, or two levels.
    """
    level, n = first.ci_level, first.n + second.n
    if second.ci_level != level:
        raise ValueError(f"intervals of two levels, {level} and {second.ci_level}")
    rest = 1.0 - weight
    value = weight * first.value + rest * second.value
    if math.isnan(value):
        return undefined(join_reasons(first.reason, second.reason) or "undefined", n, level=level)
    if first.ci is None or second.ci is None:
        raise ValueError("both estimates need an interval")
    below = math.hypot(weight * (first.value - first.ci[0]), rest * (second.value - second.ci[0]))
    above = math.hypot(weight * (first.ci[1] - first.value), rest * (second.ci[1] - second.value))
    return Metric(value, n, ci=(value - below, value + above), ci_level=level, ci_method="mover")


def difference_of_independent(first: Metric, second: Metric) -> Metric:
    """Return ``first`` - ``second`` of two independent estimates, its interval recovered from theirs (MOVER).

    lower = d - √((v₁-l₁)² + (u₂-v₂)²), upper = d + √((u₁-v₁)² + (v₂-l₂)²): Zou & Donner 2008, eq. 3. NaN where
    either is.

    Raises:
        ValueError: an estimate with a value but no interval, or two levels.
    """
    level, n = first.ci_level, first.n + second.n
    if second.ci_level != level:
        raise ValueError(f"intervals of two levels, {level} and {second.ci_level}")
    value = first.value - second.value
    if math.isnan(value):
        return undefined(join_reasons(first.reason, second.reason) or "undefined", n, level=level)
    if first.ci is None or second.ci is None:
        raise ValueError("both estimates need an interval")
    below = math.hypot(first.value - first.ci[0], second.ci[1] - second.value)
    above = math.hypot(first.ci[1] - first.value, second.value - second.ci[0])
    return Metric(value, n, ci=(value - below, value + above), ci_level=level, ci_method="mover")


def mean_metric(
    values: ArrayLike, level: float = 0.95, bounds: Interval = (-math.inf, math.inf), null: float | None = None
) -> Metric:
    """Return the mean of ``values`` of shape (N,) with Student's t-interval: for a few networks, nearly normal.

    Means over images are skewed, and some of them rest on a few images; they have ``means.mean_over_images``.

    ``bounds`` is the range that single values can have; the interval is cut off there, which costs no coverage. With a
    ``null`` the metric carries the p value of that mean: 0 for differences.

    NaN values (undefined for their sample) are left out and counted in ``reason``. An infinite value makes
    the mean infinite, without an interval; a single value has none either.

    Raises:
        ValueError: not one-dimensional, or a level outside (0, 1).
    """
    tail = _tail(level)
    kept, note = known_values(values, level)
    if kept.size == 0:
        return undefined(note or "no values", level=level)
    infinite = int(np.count_nonzero(np.isinf(kept)))
    if infinite:
        with np.errstate(invalid="ignore"):  # +inf and -inf together have no mean.
            mean = float(kept.mean())
        note = join_reasons(note, f"{infinite} of {np.size(values)} values are infinite")
        return Metric(mean, kept.size, ci_level=level, reason=note)
    mean = float(kept.mean())
    if kept.size > 1 and np.ptp(kept) == 0.0:
        return Metric(mean, kept.size, ci_level=level, reason=join_reasons(note, "all values are equal: no interval"))
    if kept.size == 1:
        return Metric(mean, 1, ci_level=level, reason=join_reasons(note, "a single value has no interval"))
    deviation = float(kept.std(ddof=1) / math.sqrt(kept.size))
    half = student_quantile(1.0 - tail, kept.size - 1) * deviation
    interval = (max(mean - half, bounds[0]), min(mean + half, bounds[1]))
    p = None if null is None else 2.0 * student_tail(abs(mean - null) / deviation, kept.size - 1)
    return Metric(mean, kept.size, ci=interval, ci_level=level, ci_method="student-t", reason=note, p=p)


def known_values(values: ArrayLike, level: float) -> tuple[NDArray[np.float64], str | None]:
    """Return the values of shape (N,) that are not NaN, and a note on how many were; the level is checked too.

    Raises:
        ValueError: not one-dimensional, or a level outside (0, 1).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values must have shape (N,), got {array.shape}")
    _tail(level)
    kept = array[~np.isnan(array)]
    left_out = array.size - kept.size
    return kept, f"{left_out} of {array.size} values are undefined and left out" if left_out else None


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1, got {level}")
    return (1.0 - level) / 2
