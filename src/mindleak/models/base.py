"""The contract of a classifier Cell: logits, named layers, and the network up to one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mindspore import Tensor, nn

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
    # True where ``forward_to`` computes some layers with the kernels of ``mindleak.kernels`` instead of their Cells.
    uses_kernels: bool = False

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


@contextlib.contextmanager
def cells_only(network: nn.Cell) -> Iterator[None]:
    """Let a network compute by its Cells alone inside the block, for those who watch or replace a Cell.

    What was compiled before keeps its kernels.
    """
    bypassed = [cell for _, cell in network.cells_and_names() if getattr(cell, "uses_kernels", False)]
    for cell in bypassed:
        cell.uses_kernels = False
    try:
        yield
    finally:
        for cell in bypassed:
            cell.uses_kernels = True


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
