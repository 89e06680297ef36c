"""Relearning time: how many steps a network needs until it knows forgotten samples as well as it once did.

What was not forgotten comes back at once. The measure of a deletion is the time of a network that never saw the
samples: whoever relearns them faster still has something of them (Golatkar et al., arXiv 1911.04933, sec. 5, "relearn
time"; Tarun et al., arXiv 2111.08947, "anamnesis index").
"""

from __future__ import annotations

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
        reached: whether it was, within the passes allowed; otherwise ``steps`` are all that were taken.
        losses: the mean losses that were looked at, the first before any step.
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
            recipe: optimiser, batch size and learning rate; its schedule is not followed.
            seed: of the batches.
            bound: mean cross-entropy of the rows, in nats, at or below which they are known again.
        """
        kept = (id(network), id(x), recipe)
        constant = replace(recipe, schedule="constant")
        with device.seeded(seed):
            passes = self._shelf.get(kept, lambda: Passes(network, make_optimizer(network, constant), x,
                                                          recipe.batch_size))
            passes.restart(recipe.learning_rate)
            return self._relearnt(passes, x, y, np.sort(rows).astype(np.int32), seed, bound)

    def _relearnt(self, passes: Passes, x: np.ndarray, y: np.ndarray, rows: np.ndarray, seed: int,
                  bound: float) -> Relearnt:
        per_pass = passes.steps(len(rows))
        taken, losses = 0, [_mean_loss(passes, x[rows], y[rows])]
        for look in _looks(self.passes * per_pass):
            if losses[-1] <= bound:
                break
            while taken < look:
                number, first = divmod(taken, per_pass)
                stop = min(per_pass, first + look - taken)
                passes.run(LEARN, rows, (seed, number + 1), y, span=(first, stop))
                taken += stop - first
            losses.append(_mean_loss(passes, x[rows], y[rows]))
        return Relearnt(taken, bool(losses[-1] <= bound), tuple(losses))


def _looks(most: int) -> list[int]:
    """Return after how many steps the loss is looked at."""
    found = [1]
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, round(found[-1] * GROWTH))))
    return found


def _mean_loss(passes: Passes, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of images under the network as it is."""
    return float(loss(passes.predict(images), labels).mean())
