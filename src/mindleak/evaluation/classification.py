"""How often predictions are right: classifier accuracy, and an attack's in/out decisions per side.

Precision, recall and F1 follow the usual definitions; every proportion carries a Clopper-Pearson interval. A
ratio whose denominator is zero is undefined and stays so (null with a reason), where other packages print 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mindleak.evaluation.intervals import clopper_pearson, mean_of_independent, proportion
from mindleak.evaluation.metric import Metric, undefined
from mindleak.evaluation.validation import boolean_vector, label_vector, logit_matrix


def accuracy(answers: ArrayLike, labels: ArrayLike, level: float = 0.95) -> Metric:
    """Return the share of right answers.

    Args:
        answers: logits (or probabilities) of shape (N, C), the largest wins; or classes of shape (N,).
        labels: true classes, whole numbers of shape (N,).
        level: confidence level of the Clopper-Pearson interval.

    Raises:
        ValueError: shapes that do not fit, logits that are not finite, or classes that are not whole numbers.
    """
    array = np.asarray(answers)
    if array.ndim == 2:
        matrix = logit_matrix(array)
        truth = label_vector(labels, *matrix.shape)
        right = matrix.argmax(axis=1) == truth
    else:
        truth = np.asarray(labels)
        if array.ndim != 1 or array.shape != truth.shape:
            raise ValueError(f"answers of shape {array.shape} for labels of shape {truth.shape}")
        if array.size and not all(np.issubdtype(each.dtype, np.integer) for each in (array, truth)):
            raise ValueError(f"classes must be whole numbers, got {array.dtype} and {truth.dtype}")
        right = array == truth
    return proportion(int(np.count_nonzero(right)), right.size, level)


def binary_report(members: ArrayLike, predicted: ArrayLike, level: float = 0.95) -> dict[str, Any]:
    """Return how well ``predicted`` membership matches ``members``, both booleans of shape (N,).

    Returns:
        ``{"accuracy": Metric, "non_member": side, "member": side, "macro": side}``; a side
        is ``{"precision": Metric, "recall": Metric, "f1": Metric, "support": int}``, macro the plain means.

    The interval of F1 = 2J/(1+J) is Clopper-Pearson's of J = TP/(TP+FP+FN), mapped; J is a proportion of the
    samples that are not true negatives. The macro means join the two sides' intervals (Zou & Donner 2008)
    where these are independent (precision, recall); for F1 they average the limits, erring on the wide side.

    Raises:
        ValueError: neither booleans nor zeros and ones, or different lengths.
    """
    truth, called = boolean_vector("members", members), boolean_vector("predicted", predicted)
    if truth.shape != called.shape:
        raise ValueError(f"{called.size} predictions for {truth.size} samples")
    hits = int(np.count_nonzero(truth & called))
    false_alarms = int(np.count_nonzero(~truth & called))
    misses = int(np.count_nonzero(truth & ~called))
    rejections = truth.size - hits - false_alarms - misses
    member = _side(hits, false_alarms, misses, "member", level)
    non_member = _side(rejections, misses, false_alarms, "non-member", level)
    macro = {
        "precision": mean_of_independent(non_member["precision"], member["precision"]),
        "recall": mean_of_independent(non_member["recall"], member["recall"]),
        "f1": _mean_of_dependent(non_member["f1"], member["f1"]),
        "support": truth.size,
    }
    right = proportion(hits + rejections, truth.size, level)
    return {"accuracy": right, "non_member": non_member, "member": member, "macro": macro}


def _side(hits: int, false_alarms: int, misses: int, name: str, level: float) -> dict[str, Any]:
    support = hits + misses
    return {
        "precision": proportion(hits, hits + false_alarms, level, of=f"sample called {name}"),
        "recall": proportion(hits, support, level, of=f"{name}s"),
        "f1": _f1(hits, hits + false_alarms + misses, name, level),
        "support": support,
    }


def _f1(hits: int, involved: int, name: str, level: float) -> Metric:
    if involved == 0:
        return undefined(f"no {name}s and none called so", level=level)
    lower, upper = clopper_pearson(hits, involved, level)
    return Metric(
        2 * hits / (hits + involved),
        involved,
        ci=(2 * lower / (1 + lower), 2 * upper / (1 + upper)),
        ci_level=level,
        ci_method="mapped clopper-pearson",
    )


def _mean_of_dependent(first: Metric, second: Metric) -> Metric:
    level = first.ci_level
    if first.ci is None or second.ci is None:
        return undefined(first.reason or second.reason or "undefined", level=level)
    limits = ((first.ci[0] + second.ci[0]) / 2, (first.ci[1] + second.ci[1]) / 2)
    value, n = (first.value + second.value) / 2, first.n + second.n
    return Metric(value, n, ci=limits, ci_level=level, ci_method="mean of limits")

