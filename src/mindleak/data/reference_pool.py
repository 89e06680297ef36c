"""The pool that reference models are trained on halves of: the target's own samples, so that each is IN half of them.

The design of Carlini et al. (arXiv 2112.03570, sec. IV-A) around a target that is a model of its own. The pool holds
the target's training samples and as many others of the same classes; half of it is then as large as the target's
training set, and whether a reference was trained on a sample has nothing to do with whether the target was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_POOL_STREAM = 3


def reference_pool(labels: np.ndarray, members: np.ndarray, non_members: np.ndarray, more: np.ndarray,
                   seed: int) -> np.ndarray:
    """Return the rows of the pool, sorted int64: all members, and others up to the members' number in each class.

    Args:
        labels: of the whole training split.
        members: rows that the target was trained on.
        non_members: rows that the target is attacked on and was not trained on; all of them are in the pool.
        more: rows to fill up with, drawn at random: neither in the other two and the population nor copies of these.
        seed: of the draw.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_POOL_STREAM,)))
    drawn: list[np.ndarray] = [members, non_members]
    for label in np.unique(labels[members]):
        missing = int(np.sum(labels[members] == label) - np.sum(labels[non_members] == label))
        drawn.append(generator.permutation(np.sort(more[labels[more] == label]))[:max(missing, 0)])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def in_pool_order(parts: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return ``values``, which stand for the rows of ``parts`` one after the other, in the order of the sorted rows.

    Args:
        parts: disjoint row numbers, together (N,).
        values: (..., N, classes).
    """
    return values[..., np.argsort(np.concatenate(parts), kind="stable"), :]
