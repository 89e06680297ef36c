"""Which rows the RNN tutorial's membership attack draws (``full_attack_training`` and ``train_shadow_models``).

Members come from the training split, non-members from the test split, neither of them class by class; a shadow's rows
are distinct, those of two shadows overlap. Nothing that the target is measured on reaches a shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TARGET, _SHADOWS = 0, 1


@dataclass(frozen=True, eq=False)
class RnnTutorialRows:
    """Sorted row numbers, int64.

    Attributes:
        target_test: rows of the test split that stand for the target's non-members.
        shadows: per shadow its rows of the training split, which it is trained on, and of the test split.
    """

    target_test: np.ndarray
    shadows: list[tuple[np.ndarray, np.ndarray]]


def rnn_tutorial_rows(pool: np.ndarray, test: np.ndarray | int, shadows: int, train_size: int, test_size: int,
                  shadow_test_size: int, seed: int) -> RnnTutorialRows:
    """Draw the target's non-members and every shadow's samples; shadow k depends on (seed, k) only.

    Args:
        pool: rows of the training split that shadows may have.
        test: rows of the test split that may stand for non-members, distinct images that are not in the training split;
            a number means that all of so many are.
        shadows: how many.
        train_size: rows of the pool per shadow.
        test_size: rows of the test split for the target.
        shadow_test_size: rows of the others of the test split per shadow.
        seed: of the draws.

    Raises:
        ValueError: a draw is larger than what it is drawn from.
    """
    unseen = np.arange(test) if isinstance(test, int) else np.sort(test)
    target_test = _drawn(unseen, test_size, seed, _TARGET)
    others = np.setdiff1d(unseen, target_test, assume_unique=True)
    return RnnTutorialRows(target_test, [(_drawn(pool, train_size, seed, _SHADOWS, number, 0),
                                       _drawn(others, shadow_test_size, seed, _SHADOWS, number, 1))
                                      for number in range(shadows)])


def _drawn(rows: np.ndarray, size: int, seed: int, *key: int) -> np.ndarray:
    """Draw ``size`` of ``rows`` without replacement."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    return np.sort(generator.choice(rows, size, replace=False)).astype(np.int64)
