"""One measured number with its interval: the form in which every result leaves the evaluation room.

The JSON form is the contract of ``docs/architecture.md``: value, interval, its level and method, and the
number of samples, plus what belongs to a rate taken at a threshold. JSON has no NaN and no infinity, so a
number that is not finite becomes null and a ``reason`` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Interval = tuple[float, float]
# A metric, or what has several, in its JSON form.
Record = Mapping[str, Any]

# Relative difference below which figures count as equal: they rest on 32-bit answers, which are no more exact.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Metric:
    """A value, the number of samples it rests on, and how sure one may be of it.

    Attributes:
        value: the estimate; NaN where it is undefined.
        n: number of samples behind the estimate (its denominator, for a proportion).
        ci: two-sided confidence interval (lower, upper); a bound may be infinite, never NaN. One without width is none:
            it is dropped with ``p``, and ``reason`` says so.
        ci_level: confidence level of ``ci`` and of ``fpr_ci``.
        ci_method: name of the method behind ``ci``.
        fpr: realised false-positive rate of the threshold, where the value is a rate taken at one.
        fpr_ci: confidence interval of ``fpr``.
        threshold: a sample is called a member when its score is at least this.
        ties: number of samples that another rule for ties would move: on ``threshold``, or just below one that was
            fixed beforehand (``thresholds.tpr_at_threshold``).
        reason: what a reader must know to read the value: why it is undefined, or what limits it.
        p: two-sided p value of "nothing is there" (an AUC of ½, a difference of 0) by the test that ``ci`` inverts,
            where the value is compared with that. Several of them are judged together by ``comparisons.Family``.

    Raises:
        ValueError: negative ``n``, a p value outside [0, 1], a level outside (0, 1), or an interval with a NaN
            bound or reversed ends.
    """

    value: float
    n: int
    ci: Interval | None = None
    ci_level: float = 0.95
    ci_method: str | None = None
    fpr: float | None = None
    fpr_ci: Interval | None = None
    threshold: float | None = None
    ties: int | None = None
    reason: str | None = None
    p: float | None = None

    def __post_init__(self) -> None:
        # NumPy scalars are welcome as arguments, but json cannot write them.
        for name in ("value", "ci_level", "fpr", "threshold", "p"):
            number = getattr(self, name)
            object.__setattr__(self, name, None if number is None else float(number))
        for name in ("n", "ties"):
            count = getattr(self, name)
            object.__setattr__(self, name, None if count is None else int(count))
        for name in ("ci", "fpr_ci"):
            object.__setattr__(self, name, _interval(name, getattr(self, name)))
        self._drop_empty_interval()
        if self.n < 0:
            raise ValueError(f"n is a number of samples, got {self.n}")
        if self.p is not None and not 0.0 <= self.p <= 1.0:
            raise ValueError(f"p lies in [0, 1], got {self.p}")
        if not 0.0 < self.ci_level < 1.0:
            raise ValueError(f"ci_level lies between 0 and 1, got {self.ci_level}")

    def _drop_empty_interval(self) -> None:
        """Keep no interval without width: values that are all alike say nothing of those that were not seen."""
        if self.ci is None or not all(map(math.isfinite, self.ci)):
            return
        if self.ci[1] - self.ci[0] > ROUNDING * max(map(abs, self.ci)):
            return
        for name in ("ci", "ci_method", "p"):
            object.__setattr__(self, name, None)
        object.__setattr__(self, "reason", join_reasons(self.reason, "all values are alike: no interval"))

    def to_json(self) -> dict[str, Any]:
        """Return the metric as plain JSON types; null stands for a number that is not finite.

        The keys ``value``, ``ci``, ``ci_level``, ``ci_method`` and ``n`` are always there, the others only
        where they are set. An infinite bound of an interval is null: that side is unbounded.
        """
        record: dict[str, Any] = {
            "value": _finite(self.value),
            "ci": _bounds(self.ci),
            "ci_level": self.ci_level,
            "ci_method": self.ci_method,
            "n": self.n,
        }
        if self.fpr is not None:
            record["fpr"] = _finite(self.fpr)
        if self.fpr_ci is not None:
            record["fpr_ci"] = _bounds(self.fpr_ci)
        if self.threshold is not None:
            record["threshold"] = _finite(self.threshold)
        if self.ties is not None:
            record["ties"] = self.ties
        if self.p is not None:
            record["p"] = self.p
        reason = join_reasons(self.reason, self._not_finite())
        if reason is not None:
            record["reason"] = reason
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Metric:
        """Return the metric that ``to_json`` wrote; a null number comes back as NaN.

        Raises:
            ValueError: a key is missing or unknown.
        """
        known = set(cls.__dataclass_fields__)
        missing = {"value", "ci", "ci_level", "ci_method", "n"} - set(record)
        unknown = set(record) - known
        if missing or unknown:
            raise ValueError(f"not a metric: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}")
        fields = dict(record)
        for name in ("value", "fpr", "threshold"):
            if name in fields and fields[name] is None:
                fields[name] = math.nan
        for name in ("ci", "fpr_ci"):
            if fields.get(name) is not None:
                lower, upper = fields[name]
                fields[name] = (-math.inf if lower is None else lower, math.inf if upper is None else upper)
        return cls(**fields)

    def _not_finite(self) -> str | None:
        """Words for the numbers that JSON cannot hold, unless the reason given already covers them."""
        if self.reason is not None:
            return None
        names = [name for name in ("value", "fpr", "threshold") if not _is_finite(getattr(self, name))]
        described = [f"{name} is {getattr(self, name)}" for name in names]
        return "; ".join(described) or None


def join_reasons(*reasons: str | None) -> str | None:
    """Join the reasons that are given, or return None when none is."""
    return "; ".join(reason for reason in reasons if reason) or None


def undefined(reason: str, n: int = 0, *, level: float = 0.95) -> Metric:
    """Return a metric without a value, saying why."""
    return Metric(math.nan, n, ci_level=level, reason=reason)


def _interval(name: str, interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    lower, upper = (float(bound) for bound in interval)
    if not lower <= upper:
        raise ValueError(f"{name} must be (lower, upper) without NaN, got ({lower}, {upper})")
    return lower, upper


def _is_finite(number: float | None) -> bool:
    return number is None or math.isfinite(number)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _bounds(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_finite(bound) for bound in interval]
