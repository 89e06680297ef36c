"""What was compiled is used again: between two models of one kind only numbers change.

Compiling costs seconds, and what is compiled depends on architecture, recipe and shapes alone. A ``Shelf`` keeps what
was compiled by these. Trainings of one kind go one after the other in the same graphs: the next model's initial weights
are written where the last one's lie, the optimiser's state goes back to where it began, and the data set stays on the
device; which of its rows a model learns from is said by the order of its batches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np
from mindspore import nn

from mindleak.training import in_place
from mindleak.training.loop import Predictor, make_optimizer
from mindleak.training.recipe import Recipe

Item = TypeVar("Item")
# Makes the compiled loop of a network and its optimiser.
LoopMaker = Callable[[nn.Cell, nn.Cell], Any]


class Shelf(Generic[Item]):
    """Things that were compiled, by keys that say all that they depend on; the last few used.

    Args:
        most: how many are kept at a time; None keeps all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._kept: dict[Hashable, Item] = {}

    def get(self, key: Hashable, make: Callable[[], Item]) -> Item:
        """Return what is kept by a key, made now if nothing is.

        Args:
            key: a key with the ``id`` of an object in it is right as long as what is kept by it holds that object.
            make: what to keep.
        """
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            return self._kept[key]
        # The one that makes room goes first: two at a time are two on the device.
        while self._most is not None and len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        return self._kept.setdefault(key, make())


class CompiledTraining:
    """A network with its optimiser and the graphs that train and ask it.

    Args:
        network: freshly initialised; all that its training changes must be parameters.
        recipe: whose optimiser it is trained with.
        images: float32 (N, C, H, W), the whole data set.
        labels: int32 (N,).
        make_loop: makes the compiled loop of a network and its optimiser over the data.
    """

    def __init__(self, network: nn.Cell, recipe: Recipe, images: np.ndarray, labels: np.ndarray,
                 make_loop: LoopMaker) -> None:
        self.network = network
        self.data = images, labels
        self.optimizer = make_optimizer(network, recipe)
        self.loop = make_loop(network, self.optimizer)
        self.predict = Predictor(network)
        weights = {id(parameter) for parameter in network.get_parameters()}
        self._state = [parameter for parameter in self.optimizer.get_parameters() if id(parameter) not in weights]
        self._initial_state = [parameter.asnumpy().copy() for parameter in self._state]

    def restart(self, fresh: nn.Cell) -> None:
        """Go back to before the first step, with the weights of ``fresh``."""
        for parameter, start in zip(self.network.get_parameters(), fresh.get_parameters()):
            in_place.write(parameter, start.asnumpy())
        for parameter, value in zip(self._state, self._initial_state):
            in_place.write(parameter, value)


class CompiledTrainings:
    """The compiled trainings of a process, the last few of them.

    Args:
        most: how many are kept at a time; each holds a network, its optimiser and its graphs.
    """

    def __init__(self, most: int = 2) -> None:
        self._shelf: Shelf[CompiledTraining] = Shelf(most)

    def begin(self, architecture: str, fresh: nn.Cell, recipe: Recipe, images: np.ndarray, labels: np.ndarray,
              make_loop: LoopMaker, further: Hashable = None) -> CompiledTraining:
        """Return a training that is where one of ``fresh`` begins.

        A network that an earlier call has returned is trained anew: what is still wanted of it must have been taken.

        Args:
            architecture: equal for networks that differ in the values of their parameters only.
            fresh: freshly initialised; becomes the network where there is none of its architecture yet.
            recipe: of the training.
            images: the whole data set, float32 (N, C, H, W).
            labels: its labels, int32 (N,).
            make_loop: makes the compiled loop where there is none of its kind yet.
            further: what the loop's graph depends on beside architecture, recipe and data.
        """
        # The training holds the arrays, so no others can get their ids.
        key = (architecture, recipe, id(images), id(labels), further)
        training = self._shelf.get(key, lambda: CompiledTraining(fresh, recipe, images, labels, make_loop))
        if training.network is not fresh:
            training.restart(fresh)
        return training
