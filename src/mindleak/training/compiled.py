"""Trainings of one kind after the other in the same compiled graphs: between two models only numbers change.

Compiling costs seconds, and what is compiled depends on architecture, recipe and shapes alone. The next model's initial
weights are written where the last one's lie, the optimiser's state goes back to where it began, and the data set stays
on the device; which of its rows a model learns from is said by the order of its batches.
"""

from __future__ import annotations

import numpy as np
from mindspore import nn

from mindleak.training import in_place
from mindleak.training.loop import Predictor, TrainingLoop, make_optimizer
from mindleak.training.recipe import Recipe


class CompiledTraining:
    """A network with its optimiser and the graphs that train and ask it.

    Args:
        network: freshly initialised; all that its training changes must be parameters.
        recipe: whose optimiser it is trained with.
        images: float32 (N, C, H, W), the whole data set.
        labels: int32 (N,).
    """

    def __init__(self, network: nn.Cell, recipe: Recipe, images: np.ndarray, labels: np.ndarray) -> None:
        self.network = network
        self.recipe = recipe
        self.images = images
        self.labels = labels
        self.optimizer = make_optimizer(network, recipe)
        self.loop = TrainingLoop(network, self.optimizer, images, labels)
        self.predict = Predictor(network)
        weights = {id(parameter) for parameter in network.get_parameters()}
        self._state = [parameter for parameter in self.optimizer.get_parameters() if id(parameter) not in weights]
        self._initial_state = [parameter.asnumpy().copy() for parameter in self._state]

    def serves(self, recipe: Recipe, images: np.ndarray, labels: np.ndarray) -> bool:
        """Return whether it can train a network of the same architecture with this recipe on this very data set.

        ``images`` (N, C, H, W) and ``labels`` (N,) must be the same objects, since equal arrays would be copied again.
        """
        return self.recipe == recipe and self.images is images and self.labels is labels

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
        self._most = most
        self._kept: list[tuple[str, CompiledTraining]] = []

    def begin(self, architecture: str, fresh: nn.Cell, recipe: Recipe, images: np.ndarray,
              labels: np.ndarray) -> CompiledTraining:
        """Return a training that is where one of ``fresh`` begins.

        A network that an earlier call has returned is trained anew: what is still wanted of it must have been taken.

        Args:
            architecture: equal for networks that differ in the values of their parameters only.
            fresh: freshly initialised; becomes the network where there is none of its architecture yet.
            recipe: of the training.
            images: the whole data set, float32 (N, C, H, W).
            labels: its labels, int32 (N,).
        """
        for position, (name, kept) in enumerate(self._kept):
            if name == architecture and kept.serves(recipe, images, labels):
                self._kept.append(self._kept.pop(position))
                kept.restart(fresh)
                return kept
        # The oldest is dropped before the new one is made, so that the device never holds one more than allowed.
        del self._kept[:len(self._kept) - self._most + 1]
        made = CompiledTraining(fresh, recipe, images, labels)
        self._kept.append((architecture, made))
        return made
