"""The contract of a classifier Cell: logits, named layers, and the network up to one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from mindspore import Tensor, nn, ops

from mindleak import kernels
from mindleak.errors import InputError, nearest

LOGITS = "logits"


class Classifier(nn.Cell):
    """A network from images to logits whose layers have names.

    Subclasses set ``layer_names`` (in order of computation, the last one being the logits) and
    ``input_shape`` (C, H, W), and write ``forward_to``. A layer's output is taken after its activation;
    ``<layer>.pre`` is the same before it.
    """

    layer_names: tuple[str, ...] = (LOGITS,)
    input_shape: tuple[int, int, int]
    num_classes: int
    default_epochs: int = 10

    def compute_with(self, library: kernels.Library | None) -> None:
        """Choose what computes the layers: the native kernels, or MindSpore's operators where ``library`` is None.

        Called once, when a network is made or copied (``by_operators``); what is compiled or asked afterwards does not
        change. A network that no kernel is made for has nothing to choose.
        """

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """Compute the output of ``layer``, one of ``layer_names``, for images ``x`` (N, C, H, W) in [0, 1].

        ``layer`` is a constant to the graph compiler, so the branches cost nothing at run time.

        Raises:
            NotImplementedError: the class does not define it.
        """
        raise NotImplementedError

    def construct(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, C, H, W) in [0, 1]."""
        return self.forward_to(x, LOGITS)

    def until(self, layer: str) -> nn.Cell:
        """Return a Cell that maps images to the output of ``layer`` and shares this network's parameters.

        Raises:
            InputError: the network has no such layer.
        """
        if layer not in self.layer_names:
            raise InputError(f"layer '{layer}' does not exist in {type(self).__name__}"
                             + nearest(layer, self.layer_names))
        return LayerOutput(self, layer)


def twin(network: nn.Cell, stand_ins: Iterable[tuple[nn.Cell, nn.Cell]] = ()) -> nn.Cell:
    """Return a copy of a network that shares its parameters, so that what trains the one trains the other.

    Args:
        network: stays as it is.
        stand_ins: Cells of the network, each with the Cell that takes its place in the copy.
    """
    shared: dict[int, Any] = {id(parameter): parameter for parameter in network.get_parameters()}
    for _, cell in network.cells_and_names():
        # An operator that is copied would lose the attributes that it was given after it was made.
        shared.update((id(value), value) for value in vars(cell).values() if isinstance(value, ops.Primitive))
    shared.update((id(cell), stand_in) for cell, stand_in in stand_ins)
    return copy.deepcopy(network, shared)


def by_operators(network: nn.Cell) -> nn.Cell:
    """Return a twin of a network that computes with MindSpore's operators alone, for those who watch its Cells."""
    made = twin(network)
    for _, cell in made.cells_and_names():
        if isinstance(cell, Classifier):
            cell.compute_with(None)
    return made


class LayerOutput(nn.Cell):
    """A classifier cut off after one of its layers.

    ``auto_prefix=False`` keeps the shared parameters' names as they are.
    """

    def __init__(self, network: Any, layer: str) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.layer = layer

    def construct(self, x: Tensor) -> Tensor:
        """Return the layer's output for images (N, C, H, W)."""
        return self.network.forward_to(x, self.layer)


def count_parameters(network: nn.Cell) -> int:
    """Return the number of trainable numbers in ``network``."""
    return sum(int(parameter.size) for parameter in network.trainable_params())
