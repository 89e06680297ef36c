"""What kind of numbers a network answers with: logits, or what is often taken for them.

Attacks and training take the softmax of a network's answers. Of logits that gives probabilities, and of their
logarithms, too; of probabilities it gives nearly equal numbers, in which members and non-members are hard to tell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LOGITS = "logits"
LOG_PROBABILITIES = "log-probabilities"
PROBABILITIES = "probabilities"
# Each class answered for itself, as a sigmoid does.
BOUNDED = "numbers between 0 and 1"
CONSTANT = "one answer"

# Half precision sums ten probabilities up to one this closely.
_TOLERANCE = 4e-3
_STRETCHES = (1e4, -1e4)


def kind_of_answers(ask: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> str:
    """Return one of the kinds above, by what a network answers about real images.

    Logits of an untrained network may happen to lie between 0 and 1; asked about images stretched ten thousandfold, it
    leaves that range, and a sigmoid does not. Answers that are not finite are left to those who look for them.

    Args:
        ask: returns answers (N, classes) about images (N, C, H, W).
        images: several, of several classes.
    """
    answers = _finite(ask(images))
    if len(answers) < 2 or answers.shape[1] < 2:
        return LOGITS
    if np.ptp(answers, axis=0).max() <= 1e-6 * np.abs(answers).max():
        return CONSTANT
    if answers.max() <= _TOLERANCE and _sum_to_one(np.exp(answers)):
        return LOG_PROBABILITIES
    if not _within(answers):
        return LOGITS
    if _sum_to_one(answers):
        return PROBABILITIES
    return BOUNDED if all(_within(_finite(ask(images * stretch))) for stretch in _STRETCHES) else LOGITS


def _finite(answers: np.ndarray) -> np.ndarray:
    return answers[np.isfinite(answers).all(axis=1)].astype(np.float64)


def _within(answers: np.ndarray) -> bool:
    return len(answers) > 0 and bool(((answers >= 0) & (answers <= 1 + _TOLERANCE)).all())


def _sum_to_one(answers: np.ndarray) -> bool:
    return bool((np.abs(answers.sum(axis=1) - 1) <= _TOLERANCE).all())
