"""Which samples lie in which shard and slice (SISA, Bourtoule et al., arXiv 1912.03817), and what a deletion costs.

Shards are disjoint; each has a network of its own. A shard's samples come in slices: its network learns from the first,
then from the first two, and so on, each time from the weights before. A deletion goes back to the weights before the
first slice that held a deleted sample; the other shards are not touched.

Rows are dealt out by their numbers and a seed alone, before anything is deleted. What images and labels are has no say,
nor which samples are deleted later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindleak.errors import InputError

# Spawn key of the stream that deals rows to shards.
_STREAM = 0


@dataclass(frozen=True, eq=False)
class Sharding:
    """Rows of the training split by shard and slice, in the order in which they were dealt.

    Attributes:
        parts: by shard and slice, int64 (n,).
        epochs: passes over a whole training set that the recipe asks for.
        further_epochs: passes that the method adds to every training.
    """

    parts: tuple[tuple[np.ndarray, ...], ...]
    epochs: int
    further_epochs: int = 0

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self.parts)

    @property
    def slices(self) -> int:
        """Number of slices of a shard."""
        return len(self.parts[0])

    @property
    def slice_epochs(self) -> int:
        """Passes that follow each added slice: 2e/(R + 1) of R slices are as many sample-epochs as e of the whole.

        That is sec. V-A of the paper. Where it is no whole number it is rounded, and at least 1.
        """
        return max(1, round(2 * self.epochs / (self.slices + 1)))

    def rows(self, shard: int, stop: int, deleted: np.ndarray) -> np.ndarray:
        """Return what a shard learns from when its first ``stop`` slices are there, deleted rows left out."""
        rows = np.concatenate(self.parts[shard][:stop])
        return rows[~np.isin(rows, deleted)]

    def touched(self, deleted: np.ndarray) -> dict[int, int]:
        """Return the shards that hold any of these rows, each with the number of its first slice that does."""
        found = {}
        for shard, parts in enumerate(self.parts):
            held = [number for number, rows in enumerate(parts) if np.isin(rows, deleted).any()]
            if held:
                found[shard] = held[0]
        return found

    def cost(self, shard: int, start: int, deleted: np.ndarray) -> int:
        """Return the sample-epochs of training a shard from slice ``start`` on."""
        return sum(len(self.rows(shard, stop, deleted)) * (self.slice_epochs + self.further_epochs)
                   for stop in range(start + 1, self.slices + 1))

    def total_cost(self, deleted: np.ndarray) -> int:
        """Return the sample-epochs of training all shards anew."""
        return sum(self.cost(shard, 0, deleted) for shard in range(self.shards))


def deal_shards(rows: np.ndarray, shards: int, slices: int, epochs: int, seed: int,
                further_epochs: int = 0) -> Sharding:
    """Deal rows out to shards and slices at random, as evenly as whole numbers allow.

    Args:
        rows: distinct row numbers (n,); their order has no say.
        shards, slices: how many.
        epochs: of the recipe.
        seed: of the deal.
        further_epochs: that the method adds to every training.

    Raises:
        InputError: more slices in all than rows.

    Example:
        >>> sharding = deal_shards(np.arange(12), 2, 3, epochs=4, seed=0)
        >>> [[len(rows) for rows in parts] for parts in sharding.parts], sharding.slice_epochs
        ([[2, 2, 2], [2, 2, 2]], 2)
    """
    if shards * slices > len(rows):
        raise InputError(f"deletion.shards is {shards} and deletion.slices {slices}; expected no more slices in all "
                         f"than the {len(rows)} samples")
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    order = generator.permutation(np.sort(rows)).astype(np.int64)
    parts = tuple(tuple(np.array_split(shard, slices)) for shard in np.array_split(order, shards))
    return Sharding(parts, epochs, further_epochs)
