"""Quantiles and tails of three distributions: SciPy's values, without what its distributions check first.

A report needs thousands of them, one at a time, and ``scipy.stats`` takes about half a millisecond for each.
"""

from __future__ import annotations

from scipy import special


def normal_quantile(probability: float) -> float:
    """Return the value that a standard normal variable stays below with a probability.

    Example:
        >>> round(normal_quantile(0.975), 4)
        1.96
    """
    return float(special.ndtri(probability))


def normal_tail(value: float) -> float:
    """Return the probability that a standard normal variable exceeds a value."""
    return float(special.ndtr(-value))


def student_quantile(probability: float, freedom: float) -> float:
    """Return the value that Student's t with so many degrees of freedom stays below with a probability."""
    return float(special.stdtrit(freedom, probability))


def student_tail(value: float, freedom: float) -> float:
    """Return the probability that Student's t with so many degrees of freedom exceeds a value."""
    return float(special.stdtr(freedom, -value))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the value that a beta variable with shapes ``a`` and ``b`` stays below with a probability."""
    return float(special.betaincinv(a, b, probability))
