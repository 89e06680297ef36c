"""The questions that findings answer, each with all comparisons that were looked at to answer it.

What the findings put in words is what holds after Holm's correction over all comparisons of one question in the whole
audit; the intervals beside the words are each at their own 95 % level.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Optional

from mindleak.evaluation.comparisons import HOLM, Comparison, Family
from mindleak.evaluation.metric import Interval, Record
from mindleak.evaluation.power import smallest_detectable_auc

POWER = 0.8


class Questions:
    """Collects the families of an audit's findings, to say at the end what was corrected for what, and how."""

    def __init__(self, correction: str = HOLM) -> None:
        self._correction = correction
        self._families: list[Family] = []

    def ask(self, question: str, comparisons: Mapping[Any, Comparison | None]) -> Family:
        """Return the family of all comparisons of a question, which is named in the plural: "AUCs against chance"."""
        family = Family(question, comparisons, self._correction)
        self._families.append(family)
        return family

    def correction(self) -> Iterator[str]:
        """Say how many comparisons each question was answered from, where any has more than one."""
        several = [family for family in self._families if family.size > 1]
        if several:
            asked = "; ".join(f"{family.size} {family.question}, of which {family.held or 'none'} hold"
                              + ("s" if family.held == 1 else "") for family in several)
            yield (f"Verdicts in words are {self._correction}-corrected at {100 * several[0].level:g} % within each "
                   f"question: {asked}. Intervals are each at their own 95 % level.")


def known_interval(metric: Record) -> Optional[Interval]:
    """Return a metric's interval, or None where the metric has no value or an end has no bound."""
    ends = metric.get("ci") or ()
    known = [float(number) for number in (metric.get("value"), *ends) if number is not None]
    return (known[1], known[2]) if len(known) == 3 and all(map(math.isfinite, known)) else None


def alone(family: Family, key: Hashable, interval: Interval, null: float = 0.0) -> str:
    """Say that an interval excludes ``null`` where the comparison does not hold after correction; else nothing."""
    if family.direction(key) or interval[0] <= null <= interval[1]:
        return ""
    return f" (its own interval says otherwise, which does not hold as one {family})"


def detectable_auc(n_in: int, n_out: int, family: Family) -> Optional[float]:
    """Return the AUC that such a sample shows in eight of ten cases after correction; None where there is none."""
    found = _smallest_detectable(n_in, n_out, family.strictest) if min(n_in, n_out) > 0 else math.nan
    return found if math.isfinite(found) else None


@lru_cache(maxsize=64)
def _smallest_detectable(n_in: int, n_out: int, level: float) -> float:
    """Remember the effect: attacks of one audit mostly share their samples."""
    return smallest_detectable_auc(n_in, n_out, level, POWER)


def among(family: Family) -> str:
    """Say that a detectable effect is meant after correction, where there is something to correct for."""
    return f" as one of {family.size} compared" if family.size > 1 else ""
