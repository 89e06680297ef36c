"""Intervals of means over images, whose single values are bounded, skewed, or nearly all alike but for a few.

Student's t trusts the spread that was seen. Where one image in twenty is recognised (confidence near 1, near 0 for the
others), 30 images have none of these in a fifth of all samples, and t then says that hardly any confidence is possible.
Only the range of the values can tell of images that were not seen, so an end of the interval is Gaffke's wherever the
values have a bound on that side (Gaffke, Statistics 39, 2005; Learned-Miller & Thomas, arXiv 1905.06208). Where they
have none it is the wider of Student's t and the bootstrap of t (Efron &
Tibshirani 1993, sec. 12.5), which follows skewed values better than either; no method without a bound can
know of rare images of another kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.evaluation.distributions import student_quantile, student_tail
from mindleak.evaluation.intervals import known_values
from mindleak.evaluation.metric import Interval, Metric, join_reasons, undefined

GAFFKE = "Gaffke's mean of bounded values"
STUDENTISED = "the wider of Student's t and bootstrap-t"
UNBOUNDED: Interval = (-math.inf, math.inf)
# Resamples of fewer values often have no spread at all, so that t is used alone.
FEWEST_RESAMPLED = 5
RESAMPLES = 1999
# Draws for Gaffke's ends. They give the tail outside to within a tenth (one standard error of .0011). More than a
# thousand values get fewer draws and a seventh, because there the ends hardly differ from Student's.
MANY_DRAWS, FEW_DRAWS, MANY_VALUES = 19_999, 1999, 1000
# So many weights are held at once: 32 MiB.
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class _End:
    """One end of an interval, and how likely a mean as far out as the null hypothesis's is on that side."""

    value: float
    tail: float


def mean_over_images(values: ArrayLike, level: float = 0.95, bounds: Interval = UNBOUNDED,
                     null: float | None = None) -> Metric:
    """Return the mean of per-image ``values`` of shape (N,) with an interval that covers skewed values too.

    ``bounds`` is the range that single values can have; infinite where there is no bound. NaN values (undefined for
    their image) are left out and counted in ``reason``. An infinite value makes the mean infinite, without an interval.
    A single value, or values that are all equal, have one only where both ends are bounded. With a ``null`` the metric
    carries the p value of that mean, by the same draws.

    Raises:
        ValueError: not one-dimensional, or a level outside (0, 1).
    """
    kept, note = known_values(values, level)
    if kept.size == 0:
        return undefined(note or "no values", level=level)
    infinite = int(np.count_nonzero(np.isinf(kept)))
    with np.errstate(invalid="ignore"):  # +inf and -inf together have no mean.
        mean = float(kept.mean())
    if infinite:
        return Metric(mean, kept.size, ci_level=level, reason=join_reasons(note, f"{infinite} values are infinite"))
    bounded = [math.isfinite(bound) for bound in bounds]
    if not all(bounded) and np.ptp(kept) == 0.0:
        alike = "a single value has no interval" if kept.size == 1 else "all values are equal: no interval"
        return Metric(mean, kept.size, ci_level=level, reason=join_reasons(note, alike))
    ends = _studentised(kept, level, null) if not all(bounded) else _gaffke(kept, bounds, level, null)
    if any(bounded) and not all(bounded):
        ends = [theirs if has_bound else own
                for own, theirs, has_bound in zip(ends, _gaffke(kept, bounds, level, null), bounded)]
    lower, upper = ends
    # Rounding of the weights may push an end past a bound, or past the mean where values lie at the bound.
    interval = max(min(lower.value, mean), bounds[0]), min(max(upper.value, mean), bounds[1])
    p = None if null is None else min(1.0, 2.0 * min(lower.tail, upper.tail))
    return Metric(mean, kept.size, ci=interval, ci_level=level, ci_method=_method(bounded), reason=note, p=p)


