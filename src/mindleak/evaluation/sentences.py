"""How numbers stand in findings and messages."""

from __future__ import annotations


def percent(value: float) -> str:
    """Write a fraction as a percentage: 0.125 as "12.50 %"."""
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    """Write a difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.2f}"
