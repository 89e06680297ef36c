"""What kind of numbers a network answers with: logits, or what is often taken for them; and whether they are fixed.

Attacks and training take the softmax of a network's answers. Of logits that gives probabilities, and of their
logarithms, too; of probabilities, or of numbers squashed between two bounds, it gives nearly equal numbers, in which
members and non-members are hard to tell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LOGITS = "logits"
LOG_PROBABILITIES = "log-probabilities"
PROBABILITIES = "probabilities"
SCALED_PROBABILITIES = "scaled or shifted probabilities"
# Each class is answered for by itself, as a sigmoid does.
BOUNDED = "numbers between two bounds"
LOG_SIGMOIDS = "numbers that stop at 0"
CONSTANT = "one answer"

TWICE = "when asked twice"
IN_OTHER_COMPANY = "when asked together with other images"

Ask = Callable[[np.ndarray], np.ndarray]

# In half precision the sum of ten probabilities is this close to 1.
_TOLERANCE = 4e-3
# The first factor that leaves answers finite is used: the logarithm of a sigmoid rounded to 0 is not finite.
_STRETCHES = (1e4, 1e3, 1e2, 30, 10)
# If answers are bounded, at least this share of those to stretched images lies at one of the two bounds.
_SQUASHED = 0.9
# Batches of another size are summed in another order. The rounding that this causes, in half precision too, is below
# the first share of the largest answer and below the second share of the answers' spread between images.
_ROUNDING, _SPREAD = 1e-2, 5e-2


def kind_of_answers(ask: Ask, images: np.ndarray) -> str:
    """Return one of the kinds above, by what a network answers about real images, and about these stretched.

    Stretched ten thousandfold, images drive logits far apart, and a softmax, a sigmoid, a tanh or a clipping to its
    bounds, whatever they are multiplied by or added to afterwards. Sums alone would not do: logits that were fitted by
    least squares sum up to one number, too. Networks that answer stretched images moderately, since they divide each
    image by its own spread, or since their hidden units are squashed themselves, show of their last step only
    probabilities and the range from 0 to 1. Answers that are not finite are left to those who look for them.

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
    if _within(answers) and _sum_to_one(answers):
        return PROBABILITIES
    stretched = [_stretched(ask, images, sign) for sign in (1, -1)]
    known = [each for each in stretched if len(each) > 1 and _differ(each)]
    if not known and all(map(len, stretched)):
        # Images stretched upwards are all answered alike, and those stretched downwards too: the two may still differ.
        known = [both for both in [np.concatenate(stretched)] if _differ(both)]
    if known and all(map(_squashed, known)):
        return SCALED_PROBABILITIES if _sum_alike(answers) else BOUNDED
    if _within(answers) and all(map(_within, stretched)):
        return BOUNDED
    return LOG_SIGMOIDS if answers.max() < 0 and known and all(map(_stop_at_zero, known)) else LOGITS


def unsteady(ask: Ask, images: np.ndarray) -> tuple[str, float] | None:
    """Return when a network's answers about the same images change, and by how much at most; None where they do not.

    They do by a Dropout that is never switched off, or by means over a batch: then no figure of it can be repeated.

    Args:
        ask: returns answers (N, classes) about images (N, C, H, W).
        images: several.

    Returns:
        ``TWICE`` or ``IN_OTHER_COMPANY``, and the largest change of an answer, in the answers' own unit.
    """
    half = len(images) // 2
    first, again, part = ask(images), ask(images), ask(images[:half])
    with np.errstate(over="ignore", invalid="ignore"):
        for when, one, other in ((TWICE, first, again), (IN_OTHER_COMPANY, first[:half], part)):
            change = np.abs(one.astype(np.float64) - other)
            found = float(change[np.isfinite(change)].max(initial=0.0))
            known = one[np.isfinite(one).all(axis=1)].astype(np.float64)
            spread = float(known.std(axis=0).max()) if len(known) else 0.0
            if found > max(_ROUNDING * np.abs(known).max(initial=0.0), _SPREAD * spread):
                return when, found
    return None


def _finite(answers: np.ndarray) -> np.ndarray:
    return answers[np.isfinite(answers).all(axis=1)].astype(np.float64)


def _stretched(ask: Ask, images: np.ndarray, sign: int) -> np.ndarray:
    """Return the finite answers about images stretched as far as leaves at least half of the answers finite."""
    for stretch in _STRETCHES:
        found = _finite(ask(sign * stretch * images))
        if 2 * len(found) >= len(images):
            return found
    return np.empty((0, 0))


def _within(answers: np.ndarray) -> bool:
    return len(answers) > 0 and bool(((answers >= 0) & (answers <= 1 + _TOLERANCE)).all())


def _sum_to_one(answers: np.ndarray) -> bool:
    return bool((np.abs(answers.sum(axis=1) - 1) <= _TOLERANCE).all())


def _sum_alike(answers: np.ndarray) -> bool:
    """Return whether rows sum up to one number, by far closer than classes that know nothing of each other would."""
    apart = np.sqrt(answers.var(axis=0).sum())
    return bool(answers.sum(axis=1).std() <= _TOLERANCE * apart)


def _differ(answers: np.ndarray) -> bool:
    """Return whether images are answered differently: where all hidden units are saturated, they may not be."""
    return bool(np.ptp(answers, axis=0).max() > _TOLERANCE * np.abs(answers).max())


def _squashed(answers: np.ndarray) -> bool:
    """Return whether nearly all answers lie at the smallest or the largest of them, and many at either.

    A softmax has one class of every image at its largest; a final ReLU, which has no upper bound, has hardly any.
    """
    low, high = answers.min(), answers.max()
    at_low, at_high = (np.abs(answers - bound) <= _TOLERANCE * (high - low) for bound in (low, high))
    return bool((at_low | at_high).mean() >= _SQUASHED and min(at_low.sum(), at_high.sum()) >= len(answers) / 2)


def _stop_at_zero(answers: np.ndarray) -> bool:
    """Return whether answers end at 0 for some classes, and not for one class of every image as log-softmax's do."""
    zeros = answers > -1e-3 * np.abs(answers).max()
    return bool(answers.max() <= 0 and zeros.mean() >= 0.1 and not (zeros.sum(axis=1) == 1).all())
