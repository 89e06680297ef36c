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
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mindleak.evaluation.intervals import known_values
from mindleak.evaluation.metric import Interval, Metric, join_reasons, undefined

GAFFKE = "Gaffke's mean of bounded values"
STUDENTISED = "the wider of Student's t and bootstrap-t"
UNBOUNDED: Interval = (-math.inf, math.inf)
# Fewer values than these often give resamples without any spread, and t alone has to do.
FEWEST_RESAMPLED = 5
RESAMPLES = 1999
# Draws behind Gaffke's ends: the tail outside is right to a tenth (one standard error of .0011), or with more than a
# thousand values, where the ends hardly differ from Student's, to a seventh.
MANY_DRAWS, FEW_DRAWS, MANY_VALUES = 19_999, 1999, 1000
# Weights held at once: 32 MiB.
_BLOCK_ELEMENTS = 1 << 22


def mean_over_images(values: ArrayLike, level: float = 0.95, bounds: Interval = UNBOUNDED) -> Metric:
    """Return the mean of per-image ``values`` of shape (N,) with an interval that covers skewed values too.

    ``bounds`` is the range that single values can have; infinite where there is no bound. NaN values (undefined for
    their image) are left out and counted in ``reason``. An infinite value makes the mean infinite, without an interval;
    so has a single value, or values that are all equal, unless both ends are bounded.

    Raises:
        ValueError: not one-dimensional, or a level outside (0, 1).
    """
    kept, note = known_values(values, level)
    if kept.size == 0:
        return undefined(note or "no values", level=level)
    infinite = int(np.count_nonzero(np.isinf(kept)))
    with np.errstate(invalid="ignore"):  # +inf and -inf together have no mean
        mean = float(kept.mean())
    if infinite:
        return Metric(mean, kept.size, ci_level=level, reason=join_reasons(note, f"{infinite} values are infinite"))
    bounded = [math.isfinite(bound) for bound in bounds]
    if not all(bounded) and np.ptp(kept) == 0.0:
        alike = "a single value has no interval" if kept.size == 1 else "all values are equal: no interval"
        return Metric(mean, kept.size, ci_level=level, reason=join_reasons(note, alike))
    tail = (1.0 - level) / 2
    lower, upper = UNBOUNDED if all(bounded) else _studentised(kept, tail)
    if any(bounded):
        lowest, highest = _gaffke(kept, bounds, tail)
        lower, upper = lowest if bounded[0] else lower, highest if bounded[1] else upper
    # Rounded weights may lead past a bound, or an end past the mean of values at the bound.
    lower, upper = max(min(lower, mean), bounds[0]), min(max(upper, mean), bounds[1])
    return Metric(mean, kept.size, ci=(lower, upper), ci_level=level, ci_method=_method(bounded),
                  reason=note)


def _method(bounded: list[bool]) -> str:
    """Name how the ends were found."""
    if all(bounded):
        return GAFFKE
    if not any(bounded):
        return STUDENTISED
    return f"{GAFFKE} {'below' if bounded[0] else 'above'}, {STUDENTISED} {'above' if bounded[0] else 'below'}"


def _gaffke(values: NDArray[np.float64], bounds: Interval, tail: float) -> Interval:
    """Return both ends of the mean of values within ``bounds``; an end without a bound is infinite.

    The upper end is the (1 - tail) quantile of Σ D_i z_i: z the values in order and the upper bound behind them, D
    uniform on the simplex; the lower end likewise. For zeros and ones these are Clopper & Pearson's. The quantiles are
    of draws by a fixed seed, given to the values in their order: equal images have equal intervals.
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
    rank = max(1, round(tail * (draws + 1)))
    return float(np.partition(below, rank - 1)[rank - 1]), float(np.partition(above, draws - rank)[draws - rank])


@lru_cache(maxsize=4)
def _simplex(size: int, start: int, stop: int) -> NDArray[np.float64]:
    """Return points drawn uniformly from the simplex, shape (stop - start, size): each row sums to 1."""
    weights = np.random.default_rng([size, start]).exponential(size=(stop - start, size))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _studentised(values: NDArray[np.float64], tail: float) -> Interval:
    """Return the wider end, on either side, of Student's t and of the bootstrap's own distribution of t.

    A resample without spread has an infinite t; where these are as many as ``tail``, that end knows no bound.
    """
    size, mean = values.size, float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(size)
    reach = float(stats.t.ppf(1.0 - tail, size - 1))
    below = above = reach
    if size >= FEWEST_RESAMPLED:
        drawn = values[np.random.default_rng(0).integers(0, size, (RESAMPLES, size))]
        shift, spread = drawn.mean(axis=1) - mean, drawn.std(axis=1, ddof=1) / math.sqrt(size)
        # Equal values have a spread of rounding only.
        flat = np.ptp(drawn, axis=1) == 0.0
        ratio = np.sort(np.where(flat, np.copysign(math.inf, shift), shift / np.where(flat, 1.0, spread)))
        rank = round(tail * (RESAMPLES + 1))
        below, above = max(reach, float(ratio[RESAMPLES - rank])), max(reach, -float(ratio[rank - 1]))
    return mean - below * error, mean + above * error
