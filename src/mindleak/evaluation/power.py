"""What a sample size could have shown: "not detected" means little where nothing could have been detected.

All tests are two-sided at ``1 - level``, as the reported intervals are: half of it is on the side of leakage.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from mindleak.evaluation.roc import hanley_mcneil_variance

# Quadrature points over the unknown true false-positive rate of a threshold; .1 % of power or better.
_QUADRATURE = 512


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


def smallest_detectable_tpr(n_in: int, n_out: int, fpr: float, level: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest true TPR at ``fpr`` that exceeds ``chance_tpr_limit`` with probability ``power``.

    The threshold's true false-positive rate u is beta(k+1, n_out-k); away from ``fpr`` the curve is taken to
    be Φ(Φ⁻¹(u) + μ), scores N(0, 1) against N(μ, 1). NaN when not even a perfect attack would be significant.

    Raises:
        ValueError: counts below 1, or ``fpr``, level or power outside (0, 1).
    """
    _check(n_in, n_out, level, power, fpr)
    limit = _chance_count(n_in, n_out, fpr, level)
    if limit >= n_in:
        return math.nan
    probabilities = (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE
    deviates = stats.norm.ppf(_threshold_rate(n_out, fpr).ppf(probabilities))

    def shortfall(shift: float) -> float:
        rates: NDArray[np.float64] = stats.norm.cdf(deviates + shift)
        return float(np.mean(stats.binom.sf(limit, n_in, rates)) - power)

    # At no shift the power is below (1 - level)/2; 40 standard deviations separate any two samples.
    shift = optimize.brentq(shortfall, 0.0, 40.0) if shortfall(0.0) < 0 else 0.0
    return float(stats.norm.cdf(stats.norm.ppf(fpr) + shift))


def largest_fpr_with_zero_false_positives(n_out: int, level: float = 0.95) -> float:
    """Return the largest false-positive rate that zero of ``n_out`` leaves possible, 1 - (1-level)^(1/n_out).

    One-sided: the upper Clopper-Pearson limit with all of 1 - level above it.

    Raises:
        ValueError: ``n_out`` below 1, or a level outside (0, 1).
    """
    _check(1, n_out, level, 0.5)
    return -math.expm1(math.log1p(-level) / n_out)


def resolvable_fpr(n_out: int) -> float:
    """Return the smallest non-zero false-positive rate that ``n_out`` non-members can show: 1/n_out.

    Raises:
        ValueError: ``n_out`` below 1.
    """
    _check(1, n_out, 0.5, 0.5)
    return 1.0 / n_out


def _threshold_rate(n_out: int, fpr: float) -> stats.rv_continuous:
    """Return the distribution of the true rate above the (k+1)-th highest of ``n_out``, k = ⌊fpr·n_out⌋."""
    k = _allowed(n_out, fpr)
    return stats.beta(k + 1, n_out - k)


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
