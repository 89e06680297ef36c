"""LiRA among siblings: networks on halves of one pool, each attacked with the others as its references.

Carlini et al., arXiv 2112.03570, sec. VI, leave one model out. Where a whole family of networks is to be attacked, no
references are trained beside them. The attacked network takes no part in what it is judged by: neither in its own
references nor in those of the siblings that its thresholds come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindleak.attacks.membership.lira import LiraScores, choose_spread, lira
from mindleak.attacks.membership.signals import Flags, Floats, partners
from mindleak.errors import InputError

# Two references on either side of every sample, the fewest that leave residuals for σ; the network and its partner.
FEWEST = 6


@dataclass(frozen=True)
class SiblingScores:
    """What an attack says of one network, and of non-members of its siblings, for the threshold.

    Attributes:
        target: (samples,), higher = more member-like.
        members: (samples,), bool.
        sibling_non_members: scores of samples under siblings that were not trained on them, one-dimensional.
    """

    target: Floats
    members: Flags
    sibling_non_members: Floats


def require_siblings(models: int, attacks: Sequence[str]) -> None:
    """Raise InputError where there are too few networks for LiRA among them."""
    if models < FEWEST:
        raise InputError(f"sweep.attacks has {attacks[0]}, for which sweep.models {models} is too small; right is an "
                         f"even number from {FEWEST} on")


def sibling_lira(phi: Floats, keep: Flags, target: int, attacks: Sequence[str]) -> dict[str, SiblingScores]:
    """Score one network by LiRA, the others being its references, and each of the others without it.

    With a network one of the other side goes, sample by sample (``signals.partners``), so that the numbers of IN and
    OUT references say nothing of whether it was trained on a sample.

    Args:
        phi: φ of all networks, (models, samples, queries).
        keep: (models, samples), who was trained on what, every sample in half of an even number of models.
        target: number of the attacked network.
        attacks: of ``names.LIRA_ATTACKS``.

    Raises:
        InputError: fewer than ``FEWEST`` networks.
    """
    require_siblings(len(phi), attacks)
    references = _without(phi, keep, target)
    counts = references[1].sum(axis=0)
    spread = choose_spread(int(counts.min()), len(references[1]) - int(counts.max()))
    own = lira(phi[target], *references, spread)
    rest = np.arange(len(phi)) != target
    siblings, trained = phi[rest], keep[rest]
    turns = [lira(one, *_without(siblings, trained, number), spread) for number, one in enumerate(siblings)]
    return {name: SiblingScores(own.of(name), keep[target], _non_members(turns, trained, name)) for name in attacks}


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


def _without(phi: Floats, keep: Flags, number: int) -> tuple[Floats, Flags]:
    """Return φ and keep of the models that are left, sample by sample, without one and its partner."""
    everyone = np.arange(keep.shape[1])
    gone = np.zeros_like(keep)
    gone[number] = True
    gone[partners(keep)[number], everyone] = True
    left = np.argsort(gone, axis=0, kind="stable")[:len(keep) - 2]
    return phi[left, everyone], keep[left, everyone]


def _non_members(turns: Sequence[LiraScores], trained: Flags, name: str) -> Floats:
    return np.concatenate([scores.of(name)[~members] for scores, members in zip(turns, trained)])
