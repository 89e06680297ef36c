"""Positive predictive value: how often an accusation is right, at a stated share of members among the suspects.

A true-positive rate says little to a person accused: among suspects of whom one in a hundred is a member, a test with
a false-positive rate of 1 % is wrong at least every second time (Jayaraman et al., arXiv 2005.10881, sec. 3.1).
"""

from __future__ import annotations

from mindleak.evaluation.intervals import CLOPPER_PEARSON, clopper_pearson
from mindleak.evaluation.metric import Interval, Metric, undefined

PRIORS = (0.5, 0.1, 0.01)


def positive_predictive_value(true_positives: int, n_in: int, false_positives: int, n_out: int, prior: float,
                              level: float = 0.95) -> Metric:
    """Return π·TPR / (π·TPR + (1-π)·FPR) for a share π of members, from counts at a threshold fixed beforehand.

    The value rises with TPR and falls with FPR, so two intervals at level 1 - (1-level)/2 for these give one at
    ``level`` or more for the value (Bonferroni). ``n`` counts both groups, ``fpr`` is the realised rate. Where nobody
    is called a member the value is NaN.

    Raises:
        ValueError: counts outside their range, or a prior or level outside (0, 1).
    """
    if not 0.0 < prior < 1.0:
        raise ValueError(f"prior lies between 0 and 1, got {prior}")
    each = 1.0 - (1.0 - level) / 2
    found, accused = clopper_pearson(true_positives, n_in, each), clopper_pearson(false_positives, n_out, each)
    if min(n_in, n_out) < 1:
        return undefined("no members" if n_in < 1 else "no non-members", n_in + n_out, level=level)
    if true_positives + false_positives == 0:
        return undefined("nobody is called a member", n_in + n_out, level=level)
    interval: Interval = _value(found[0], accused[1], prior), _value(found[1], accused[0], prior)
    return Metric(_value(true_positives / n_in, false_positives / n_out, prior), n_in + n_out, ci=interval,
                  ci_level=level, ci_method=f"{CLOPPER_PEARSON} of both rates, Bonferroni", fpr=false_positives / n_out,
                  fpr_ci=clopper_pearson(false_positives, n_out, level))


def _value(tpr: float, fpr: float, prior: float) -> float:
    right, wrong = prior * tpr, (1.0 - prior) * fpr
    return right / (right + wrong) if right > 0.0 else 0.0
