"""Magnitude pruning after training (Han et al., arXiv 1506.02626): the plain way to a sparse network.

Trained the ordinary way first; then the smallest weights of every layer are set to zero at once, and held there while
the rest may be fine-tuned. The layers, and the floors on how many weights they keep, are those of suppress training, so
that both can be compared at equal sparsity.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindleak.errors import InputError, Key
from mindleak.settings.prune import Prune
from mindleak.training.loop import make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest
from mindleak.training.suppress.settings import MaskLayer, mask_layers
from mindleak.training.suppress.sparsity import sparsity
from mindleak.training.trainer import Training, is_best
from mindleak.training.wrapped_optimizer import WrappedOptimizer

# Han et al. retrain LeNet at a tenth of its learning rate (section 4.1).
FINETUNE_FACTOR = 0.1


@dataclass(frozen=True)
class PruneSettings:
    """How much to prune; field names are the keys of ``prune`` in a configuration.

    ``sparsity`` is the fraction of every pruned layer that becomes zero, ``layers`` is as in ``suppress``: ``"auto"``
    or a list of parameter names or of fields, of which ``min_num`` counts here. ``finetune_epochs`` come after the
    recipe's, at ``finetune_learning_rate`` (None: a tenth of ``training.learning_rate``).
    """

    sparsity: float = 0.95
    layers: Any = "auto"
    finetune_epochs: int = 0
    finetune_learning_rate: float | None = None

    def __post_init__(self) -> None:
        Prune.require(self.as_dict(), "prune")
        if self.finetune_learning_rate is not None and self.finetune_epochs == 0:
            raise InputError(Key("prune.finetune_learning_rate"), " has no effect without ",
                             Key("prune.finetune_epochs"))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return dataclasses.asdict(self)


def prune_layers(network: nn.Cell, layers: Any) -> list[MaskLayer]:
    """Return the layers to prune: those that suppress training would take.

    Raises:
        InputError: a name that is no trainable parameter, named twice, or nothing to prune.
    """
    return mask_layers(network, layers, "prune")


def smallest(weights: np.ndarray, layer: MaskLayer, fraction: float) -> np.ndarray:
    """Return which weights are kept, float32 of their shape: 0 for the smallest by magnitude, 1 for the rest.

    ⌊fraction · size⌋ weights go, fewer where ``min_num`` must stay; among equals the first in order.
    """
    count = min(int(fraction * weights.size), weights.size - min(max(layer.min_num, 0), weights.size))
    kept = np.ones(weights.size, np.float32)
    kept[np.argsort(np.abs(weights), axis=None, kind="stable")[:count]] = 0
    return kept.reshape(weights.shape)


class HeldZeros(WrappedOptimizer):
    """An optimiser that sets masked weights to zero after each of its steps; a mask of ones changes nothing.

    The masks are parameters of its own, so a checkpoint has them.
    """

    def __init__(self, optimizer: nn.Optimizer, names: list[str]) -> None:
        super().__init__(optimizer)
        by_name = {parameter.name: parameter for parameter in optimizer.parameters}
        self.held = tuple(by_name[name] for name in names)
        self.masks = ParameterTuple([Parameter(Tensor(np.ones(by_name[name].shape, np.float32)),
                                               name=f"mask.{name}", requires_grad=False) for name in names])

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Take the optimiser's step, then apply the masks."""
        done = self.optimizer(gradients)
        for index in range(len(self.held)):
            weight = ops.depend(self.held[index], done)
            done = ops.depend(done, ops.assign(self.held[index], weight * self.masks[index]))
        return done

    def prune(self, layers: list[MaskLayer], fraction: float) -> None:
        """Set the smallest weights of every layer to zero, and hold them from now on."""
        for layer, weight, mask in zip(layers, self.held, self.masks):
            kept = smallest(weight.asnumpy(), layer, fraction)
            # In place: a compiled loop goes on with the memory that it knows.
            ops.assign(mask, Tensor(kept))
            ops.assign(weight, Tensor(weight.asnumpy() * kept))


class PruneTraining(Training):
    """The recipe's epochs, the last of them ending in the pruning, and those of fine-tuning.

    Up to the pruning the weights are those of the ordinary way. Fine-tuning shares its optimiser, state included, and
    batch size; the best checkpoint is one of the pruned network's epochs. ``record`` counts the zeros.
    """

    section = "prune"
    settings_type = PruneSettings
    kind = "prune training"
    shares_graphs = False

    @classmethod
    def check(cls, network: nn.Cell, shape: tuple[int, ...], recipe: Recipe, settings: PruneSettings,
              samples: int) -> None:
        """Refuse what ``prune_layers`` refuses."""
        prune_layers(network, settings.layers)

    @classmethod
    def epochs(cls, recipe: Recipe, settings: PruneSettings) -> int:
        """Return how many epochs there are with fine-tuning."""
        return recipe.epochs + settings.finetune_epochs

    def __init__(self, request: TrainingRequest) -> None:
        self._settings: PruneSettings = request.settings
        self._layers = prune_layers(request.network, self._settings.layers)
        self._held = HeldZeros(make_optimizer(request.network, request.recipe), [layer.name for layer in self._layers])
        super().__init__(request, self._held)

    def learning_rate(self, epoch: int) -> float:
        """Return the recipe's rate, or that of fine-tuning."""
        if epoch <= self.recipe.epochs:
            return super().learning_rate(epoch)
        rate = self._settings.finetune_learning_rate
        return FINETUNE_FACTOR * self.recipe.learning_rate if rate is None else rate

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Take an epoch's steps, and prune after the recipe's last one."""
        figures = super().train_epoch(epoch)
        if epoch == self.recipe.epochs:
            self._held.prune(self._layers, self._settings.sparsity)
            self.request.printer.note(f"pruned after epoch {epoch}: its validation figures are those of the pruned "
                                      "network")
        return figures

    def is_best(self, epoch: int) -> bool:
        """Return whether the last epoch is the best of those of the pruned network; no other was asked for."""
        return epoch >= self.recipe.epochs and is_best(self._history[self.recipe.epochs - 1:])

    def record(self) -> dict[str, Any]:
        """Return the zeros by layer."""
        return {"sparsity": {**sparsity(self._network, self._layers, self._settings.sparsity),
                             "finetune_epochs": self._settings.finetune_epochs}}
