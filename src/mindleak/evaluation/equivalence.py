"""Equivalence: whether a difference was shown to be smaller than a margin, which "no difference shown" does not say.

Two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): at level α the difference
is smaller than the margin where its interval of level 1 - 2α lies within plus and minus the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.shared_references import mean_over_siblings

ALPHA = 0.05


@dataclass(frozen=True)
class Equivalence:
    """A mean difference held against a margin.

    Attributes:
        difference: the mean with its 95 % interval and the p value of no difference.
        inner: the mean with the interval of level 1 - 2α that is held against the margin.
        margin: largest difference that counts as none, above 0.
    """

    difference: Metric
    inner: Metric
    margin: float

    @property
    def shown(self) -> bool:
        """Whether the difference was shown to be smaller than the margin; without an interval nothing was."""
        return self.inner.ci is not None and -self.margin < self.inner.ci[0] and self.inner.ci[1] < self.margin

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**self.difference.to_json(), "margin": self.margin, "inner": self.inner.to_json()["ci"],
                "inner_level": self.inner.ci_level, "equivalent": self.shown}


def equivalence(differences: ArrayLike, margin: float, parts: ArrayLike | None = None) -> Equivalence:
    """Hold the mean of paired differences against a margin.

    Args:
        differences: one per pair of networks, (K,).
        margin: above 0.
        parts: what each network makes of each difference, (K, K), where they are each other's references
            (``shared_references.mean_over_siblings``).

    Raises:
        ValueError: a margin that is not above 0.

    Example:
        >>> equivalence([0.01, -0.01, 0.0, 0.005], margin=0.05).shown
        True
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; expected a number above 0")
    shared = None if parts is None else np.asarray(parts, np.float64)

    def mean(level: float) -> Metric:
        if shared is None or not shared.size:
            return mean_metric(differences, level, null=0.0)
        return mean_over_siblings(differences, shared, level, null=0.0)

    return Equivalence(mean(0.95), mean(1 - 2 * ALPHA), margin)
