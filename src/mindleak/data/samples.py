"""A few rows that stand for many: drawn class by class, by seed, whatever the order of the rows."""

from __future__ import annotations

import numpy as np

_SAMPLE_STREAM = 4


def stratified(labels: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows in proportion to their classes, in random order; int64 (count,).

    A systematic sample of the rows in the order of their classes, each class shuffled: every row is drawn with the same
    probability, and a class has its share of the sample to within one row. In a sample smaller than the number of
    classes no class is drawn twice if they are of equal size.

    Args:
        labels: of all rows that ``rows`` point into.
        rows: row numbers to draw from (N,).
        count: how many, at most N.
        seed: of the draw.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SAMPLE_STREAM,)))
    shuffled = generator.permutation(np.sort(rows))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    places = np.floor((np.arange(count) + generator.random()) * (len(rows) / count)).astype(np.int64)
    return generator.permutation(by_class[places]).astype(np.int64)
