"""Which of many candidate images an offered image is nearest to: the rank of its original, by Euclidean distance.

An attack that returns a recognisable but arbitrary member of the class, or the mean image, ranks the original no
better than any other; one that returns *this* image ranks it first. Copies of an image are one candidate: nobody can
tell them apart, and guessing finds an image the more easily the fewer different ones there are. Pure NumPy: distances
come from matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindleak.evaluation.intervals import proportion
from mindleak.evaluation.means import mean_over_images

# Distances held at once: 64 MiB of float32.
_BLOCK_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class NearestResult:
    """Per offered image (N,): rank of its original (1: nearest of all), and the row of the nearest candidate.

    ``candidates`` is the number of different images among them, ``distinct`` the first row of each of these.
    """

    ranks: NDArray[np.int64]
    nearest: NDArray[np.int64]
    candidates: int
    distinct: NDArray[np.int64]


def original_ranks(offered: np.ndarray, candidates: np.ndarray, own: np.ndarray,
                   images: np.ndarray | None = None) -> NearestResult:
    """Rank each image's original among all candidates: 1 plus how many are strictly nearer.

    Args:
        offered: images (N, C, H, W).
        candidates: images (M, C, H, W), the originals among them.
        own: which candidate is each image's original (N,).
        images: numbers of the candidates, equal for copies (M,); None where all differ.

    Raises:
        ValueError: images of different shapes, or not one original per image.
    """
    if offered.shape[1:] != candidates.shape[1:] or own.shape != offered.shape[:1]:
        raise ValueError(f"{offered.shape} images, {candidates.shape} candidates, {own.shape} originals")
    distinct = np.arange(len(candidates))
    if images is not None and len(np.unique(images)) < len(images):
        numbers, first = np.unique(images, return_index=True)
        distinct = np.sort(first)
        own = np.searchsorted(distinct, first[np.searchsorted(numbers, images[own])])
        candidates = candidates[distinct]
    flat = candidates.reshape(len(candidates), -1).astype(np.float32, copy=False)
    # ‖x - c‖² less ‖x‖², which is the same for all candidates.
    norms = np.einsum("mp,mp->m", flat, flat)
    ranks, nearest = np.empty(len(offered), np.int64), np.empty(len(offered), np.int64)
    block = max(1, _BLOCK_ELEMENTS // max(1, len(candidates)))
    for start in range(0, len(offered), block):
        part = slice(start, start + block)
        distances = norms - 2 * (offered[part].reshape(-1, flat.shape[1]).astype(np.float32) @ flat.T)
        to_own = np.take_along_axis(distances, own[part, None], axis=1)
        ranks[part] = 1 + (distances < to_own).sum(axis=1)
        nearest[part] = distances.argmin(axis=1)
    return NearestResult(ranks, distinct[nearest], len(candidates), distinct)


def nearest_figures(result: NearestResult, labels: np.ndarray, candidate_labels: np.ndarray) -> dict[str, Any]:
    """Return how often the original, and its class, is nearest, and its mean rank; with what chance would give.

    Args:
        result: of ``original_ranks``.
        labels: true classes of the originals (N,).
        candidate_labels: classes of the candidates (M,).

    ``rank_share`` is the mean of (rank - 1)/(M - 1): 0 for first, ½ by chance, 1 for last.
    """
    count, candidates = len(result.ranks), result.candidates
    first = int((result.ranks == 1).sum())
    same_class = int((candidate_labels[result.nearest] == labels).sum())
    share = (result.ranks - 1) / max(candidates - 1, 1)
    by_chance = float(np.mean([(candidate_labels[result.distinct] == label).mean() for label in labels]))
    return {"candidates": candidates, "median_rank": float(np.median(result.ranks)),
            "top1": proportion(first, count, of="images", null=1 / candidates).to_json(),
            "rank_share": mean_over_images(share, bounds=(0.0, 1.0)).to_json(),
            "class_match": proportion(same_class, count, of="images").to_json(),
            "chance": {"top1": 1 / candidates, "rank_share": 0.5, "class_match": by_chance}}
