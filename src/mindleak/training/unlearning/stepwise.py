"""What the methods that take an optimiser's steps have in common: passes and a step size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Optional

import numpy as np
from mindspore import nn

from mindleak.training.loop import make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.parameters import positive, whole
from mindleak.training.unlearning.passes import Objective, Passes
from mindleak.training.unlearning.unlearning import Unlearning, UnlearningRequest


class Stepwise(Unlearning):
    """A method by the recipe's optimiser, from a fresh state and at a constant step size.

    Args:
        passes: how many there are.
        learning_rate: the step size; None is ``factor`` times the recipe's learning rate.
        parameters: further hyper-parameters, checked.

    Raises:
        InputError: ``passes`` below 1, or a step size that is not above 0.

    Attributes:
        factor: the default step size, as a multiple of the recipe's learning rate.
    """

    factor: ClassVar[float] = 1.0

    def __init__(self, passes: int, learning_rate: Optional[float], **parameters: Any) -> None:
        rate = None if learning_rate is None else positive("learning_rate", learning_rate)
        super().__init__(passes=whole("passes", passes, 1), learning_rate=rate, **parameters)
        self.passes = passes
        self.learning_rate = rate

    @classmethod
    def _parameters_of(cls, entry: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
        """Return the hyper-parameters of an entry; its ``rate`` is a multiple of the recipe's learning rate."""
        given = dict(entry)
        if "rate" in given:
            given["learning_rate"] = given.pop("rate") * recipe.learning_rate
        return given

    def _rate(self, recipe: Recipe) -> float:
        """Return the step size."""
        return self.factor * recipe.learning_rate if self.learning_rate is None else float(self.learning_rate)

    def _step(self, request: UnlearningRequest) -> str:
        return f"learning_rate (now {self._rate(request.recipe):g})"

    def _optimizer(self, network: nn.Cell, recipe: Recipe) -> nn.Cell:
        """Return the optimiser of the steps; its learning rate is set before the first one."""
        return make_optimizer(network, recipe)

    def _begin(self, request: UnlearningRequest) -> Passes:
        """Return the passes over the request's images, with the optimiser's state fresh."""
        recipe = replace(request.recipe, schedule="constant")
        passes: Passes = self._kept(request, lambda: Passes(
            request.network, self._optimizer(request.network, recipe), request.x, recipe.batch_size))
        passes.restart(self._rate(recipe))
        return passes

    def _repeat(self, passes: Passes, objective: Objective, request: UnlearningRequest, rows: np.ndarray,
                labels: np.ndarray, teacher: Optional[np.ndarray] = None) -> list[float]:
        """Take all passes over rows by one objective; return the mean loss of each."""
        return [passes.run(objective, rows, (request.seed, number), labels, teacher).loss
                for number in range(1, self.passes + 1)]