def _method(bounded: list[bool]) -> str:
    """Name how the ends were found."""
    if all(bounded):
        return GAFFKE
    if not any(bounded):
        return STUDENTISED
    return f"{GAFFKE} {'below' if bounded[0] else 'above'}, {STUDENTISED} {'above' if bounded[0] else 'below'}"


def _gaffke(values: NDArray[np.float64], bounds: Interval, level: float, null: float | None) -> list[_End]:
    """Return both ends of the mean of values within ``bounds``; an end without a bound is infinite.

    The upper end is the upper quantile of Σ D_i z_i: z the values in order and the upper bound behind them, D uniform
    on the simplex; the lower end likewise. For zeros and ones these are Clopper & Pearson's. The quantiles are of draws
    by a fixed seed, given to the values in their order: equal images have equal intervals.
    """
    ordered = np.sort(values)
    lowest, highest = min(bounds[0], float(ordered[0])), max(bounds[1], float(ordered[-1]))
    draws = MANY_DRAWS if ordered.size <= MANY_VALUES else FEW_DRAWS
    below, above = np.empty(draws), np.empty(draws)
    rows = max(1, _BLOCK_ELEMENTS // (ordered.size + 1))
    for start in range(0, draws, rows):
        part = slice(start, min(start + rows, draws))
        weights = _simplex(ordered.size + 1, part.start, part.stop)
        below[part] = weights[:, 1:] @ ordered + (weights[:, 0] * lowest if math.isfinite(lowest) else -math.inf)
        above[part] = weights[:, :-1] @ ordered + (weights[:, -1] * highest if math.isfinite(highest) else math.inf)
    return [_lower_end(below, level, null), _mirrored(_lower_end(-above, level, None if null is None else -null))]


def _lower_end(drawn: NDArray[np.float64], level: float, null: float | None) -> _End:
    """Return the lower quantile of draws, and the share of them up to ``null``, the observed one counted."""
    rank = max(1, round((1.0 - level) / 2 * (drawn.size + 1)))
    beyond = 1.0 if null is None else (int(np.count_nonzero(drawn <= null)) + 1) / (drawn.size + 1)
    return _End(float(np.partition(drawn, rank - 1)[rank - 1]), beyond)


def _mirrored(end: _End) -> _End:
    return _End(-end.value, end.tail)


@lru_cache(maxsize=4)
def _simplex(size: int, start: int, stop: int) -> NDArray[np.float64]:
    """Return points drawn uniformly from the simplex, shape (stop - start, size): each row sums to 1."""
    weights = np.random.default_rng([size, start]).exponential(size=(stop - start, size))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _studentised(values: NDArray[np.float64], level: float, null: float | None) -> list[_End]:
    """Return the wider end, on either side, of Student's t and of the bootstrap's own distribution of t.

    A resample without spread has an infinite t; where these are more than the tail holds, that end knows no bound.
    """
    size, mean = values.size, float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(size)
    reach = student_quantile((1.0 + level) / 2, size - 1)
    student = [_End(mean - reach * error, 1.0 if null is None else student_tail((mean - null) / error, size - 1)),
               _End(mean + reach * error, 1.0 if null is None else student_tail((null - mean) / error, size - 1))]
    if size < FEWEST_RESAMPLED:
        return student
    drawn = values[np.random.default_rng(0).integers(0, size, (RESAMPLES, size))]
    shift, spread = drawn.mean(axis=1) - mean, drawn.std(axis=1, ddof=1) / math.sqrt(size)
    # Equal values have a spread of rounding only.
    flat = np.ptp(drawn, axis=1) == 0.0
    ratio = np.where(flat, np.copysign(math.inf, shift), shift / np.where(flat, 1.0, spread))
    resampled = [_lower_end(mean - ratio * error, level, null),
                 _mirrored(_lower_end(ratio * error - mean, level, None if null is None else -null))]
    return [_End(pick(own.value, other.value), max(own.tail, other.tail))
            for pick, own, other in zip((min, max), student, resampled)]
