"""A multilayer perceptron whose inputs can be shut: the attack network of the improved shadow attack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn


class MLP(nn.Cell):
    """Dense layers with ReLU between them; inputs times ``gate`` first.

    ``gate`` (dim_in,) is a parameter without gradient. An input whose gate is 0 has no influence, and its weights no
    gradient, so that networks on different subsets of the inputs share one compiled graph.

    Shape: (N, dim_in) → (N, dim_out).
    """

    def __init__(self, dim_in: int, hidden: Sequence[int], dim_out: int = 2) -> None:
        super().__init__()
        self.gate = Parameter(Tensor(np.ones(dim_in, np.float32)), name="gate", requires_grad=False)
        widths = [dim_in, *hidden]
        self.layers = nn.SequentialCell([cell for before, after in zip(widths, widths[1:])
                                         for cell in (nn.Dense(before, after), nn.ReLU())])
        self.head = nn.Dense(widths[-1], dim_out)

    def construct(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs x."""
        return self.head(self.layers(x * self.gate))
