"""Means over networks that are each other's references: an interval that knows who was whose reference.

Where every network is attacked with the others as its references, the same pair of networks makes part of two figures,
and a network that differs from the others shows in all of them. The figures are correlated, and Student's t over them
takes them for independent: it is too narrow. How much each reference makes of each figure tells the covariance: it is
the sum of the covariances between two networks' parts that have a network in common, estimated like the components of
variance of a diallel (Griffing, Australian Journal of Biological Sciences 9, 1956; Fafchamps & Gubert, Journal of
Development Economics 83, 2007, for any statistic of pairs).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.evaluation.distributions import student_quantile, student_tail
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Interval, Metric

# Where nothing but chance tells K networks apart, two figures share only what the two networks contribute to each
# other's. That covariance adds as much variance to the mean as Student's t assumes in all. Estimates from a handful of
# networks often come out lower, so at least this share of what t assumes is added.
LEAST_SHARE = 1.0


def reference_parts(value: float, slopes: ArrayLike) -> NDArray[np.float64]:
    """Return what each reference makes of a target's figure: values whose mean is the figure, one per reference.

    Counting reference j (1 + w) times instead of once changes a mean over n references by w·(hⱼ - mean)/n, so
    hⱼ = figure + n·slopeⱼ. Slopes are centred first: to count all references more often changes nothing.

    Args:
        value: the target's figure.
        slopes: its derivative by the weight of each of n references, shape (n,).
    """
    slope_array = np.asarray(slopes, dtype=np.float64)
    return np.asarray(value + slope_array.size * (slope_array - slope_array.mean()))


def covariance(parts: ArrayLike) -> float:
    """Return the mean covariance between the figures of two networks.

    A figure is the mean of its n = K - 1 parts. The figures of k and l have in common what k and l make of each other
    (covariance a₁ of h_kl and h_lk), what each third network makes of both (a₃ of h_kj and h_lj), and that each is a
    reference of the other while it has references itself (a₄ of h_kl and h_lj):
    Cov = (a₁ + (K - 2)·a₃ + 2·(K - 2)·a₄)/n². Each a is the mean product over all such pairs of parts, less the mean
    product of parts without a common network: these have no covariance, but that of the mean subtracted from them.

    Args:
        parts: h, targets by rows and references by columns, shape (K, K), K at least 4; the diagonal is not looked at.

    Raises:
        ValueError: another shape.
    """
    rest = np.array(parts, dtype=np.float64)
    models = len(rest)
    if rest.shape != (models, models) or models < 4:
        raise ValueError(f"parts must have shape (K, K), K at least 4, got {rest.shape}")
    np.fill_diagonal(rest, 0.0)
    entries = models * (models - 1)
    rest -= rest.sum() / entries
    np.fill_diagonal(rest, 0.0)
    by_target, by_reference = rest.sum(axis=1), rest.sum(axis=0)
    equal = float((rest**2).sum())
    mutual = float((rest * rest.T).sum())
    same_target, same_reference = (float((sums**2).sum()) - equal for sums in (by_target, by_reference))
    chained = 2 * (float((by_target * by_reference).sum()) - mutual)
    apart = float(rest.sum()) ** 2 - equal - mutual - same_target - same_reference - chained
    nothing = apart / (entries * (models - 2) * (models - 3))
    third = models - 2
    found = (mutual / entries - nothing + third * (same_reference / (entries * third) - nothing)
             + 2 * third * (chained / (2 * entries * third) - nothing))
    return found / (models - 1) ** 2


def mean_over_siblings(values: ArrayLike, parts: ArrayLike, level: float = 0.95,
                       bounds: Interval = (-math.inf, math.inf), null: float | None = None) -> Metric:
    """Return the mean of the networks' figures with an interval that allows for their covariance.

    The variance of the mean is s²/K, which Student's t takes, plus the covariance of two figures: s² estimates their
    variance less that. The covariance is taken to be at least ``LEAST_SHARE`` of s²/K. K - 1 degrees of freedom.

    Args:
        values: one figure per network, shape (K,).
        parts: ``reference_parts`` of each, shape (K, K); for differences, those of one variant less the other's.
        level: confidence level.
        bounds: as in ``mean_metric``.
        null: as in ``mean_metric``.

    Raises:
        ValueError: shapes that do not fit, or a level outside (0, 1).
    """
    plain = mean_metric(values, level, bounds, null)
    if plain.ci is None:
        return plain
    figures = np.asarray(values, dtype=np.float64)
    if np.shape(parts) != (figures.size, figures.size):
        raise ValueError(f"parts must have shape {(figures.size, figures.size)}, got {np.shape(parts)}")
    independent = float(figures.var(ddof=1)) / figures.size
    deviation = math.sqrt(independent + max(covariance(parts), LEAST_SHARE * independent))
    freedom = figures.size - 1
    half = student_quantile((1.0 + level) / 2, freedom) * deviation
    interval = (max(plain.value - half, bounds[0]), min(plain.value + half, bounds[1]))
    p = None if null is None else 2.0 * student_tail(abs(plain.value - null) / deviation, freedom)
    return Metric(plain.value, plain.n, ci=interval, ci_level=level, ci_method="student-t, shared references",
                  reason=plain.reason, p=p)
