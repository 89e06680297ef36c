"""Answers of networks on members and non-members, and three ways of putting rows of both together.

``AS_IN_TUTORIAL`` is what the RNN tutorial's code does before it trains and before it judges (``reduce_ones``): every
non-member twice, and as many members, drawn without replacement. ``none`` leaves the rows as they were drawn. ``once``
has, class by class, as many of both, none of them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

AS_IN_TUTORIAL = "tutorial"
# Fewer members or non-members of a class leave its attack model, or its threshold, to chance.
MIN_PER_CLASS = 10


@dataclass(frozen=True, eq=False)
class AttackData:
    """Logits float32 (N, classes), whether the network was trained on each sample, bool (N,), and labels (N,)."""

    logits: np.ndarray
    members: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> AttackData:
        """Return some rows, in the order given and as often."""
        return AttackData(self.logits[rows], self.members[rows], self.labels[rows])


def as_drawn(data: AttackData, _: np.random.Generator) -> np.ndarray:
    """Return all rows."""
    return np.arange(len(data.members))


def doubled(data: AttackData, generator: np.random.Generator) -> np.ndarray:
    """Return the rows that the RNN tutorial balances to: every non-member twice, as many distinct members.

    Raises:
        ValueError: fewer than two members per non-member.
    """
    outside = np.flatnonzero(~data.members)
    inside = generator.choice(np.flatnonzero(data.members), 2 * len(outside), replace=False)
    return np.concatenate([outside, inside, outside])


def once(data: AttackData, generator: np.random.Generator) -> np.ndarray:
    """Return, of every class, as many members as non-members, each row once."""
    return matched_classes(data.members, data.labels, generator, most_per_row=1)


@dataclass(frozen=True, eq=False)
class ByClass:
    """Rows by class and side, for attack models that learn from as many members as non-members of a class.

    Attributes:
        labels: (N,).
        members: bool (N,).
        known: bool (N,), the rows that count; all by default.
    """

    labels: np.ndarray
    members: np.ndarray
    known: np.ndarray | None = None

    def smaller_side(self, label: int) -> int:
        """Return how many rows of a class the rarer of in and out has."""
        return min(map(len, self._sides(label)))

    def balanced(self, label: int, seed: int) -> np.ndarray:
        """Return as many out as in rows of a class, drawn at random from the larger side."""
        generator = np.random.default_rng(np.random.SeedSequence([seed, label]))
        size = self.smaller_side(label)
        return np.concatenate([generator.choice(side, size, replace=False) for side in self._sides(label)])

    def _sides(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a class that are out and in."""
        chosen = self.labels == label if self.known is None else (self.labels == label) & self.known
        return np.flatnonzero(chosen & ~self.members), np.flatnonzero(chosen & self.members)


def matched_classes(members: np.ndarray, labels: np.ndarray, generator: np.random.Generator,
                    most_per_row: int | None = None) -> np.ndarray:
    """Return sorted rows in which members and non-members have equal shares of every class.

    The rarer side is kept whole where the other has as many of the class; of the other there are k times as many of
    every class, with the largest whole k that its scarcest class allows, at most ``most_per_row``. Where k would be 0,
    the smaller number of each class is taken from both.
    """
    classes = range(int(labels.max(initial=-1)) + 1)
    few = not members.sum() > len(members) / 2
    rare = [np.flatnonzero((members == few) & (labels == label)) for label in classes]
    rest = [np.flatnonzero((members != few) & (labels == label)) for label in classes]
    ratios = [len(more) // len(less) for less, more in zip(rare, rest) if len(less)]
    times = min([*ratios, *([] if most_per_row is None else [most_per_row])], default=0)
    sizes = [(len(less), times * len(less)) if times else (min(len(less), len(more)),) * 2
             for less, more in zip(rare, rest)]
    return np.sort(np.concatenate([np.zeros(0, np.int64)] + [
        generator.choice(side, size, replace=False)
        for pair, both in zip(zip(rare, rest), sizes) for side, size in zip(pair, both)]))


BALANCINGS: Mapping[str, Callable[[AttackData, np.random.Generator], np.ndarray]] = {
    AS_IN_TUTORIAL: doubled, "none": as_drawn, "once": once}
