"""Dealing from piles of rows in which some images occur more than once: copies stay together.

A pile is an array of row numbers in the order in which they are dealt. ``images`` are the numbers of all images of the
split (``data.copies``), equal for copies; None means that no image has a copy, and a pile is dealt row by row.
"""

from __future__ import annotations

import numpy as np

from mindleak.data.copies import several_labels


def of_one_label(labels: np.ndarray, rows: np.ndarray, images: np.ndarray | None) -> np.ndarray:
    """Return ``rows`` (n,) without those that have a copy under another label: no class can hold both.

    ``labels`` and ``images`` are (N,), of the whole split.
    """
    return rows if images is None else rows[~several_labels(images[rows], labels[rows])]


def take(pile: np.ndarray, count: int, images: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` rows of a pile (n,) and the rest, copies together.

    An image with more copies than still fit is passed over for later ones. Where no other is left, as many of its
    copies as fit are taken, and the others are in neither part.
    """
    if images is None:
        return pile[:count], pile[count:]
    _, first, inverse, copies = np.unique(images[pile], return_index=True, return_inverse=True, return_counts=True)
    together = pile[np.argsort(first[inverse], kind="stable")]
    copies = copies[np.argsort(first)]
    chosen = np.cumsum(copies) <= count
    missing = count - int(copies[chosen].sum())
    while missing and (fitting := np.flatnonzero(~chosen & (copies <= missing))).size:
        chosen[fitting[0]] = True
        missing -= int(copies[fitting[0]])
    in_part, in_rest = np.repeat(chosen, copies), np.repeat(~chosen, copies)
    if missing and not chosen.all():
        cut = int(np.flatnonzero(~chosen)[0])
        start = int(copies[:cut].sum())
        in_part[start:start + missing] = True
        in_rest[start:start + copies[cut]] = False
    return together[in_part], together[in_rest]


def units_of(pile: np.ndarray, images: np.ndarray | None) -> list[np.ndarray]:
    """Return the rows of a pile as arrays (images, copies), one for every number of copies that occurs."""
    if images is None:
        return [pile[:, np.newaxis]]
    _, first, inverse, counts = np.unique(images[pile], return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first[inverse], kind="stable")
    together, copies = pile[order], counts[inverse][order]
    return [together[copies == number].reshape(-1, number) for number in np.unique(copies)]
