"""Argument checks shared by the evaluation room; what they refuse is a mistake of the caller (ValueError)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def boolean_vector(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """Return ``values`` as booleans of shape (N,).

    Raises:
        ValueError: not one-dimensional, or neither booleans nor zeros and ones.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    if array.dtype != np.bool_ and not np.all((array == 0) | (array == 1)):
        raise ValueError(f"{name} must be booleans, or zeros and ones")
    return array.astype(np.bool_)


def score_vector(scores: ArrayLike) -> NDArray[np.float64]:
    """Return ``scores`` as float64 of shape (N,); float32 converts exactly, so ties stay ties.

    Raises:
        ValueError: not one-dimensional, or NaN among the scores.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"scores must have shape (N,), got {array.shape}")
    missing = int(np.count_nonzero(np.isnan(array)))
    if missing:
        raise ValueError(f"{missing} of {array.size} scores are NaN")
    return array


def scored_members(scores: ArrayLike, members: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return checked scores and membership, both of shape (N,).

    Raises:
        ValueError: as ``score_vector`` and ``boolean_vector``, or different lengths.
    """
    score_array, member_array = score_vector(scores), boolean_vector("members", members)
    if score_array.shape != member_array.shape:
        raise ValueError(f"{score_array.size} scores for {member_array.size} samples")
    return score_array, member_array


def label_vector(labels: ArrayLike, n: int, classes: int) -> NDArray[np.int64]:
    """Return ``labels`` as int64 of shape (n,), each in [0, classes).

    Raises:
        ValueError: another shape, not whole numbers, or a label outside the classes.
    """
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), got {array.shape}")
    if n and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, got {array.dtype}")
    if n and (array.min() < 0 or array.max() >= classes):
        raise ValueError(f"labels lie in [{array.min()}, {array.max()}], outside the {classes} classes")
    return array.astype(np.int64)


def logit_matrix(logits: ArrayLike) -> NDArray[np.float64]:
    """Return ``logits`` as float64 of shape (N, C), C >= 2.

    Raises:
        ValueError: another shape, or a logit that is not finite.
    """
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(f"logits must have shape (N, C) with C >= 2, got {array.shape}")
    bad = int(np.count_nonzero(~np.isfinite(array).all(axis=1)))
    if bad:
        raise ValueError(f"logits of {bad} of {array.shape[0]} samples are not finite")
    return array
