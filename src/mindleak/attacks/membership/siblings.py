"""LiRA among siblings: networks on halves of one pool, each attacked with the others as its references.

Carlini et al., arXiv 2112.03570, sec. VI, leave one model out. Where a whole family of networks is to be attacked, no
references are trained beside them. The attacked network takes no part in what it is judged by: neither in its own
references nor in those of the siblings that its thresholds come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.attacks.membership.lira import LiraScores, Spread, choose_spread, lira
from mindleak.attacks.membership.names import LIRA_ATTACKS
from mindleak.attacks.membership.signals import Flags, Floats, partners
from mindleak.errors import InputError

# Two references on either side of every sample, the fewest that leave residuals for σ; the network and its partner.
FEWEST = 6
# By how much more and less often than once a reference is counted, to see what a figure owes to it.
TILT = 0.5


@dataclass(frozen=True)
class SiblingScores:
    """What an attack says of one network, and of non-members of its siblings, for the threshold.

    Attributes:
        target: (..., samples), higher = more member-like, of one attack or more with different weights.
        members: (samples,), bool.
        sibling_non_members: scores of samples under siblings that were not trained on them, (..., n).
        weights: how often each of these counts, of the same shape; None where each counts once.
    """

    target: Floats
    members: Flags
    sibling_non_members: Floats
    weights: Floats | None = None

    def part(self, attack: int) -> SiblingScores:
        """Return one of several attacks, by its place on the first axis."""
        return SiblingScores(self.target[attack], self.members, self.sibling_non_members[attack],
                             None if self.weights is None else self.weights[attack])


def require_siblings(models: int, attacks: Sequence[str]) -> None:
    """Raise InputError where there are too few networks for LiRA among them."""
    if models < FEWEST:
        raise InputError(f"sweep.attacks has {attacks[0]}, for which sweep.models {models} is too small; expected an "
                         f"even number from {FEWEST} on")


class SiblingLira:
    """LiRA against one network, the others being its references, and each of the others attacked without it.

    With a network one of the other side goes, sample by sample (``signals.partners``), so that the numbers of IN and
    OUT references say nothing of whether it was trained on a sample.

    Args:
        phi: φ of all networks, (models, samples, queries).
        keep: (models, samples), who was trained on what, every sample in half of an even number of models.
        target: number of the attacked network.

    Raises:
        InputError: fewer than ``FEWEST`` networks.
    """

    def __init__(self, phi: Floats, keep: Flags, target: int) -> None:
        require_siblings(len(phi), LIRA_ATTACKS)
        numbers = np.arange(len(phi))
        self._target = _Turn.of(phi, keep, target, numbers)
        counts = self._target.keep.sum(axis=0)
        self._spread = choose_spread(int(counts.min()), len(self._target.keep) - int(counts.max()))
        rest = numbers[numbers != target]
        self._siblings = [_Turn.of(phi[rest], keep[rest], place, rest) for place in range(len(rest))]

    def scores(self, attacks: Sequence[str], weights: ArrayLike | None = None) -> dict[str, SiblingScores]:
        """Return the scores of the target, and those that a threshold is fixed on.

        Args:
            attacks: of ``names.LIRA_ATTACKS``.
            weights: how often each network counts as a reference and where thresholds are fixed, (..., models), above
                0; once by default. With axes before the last there is an attack for each.
        """
        counted = None if weights is None else np.asarray(weights, dtype=np.float64)
        own = self.target_scores(counted)
        turns = [turn.scores(self._spread, counted) for turn in self._siblings]
        told = None if counted is None else np.concatenate([
            np.repeat(counted[..., [turn.number]], np.count_nonzero(~turn.members), axis=-1)
            for turn in self._siblings], axis=-1)
        return {name: SiblingScores(own.of(name), self._target.members, np.concatenate(
            [scores.of(name)[..., ~turn.members] for scores, turn in zip(turns, self._siblings)], axis=-1), told)
            for name in attacks}

    def target_scores(self, weights: ArrayLike | None = None) -> LiraScores:
        """Return the scores of the target alone; ``weights`` as in ``scores``."""
        return self._target.scores(self._spread, None if weights is None else np.asarray(weights, dtype=np.float64))


@dataclass(frozen=True)
class _Turn:
    """One network as the target, with the references that are left to it sample by sample.

    Attributes:
        number: the network's, among all of the family.
        own: its φ, (samples, queries).
        members: (samples,).
        phi: φ of the references, (references, samples, queries).
        keep: (references, samples).
        numbers: which networks they are, (references, samples).
    """

    number: int
    own: Floats
    members: Flags
    phi: Floats
    keep: Flags
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, phi: Floats, keep: Flags, place: int, numbers: NDArray[np.int64]) -> _Turn:
        """Return the turn of the network at ``place``, without it and its partners among the references."""
        everyone = np.arange(keep.shape[1])
        gone = np.zeros_like(keep)
        gone[place] = True
        gone[partners(keep)[place], everyone] = True
        left = np.argsort(gone, axis=0, kind="stable")[:len(keep) - 2]
        return cls(int(numbers[place]), phi[place], keep[place], phi[left, everyone], keep[left, everyone],
                   numbers[left])

    def scores(self, spread: Spread, weights: Floats | None) -> LiraScores:
        return lira(self.own, self.phi, self.keep, spread, None if weights is None else weights[..., self.numbers])


def independent_rows(keep: Flags, target: int, seed: int) -> Flags:
    """Return which samples every network may show an attack that learns from it, (models, samples).

    A sample in half of N networks is in N/2 - 1 of the N - 1 others if the target was trained on it, in N/2 otherwise.
    An attack that remembers samples from the others' answers would learn the opposite of the target's truth, and find
    less than nothing where nothing leaks. One network of the other side, drawn sample by sample, is therefore left
    out: in each that is left, members are then as frequent among the target's members as among its non-members.

    Args:
        keep: (models, samples), who was trained on what.
        target: number of the attacked network, whose own row is all False.
        seed: of the draw.
    """
    shown = np.ones_like(keep)
    shown[target] = False
    drawn = np.random.default_rng([seed, target]).random(keep.shape)
    drawn[keep == keep[target]] = -1.0
    shown[drawn.argmax(axis=0), np.arange(keep.shape[1])] = False
    return shown

