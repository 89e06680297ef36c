"""Metric attacks: one number of the target's own answer, and a threshold that was fixed on reference models.

Yeom et al., arXiv 1709.01604 (loss); Salem et al., arXiv 1806.01246 (entropy); Song & Mittal, arXiv 2003.10595
(modified entropy, thresholds per class). They need no reference to score, only to decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from mindleak.attacks.checks import require_answers, require_finite
from mindleak.attacks.contract import Attack
from mindleak.attacks.membership.balancing import MIN_PER_CLASS
from mindleak.attacks.membership.names import METRIC_ATTACKS
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import Flags, Floats
from mindleak.errors import InputError
from mindleak.evaluation import signals
from mindleak.evaluation.validation import score_vector

_SCORES: dict[str, Callable[[ArrayLike, ArrayLike], Floats]] = {
    "loss": lambda logits, labels: -signals.loss(logits, labels),
    "confidence": signals.confidence,
    "entropy": lambda logits, labels: -signals.entropy(logits),
    "modified_entropy": lambda logits, labels: -signals.modified_entropy(logits, labels),
    "phi": signals.phi,
}


@dataclass(frozen=True)
class ClassThresholds:
    """Thresholds per class, (classes,); ``shared`` maps a class to why it has the global one."""

    values: Floats
    shared: dict[int, str]


def metric_scores(name: str, logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Return the attack's scores, (samples,), higher = more member-like: -loss, p_y, -entropy, -Mentr or φ.

    Raises:
        ValueError: no such metric attack, or logits and labels that do not fit.
    """
    if name not in METRIC_ATTACKS:
        raise ValueError(f"no metric attack '{name}'; there are {', '.join(METRIC_ATTACKS)}")
    return _SCORES[name](logits, labels)


class MetricAttack(Attack):
    """A metric attack on a target, and on each reference, whose scores fix the thresholds.

    Yeom et al., arXiv 1709.01604; Salem et al., arXiv 1806.01246; Song & Mittal, arXiv 2003.10595. The signal is
    that of ``metric_scores``.

    Args:
        name: ``loss``, ``confidence``, ``entropy``, ``modified_entropy`` or ``phi``.

    Raises:
        InputError: another name.

    Example:
        >>> scores = MetricAttack("loss").attack([[3.0, 0.0], [1.0, 0.0]], [[[2.0, 0.0], [2.0, 0.0]]], [0, 0])
        >>> bool(scores.target[0] > scores.target[1])
        True
    """

    def __init__(self, name: str) -> None:
        if name not in METRIC_ATTACKS:
            raise InputError(f"name is '{name}'; expected one of {', '.join(METRIC_ATTACKS)}")
        self.name = name

    @final
    def attack(self, target: ArrayLike, references: ArrayLike, labels: ArrayLike) -> AttackScores:
        """Score the samples of a target, and of each reference.

        Args:
            target: its logits, (samples, classes).
            references: theirs, (models, samples, classes).
            labels: (samples,).

        Raises:
            InputError: no reference, logits that are not finite, or logits and labels that do not fit.
        """
        own, others = np.asarray(target), np.asarray(references)
        require_answers("the target", own, labels)
        if others.ndim != 3 or not len(others) or others.shape[1:] != own.shape:
            raise InputError(f"the references' logits have shape {others.shape}; expected (models, {own.shape[0]}, "
                             f"{own.shape[1]})")
        require_finite("the references' logits", others)
        return self._run(own, others, labels)

    def _run(self, target: np.ndarray, references: np.ndarray, labels: ArrayLike) -> AttackScores:
        return AttackScores(metric_scores(self.name, target, labels),
                            np.stack([metric_scores(self.name, logits, labels) for logits in references]))


def balanced_threshold(members: ArrayLike, non_members: ArrayLike) -> float:
    """Return the threshold of the largest balanced accuracy, called a member when at least this.

    It lies halfway between two scores where these are finite, so that rounding cannot move a sample across. Of equal
    ones the highest is taken. Infinite where calling nobody a member is as good as anything.

    Args:
        members, non_members: their scores, one-dimensional, of any order.

    Raises:
        ValueError: NaN scores, or no member or no non-member.
    """
    inside, outside = (np.sort(score_vector(side), kind="stable") for side in (members, non_members))
    if min(inside.size, outside.size) == 0:
        raise ValueError("a threshold needs members and non-members")
    # The best threshold is some member's score: down to the next member only non-members would be gained.
    called = 1.0 - np.searchsorted(inside, inside, side="left") / inside.size
    accused = 1.0 - np.searchsorted(outside, inside, side="left") / outside.size
    advantage = called - accused
    # Equal advantages must stay equal, whatever their last digits.
    best = inside.size - 1 - int(np.argmax(np.round(advantage[::-1], 12)))
    if round(float(advantage[best]), 12) <= 0.0:
        return float("inf")
    upper = float(inside[best])
    below = [float(side[place - 1]) for side in (inside, outside) if (place := np.searchsorted(side, upper)) > 0]
    lower = max(below, default=-math.inf)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return upper
    middle = upper + (lower - upper) / 2
    return middle if middle > lower else upper


def class_thresholds(scores: Floats, members: Flags, labels: ArrayLike, classes: int) -> ClassThresholds:
    """Return the thresholds of all classes, of references' scores on samples with ``labels``.

    Args:
        scores: (models, samples) of the references.
        members: (models, samples), whether a reference was trained on a sample.
        labels: (samples,).
        classes: their number.

    Raises:
        ValueError: as ``balanced_threshold``, for all classes together.
    """
    shared_value = balanced_threshold(scores[members], scores[~members])
    values, shared = np.full(classes, shared_value), {}
    truth = np.asarray(labels)
    for label in range(classes):
        chosen = truth == label
        own, inside = scores[:, chosen], members[:, chosen]
        fewest = min(int(inside.sum()), int((~inside).sum()))
        if fewest < MIN_PER_CLASS:
            shared[label] = (f"{fewest} answers of references on the smaller side, at least {MIN_PER_CLASS} are "
                             "needed: it has the threshold of all classes together")
        else:
            values[label] = balanced_threshold(own[inside], own[~inside])
    return ClassThresholds(values, shared)
