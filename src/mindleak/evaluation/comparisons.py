"""Several comparisons that answer one question: which of them hold once all of them are allowed for.

Of twenty comparisons where nothing is there, one is expected to exclude zero with its own 95 % interval. Holm's
correction (Scandinavian Journal of Statistics 6, 1979) keeps the probability of naming any such one at 5 %, whatever
the comparisons have to do with each other, and never names fewer than Bonferroni's. Where hundreds are looked at,
Benjamini & Hochberg's (J. R. Stat. Soc. B 57, 1995) keeps the expected share of false ones among those named at 5 %,
which is the same where nothing is there at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from mindleak.evaluation.metric import Interval

LEVEL = 0.05
HOLM, BENJAMINI_HOCHBERG = "Holm", "Benjamini-Hochberg"
# p is searched between these; a smaller one is given as the smallest, a larger one as 1.
_SMALLEST_P, _LARGEST_P = 1e-12, 0.999


@dataclass(frozen=True)
class Comparison:
    """One difference from what "nothing is there" would give, and the two-sided p value of that."""

    difference: float
    p: float

    @classmethod
    def of(cls, metric: Mapping[str, Any], null: float = 0.0) -> Comparison | None:
        """Return the comparison of a metric's JSON form with ``null``; None where it has no value or no interval.

        Raises:
            ValueError: the metric has an interval and no p value, so that it would be judged without correction.
        """
        ends = metric.get("ci") or ()
        numbers = [metric.get("value"), *ends]
        if len(numbers) < 3 or not all(number is not None and math.isfinite(number) for number in numbers):
            return None
        if metric.get("p") is None:
            raise ValueError(f"a comparison needs a p value: {dict(metric)}")
        return cls(float(metric["value"]) - null, float(metric["p"]))


class Family:
    """The comparisons that answer one question, judged together.

    Args:
        question: what is compared, in the plural: "AUCs compared with chance".
        comparisons: by key; those that are None are not judged, and do not count.
        correction: ``HOLM`` or ``BENJAMINI_HOCHBERG``.
        level: probability that anything is named where nothing is there.
    """

    def __init__(self, question: str, comparisons: Mapping[Any, Comparison | None], correction: str = HOLM,
                 level: float = LEVEL) -> None:
        known = {key: found for key, found in comparisons.items() if found is not None}
        self.question = question
        self.correction = correction
        self.level = level
        self.size = len(known)
        p_values = [found.p for found in known.values()]
        # SciPy's function refuses an empty list.
        adjusted = stats.false_discovery_control(p_values) if correction != HOLM and p_values else holm(p_values)
        self._ways = {key: int(np.sign(found.difference)) if p <= level else 0
                      for (key, found), p in zip(known.items(), adjusted)}

    def direction(self, key: Hashable) -> int:
        """Return −1 or +1 where a comparison holds after correction, and 0 where it does not or there is none."""
        return self._ways.get(key, 0)

    @property
    def strictest(self) -> float:
        """The confidence level that an interval has to exclude "nothing" at to be named whatever the others say."""
        return 1.0 - self.level / max(self.size, 1)

    @property
    def held(self) -> int:
        """The number of comparisons that hold."""
        return sum(way != 0 for way in self._ways.values())

    def __str__(self) -> str:
        return f"of {self.size} {self.question}, {self.correction}-corrected at {100 * self.level:g} %"


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p values, shape (m,): those at most α may be named together at level α.

    The k-th smallest of m is multiplied by m - k + 1, none gets smaller than one before it, and none exceeds 1.

    Raises:
        ValueError: not one-dimensional, or a p value outside [0, 1].
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not ((given >= 0.0) & (given <= 1.0)).all():
        raise ValueError(f"p values lie in [0, 1] and have shape (m,), got {given}")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def p_by_inversion(interval: Callable[[float], Interval], null: float = 0.0) -> float:
    """Return the p value of ``null`` that a family of nested intervals implies: 1 - the level that just reaches it.

    For intervals whose test has no closed form, as those combined of two others.

    Args:
        interval: the interval at a confidence level; wider at a higher one.
        null: value that is tested.
    """
    def outside(log_p: float) -> float:
        low, high = interval(1.0 - math.exp(log_p))
        return max(low - null, null - high)

    return _solved(outside)


def equal_rates_p(first: int, n_first: int, second: int, n_second: int) -> float:
    """Return the p value of two independent rates being equal, as their difference's interval implies it.

    That of ``intervals.difference_of_independent`` of two ``intervals.proportion``: it reaches zero where
    d² = (r₁ - l₁)² + (u₂ - r₂)², for the larger rate r₁ and Clopper-Pearson's ends.

    Args:
        first, n_first, second, n_second: successes and trials of each, at least one trial.
    """
    pairs = sorted(((first, n_first), (second, n_second)), key=lambda pair: pair[0] / pair[1])
    (less, n_less), (more, n_more) = pairs
    low_rate, high_rate = less / n_less, more / n_more

    def excess(log_p: float) -> float:
        tail = math.exp(log_p) / 2
        lower = special.betaincinv(more, n_more - more + 1, tail) if more else 0.0
        upper = special.betaincinv(less + 1, n_less - less, 1.0 - tail) if less < n_less else 1.0
        return float(high_rate - low_rate - math.hypot(high_rate - lower, upper - low_rate))

    return _solved(excess)


def _solved(outside: Callable[[float], float]) -> float:
    """Return the p at whose logarithm ``outside``, how far the null lies outside the interval, is zero."""
    smallest, largest = math.log(_SMALLEST_P), math.log(_LARGEST_P)
    if outside(largest) <= 0.0:
        return 1.0
    if outside(smallest) > 0.0:
        return _SMALLEST_P
    return math.exp(optimize.brentq(outside, smallest, largest, xtol=1e-7))
