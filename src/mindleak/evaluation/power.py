"""What a sample size could have shown: "not detected" means little where nothing could have been detected.

An effect is the smallest for one test, the one that gives the verdict: of the area by its interval, of a rate at a
threshold of other models by the interval of TPR - FPR, of a rate on the subject's own ROC by the precedence test. All
are two-sided at ``1 - level``, as the reported intervals are: half of it is on the side of leakage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from mindleak.evaluation.roc import hanley_mcneil_variance

# Quadrature points over the unknown true false-positive rate of a threshold. They give power to within .1 %.
_QUADRATURE = 512
# Fewer points where each costs a sum over counts. They give power to within .5 %.
_FEW_NODES = 64
# Numbers of false positives that together have no more than this probability are left out.
_NEGLIGIBLE = 1e-9


def smallest_detectable_auc(n_in: int, n_out: int, level: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest true AUC > .5 that a two-sided test of AUC = .5 finds with probability ``power``.

    Solves θ - ½ = z·√V(½) + z_power·√V(θ), z the normal quantile at (1 + level)/2 and V by Hanley & McNeil
    (Radiology 143, 1982): exact under the null and for exponential scores. NaN when not even perfect
    separation would be significant.

    Raises:
        ValueError: counts below 1, or level or power outside (0, 1).
    """
    _check(n_in, n_out, level, power)
    noise = stats.norm.ppf((1.0 + level) / 2) * math.sqrt(hanley_mcneil_variance(0.5, n_in, n_out))
    z_power = stats.norm.ppf(power)

    def margin(area: float) -> float:
        return float(area - 0.5 - noise - z_power * math.sqrt(hanley_mcneil_variance(area, n_in, n_out)))

    return float(optimize.brentq(margin, 0.5, 1.0)) if margin(1.0) > 0 > margin(0.5) else math.nan


def chance_tpr_limit(n_in: int, n_out: int, fpr: float, level: float = 0.95) -> float:
    """Return the largest TPR at the realised rate ⌊fpr·n_out⌋/n_out that chance alone may show.

    With k = ⌊fpr·n_out⌋ and scores that say nothing, the number of members above the (k+1)-th highest
    non-member is beta-binomial(n_in, k+1, n_out-k), whatever the scores' distribution: the precedence test
    (Nelson, Technometrics 5, 1963). A TPR above the limit has probability at most (1 - level)/2. Unlike the
    Clopper-Pearson interval of a TPR this counts the threshold's own uncertainty. Continuous scores assumed.

    Raises:
        ValueError: counts below 1, or ``fpr`` or level outside (0, 1).
    """
    _check(n_in, n_out, level, 0.5, fpr)
    return _chance_count(n_in, n_out, fpr, level) / n_in


def chance_tpr_p(n_in: int, n_out: int, fpr: float, members_above: int) -> float:
    """Return the two-sided p value of ``members_above`` members at the realised rate, as ``chance_tpr_limit`` has it.

    Raises:
        ValueError: as ``chance_tpr_limit``.
    """
    _check(n_in, n_out, 0.5, 0.5, fpr)
    k = _allowed(n_out, fpr)
    return min(1.0, 2.0 * float(stats.betabinom.sf(members_above - 1, n_in, k + 1, n_out - k)))


def smallest_detectable_own_roc_tpr(n_in: int, n_out: int, fpr: float, level: float = 0.95,
                                    power: float = 0.8) -> float:
    """Return the smallest true TPR at ``fpr`` that exceeds ``chance_tpr_limit`` with probability ``power``.

    The threshold's true false-positive rate u is beta(k+1, n_out-k); away from ``fpr`` the curve is taken to
    be Φ(Φ⁻¹(u) + μ), scores N(0, 1) against N(μ, 1). NaN when not even a perfect attack would be significant, and
    where ``fpr`` is below 1/n_out: there the rate on the subject's own ROC has no verdict.

    Raises:
        ValueError: counts below 1, or ``fpr``, level or power outside (0, 1).
    """
    _check(n_in, n_out, level, power, fpr)
    limit = _chance_count(n_in, n_out, fpr, level)
    if limit >= n_in or _allowed(n_out, fpr) == 0:
        return math.nan
    deviates = stats.norm.ppf(_threshold_rate(n_out, fpr).ppf(_midpoints(_QUADRATURE)))

    def found(shift: float) -> float:
        return float(np.mean(stats.binom.sf(limit, n_in, stats.norm.cdf(deviates + shift))))

    return _rate_with_power(found, fpr, power)


def smallest_detectable_tpr(n_in: int, n_out: int, fpr: float, n_threshold: int | None = None, level: float = 0.95,
                            power: float = 0.8) -> float:
    """Return the smallest true TPR at ``fpr`` for which TPR - FPR at a threshold of other models is shown above zero.

    Shown: the interval of ``intervals.difference_of_independent`` excludes zero, with probability ``power``. The
    threshold is the k-th highest of ``n_threshold`` non-members, k = ⌊fpr·(n_threshold + 1)⌋
    (``thresholds.threshold_at_fpr``), so its true false-positive rate u is beta(k, n_threshold + 1 - k); away from
    ``fpr`` the curve is taken to be Φ(Φ⁻¹(u) + μ). Without ``n_threshold`` the threshold realises ``fpr`` itself. NaN
    where there is no threshold, where ``fpr`` is below 1/n_out, and when not even a perfect attack would be shown.

    Raises:
        ValueError: counts below 1, or ``fpr``, level or power outside (0, 1).
    """
    _check(min(n_in, n_threshold or 1), n_out, level, power, fpr)
    rates = np.array([fpr]) if n_threshold is None else _fixed_threshold_rates(n_threshold, fpr)
    if _allowed(n_out, fpr) == 0 or rates.size == 0:
        return math.nan
    alarms = np.arange(int(stats.binom.isf(_NEGLIGIBLE, n_out, rates.max())) + 1)
    chances = stats.binom.pmf(alarms, n_out, rates[:, None])
    fewest, deviates = _fewest_hits(alarms, n_in, n_out, level), stats.norm.ppf(rates)[:, None]

    def found(shift: float) -> float:
        return float(np.mean(np.sum(chances * stats.binom.sf(fewest - 1, n_in, stats.norm.cdf(deviates + shift)), 1)))

    return _rate_with_power(found, fpr, power)


