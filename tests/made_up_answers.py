"""Answers made up for the attacks on them, where the best possible AUC is known in closed form.

A model's logits are standard normal, the true class's raised by 2, a member's by ``lift`` more. Softmax keeps the
differences z_y - z_j only, so the best statistic is z_y minus the mean of the others, and with C classes

    AUC = Φ(lift / √(2 C/(C - 1))).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from mindleak.attacks.membership.shadow import Answers

CLASSES = 3
SHADOWS, SUBJECT = 1500, 3000


def answers(count: int, lift: float, seed: int, classes: int = CLASSES) -> Answers:
    """A model's answers on ``count`` samples, classes and membership in equal shares."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int32)
    members = np.arange(count) // classes % 2 == 0
    logits = generator.normal(size=(count, classes))
    logits[np.arange(count), labels] += 2.0 + lift * members
    return Answers(logits.astype(np.float32), labels, members)


def best_auc(lift: float) -> float:
    return float(stats.norm.cdf(lift / math.sqrt(2 * CLASSES / (CLASSES - 1))))


def shadows_with(lift: float, count: int = 3, size: int = SHADOWS) -> list[Answers]:
    return [answers(size, lift, 100 + number) for number in range(count)]
