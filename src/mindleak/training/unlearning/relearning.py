"""Relearning time: how many steps a network needs until it knows forgotten samples as well as it once did.

What was not forgotten comes back at once. The measure of a deletion is the time of a network that never saw the
samples: whoever relearns them faster still has something of them (Golatkar et al., arXiv 1911.04933, sec. 5, "relearn
time"; Chundawat et al., arXiv 2201.05629, "anamnesis index").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.evaluation.signals import loss
from mindleak.training.compiled import Shelf
from mindleak.training.loop import make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.passes import LEARN, Passes

# Between two looks the number of steps grows by this factor, but for the first few, which are looked at one by one.
GROWTH = 1.25


@dataclass(frozen=True)
class Relearnt:
    """How a network has come to know its samples again.

    Attributes:
        steps: after which the mean loss was first seen at or below the bound; exact to a step up to 5, then to a fifth.
        reached: whether it was; otherwise ``steps`` are all that were allowed, also where the loss ceased to be finite.
        losses: the mean losses that were looked at, in nats, the first before any step; finite ones alone.
    """

    steps: int
    reached: bool
    losses: tuple[float, ...]


class Relearning:
    """Trains networks on the samples that they have forgotten, by the recipe's optimiser, and counts the steps.

    One instance goes on with what it has compiled where the network object and the images stay the same.

    Args:
        passes: over the samples, at most.

    Example:
        >>> Relearning().of(network, x, y, rows, recipe, seed=0, bound=0.02)  # doctest: +SKIP
        Relearnt(steps=12, reached=True, losses=(0.31, ..., 0.019))
    """

    def __init__(self, passes: int = 20) -> None:
        self.passes = passes
        self._shelf: Shelf[Passes] = Shelf(most=1)

    def of(self, network: nn.Cell, x: np.ndarray, y: np.ndarray, rows: np.ndarray, recipe: Recipe, seed: int,
           bound: float) -> Relearnt:
        """Train a network, in place, until it knows the rows as well as asked for.

        Args:
            network: maps images to logits.
            x: images of the whole training split, float32 (N, C, H, W).
            y: its labels, int32 (N,).
            rows: that it shall know again, int64 (n,).
            recipe: optimiser, batch size and learning rate; neither its schedule nor its method is followed.
            seed: of the batches.
            bound: mean cross-entropy of the rows, in nats, at or below which they are known again.
        """
        def make() -> Passes:
            return Passes(network, make_optimizer(network, replace(recipe, schedule="constant")), x, recipe.batch_size)

        with device.seeded(seed):
            # An array that can be written to may be another one the next time.
            passes = make() if x.flags.writeable else self._shelf.get((id(network), id(x), recipe), make)
            passes.restart(recipe.learning_rate)
            return self._relearnt(passes, x, y, np.sort(rows).astype(np.int32), seed, bound)

    def _relearnt(self, passes: Passes, x: np.ndarray, y: np.ndarray, rows: np.ndarray, seed: int,
                  bound: float) -> Relearnt:
        per_pass = passes.steps(len(rows))
        taken, losses = 0, [_mean_loss(passes, x[rows], y[rows])]
        for look in _looks(self.passes * per_pass):
            if losses[-1] <= bound:
                return Relearnt(taken, True, tuple(losses))
            while taken < look:
                number, first = divmod(taken, per_pass)
                stop = min(per_pass, first + look - taken)
                passes.run(LEARN, rows, (seed, number + 1), y, span=(first, stop))
                taken += stop - first
            found = _mean_loss(passes, x[rows], y[rows])
            if not math.isfinite(found):
                return Relearnt(self.passes * per_pass, False, tuple(losses))
            losses.append(found)
        return Relearnt(taken, losses[-1] <= bound, tuple(losses))


def _looks(most: int) -> list[int]:
    """Return after how many steps the loss is looked at."""
    found = [1]
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, round(found[-1] * GROWTH))))
    return found


def _mean_loss(passes: Passes, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of images under the network as it is; NaN where answers are not finite."""
    logits = passes.predict(images)
    return float(loss(logits, labels).mean()) if np.isfinite(logits).all() else math.nan