def _fewest_hits(alarms: NDArray[np.int64], n_in: int, n_out: int, level: float) -> NDArray[np.int64]:
    """Return, per number of accused non-members, how many members found show TPR above FPR; n_in + 1 where none do.

    By the lower end of ``difference_of_independent`` of two Clopper-Pearson intervals, which rises with the members.
    """
    tail = (1.0 - level) / 2
    hits = np.arange(1, n_in + 1)
    low = np.concatenate([[0.0], stats.beta.ppf(tail, hits, n_in - hits + 1)])
    high = np.where(alarms < n_out, stats.beta.ppf(1.0 - tail, alarms + 1, np.maximum(n_out - alarms, 1)), 1.0)
    accused, fewest, most = alarms / n_out, np.zeros_like(alarms), np.full_like(alarms, n_in + 1)
    while (fewest < most).any():
        middle = np.minimum((fewest + most) // 2, n_in)
        found = middle / n_in
        shown = found - np.hypot(found - low[middle], high - accused) > accused
        most, fewest = np.where(shown, middle, most), np.where(shown | (fewest == most), fewest, middle + 1)
    return fewest


def _fixed_threshold_rates(n_threshold: int, fpr: float) -> NDArray[np.float64]:
    """Return equally likely true false-positive rates of a threshold that so many non-members set; none without one."""
    rank = math.floor(round(fpr * (n_threshold + 1), 9))
    rates: NDArray[np.float64] = stats.beta(max(rank, 1), n_threshold + 1 - rank).ppf(_midpoints(_FEW_NODES))
    return rates if rank else rates[:0]


def _rate_with_power(found: Callable[[float], float], fpr: float, power: float) -> float:
    """Return the TPR at ``fpr`` of the smallest shift of the members' scores whose power is ``power``; NaN if none."""
    # 40 standard deviations separate any two samples.
    if found(40.0) < power:
        return math.nan
    shift = optimize.brentq(lambda shift: found(shift) - power, 0.0, 40.0) if found(0.0) < power else 0.0
    return float(stats.norm.cdf(stats.norm.ppf(fpr) + shift))


def _midpoints(count: int) -> NDArray[np.float64]:
    return (np.arange(count) + 0.5) / count


def largest_fpr_with_zero_false_positives(n_out: int, level: float = 0.95) -> float:
    """Return the largest false-positive rate that zero of ``n_out`` leaves possible, 1 - (1-level)^(1/n_out).

    One-sided: the upper Clopper-Pearson limit with all of 1 - level above it.

    Raises:
        ValueError: ``n_out`` below 1, or a level outside (0, 1).
    """
    _check(1, n_out, level, 0.5)
    return -math.expm1(math.log1p(-level) / n_out)


def _threshold_rate(n_out: int, fpr: float) -> stats.rv_continuous:
    """Return the distribution of the true rate above the (k+1)-th highest of ``n_out``, k = ⌊fpr·n_out⌋."""
    k = _allowed(n_out, fpr)
    return stats.beta(k + 1, n_out - k)


@lru_cache(maxsize=1 << 10)
def _chance_count(n_in: int, n_out: int, fpr: float, level: float) -> int:
    k = _allowed(n_out, fpr)
    return int(stats.betabinom.ppf((1.0 + level) / 2, n_in, k + 1, n_out - k))


def _allowed(n_out: int, fpr: float) -> int:
    """Return the largest k with k/n_out <= fpr, by the same comparison as ``roc.tpr_at_fpr``."""
    return int(np.searchsorted(np.arange(1, n_out + 1) / n_out, fpr, side="right"))


def _check(n_in: int, n_out: int, level: float, power: float, fpr: float = 0.5) -> None:
    if min(n_in, n_out) < 1:
        raise ValueError(f"both groups need samples, got {n_in} and {n_out}")
    for name, value in (("level", level), ("power", power), ("fpr", fpr)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} lies between 0 and 1, got {value}")


def detectable_shift(interval: tuple[float, float], n: int, level: float = 0.95, power: float = 0.8) -> float | None:
    """Return how far a mean would have to be from its null to be shown with the given power.

    For a mean of ``n`` values with Student's interval: (t_{(1 + level)/2} + t_power) standard errors, the error being
    what the interval's width says it is. An interval that was cut off at a bound makes it too small.

    Args:
        interval: of the mean, at 95 %.
        n: values that it is the mean of.
        level: confidence level at which the interval has to exclude the null.
        power: probability of showing it.

    Returns:
        The distance, more than half of an interval of that level; None for fewer than two values.

    Raises:
        ValueError: level or power outside (0, 1).

    Example:
        >>> round(detectable_shift((0.4, 0.6), 8), 3)
        0.138
    """
    _check(1, 1, level, power)
    if n < 2:
        return None
    error = (interval[1] - interval[0]) / 2 / float(stats.t.ppf(0.975, n - 1))
    return error * float(stats.t.ppf((1 + level) / 2, n - 1) + stats.t.ppf(power, n - 1))
