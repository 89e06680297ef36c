"""FCNet of the RNN tutorial: the attack model of the shadow-model membership attack."""

from __future__ import annotations

from mindspore import Tensor, nn


class FCNet(nn.Cell):
    """Two dense layers with a ReLU between: dim_in → 20 → 2 in the tutorial.

    Shape: (N, dim_in) → (N, dim_out); with ``return_hidden`` also the hidden layer's output (N, dim_hidden).
    """

    def __init__(self, dim_in: int = 10, dim_hidden: int = 20, dim_out: int = 2,
                 return_hidden: bool = False) -> None:
        super().__init__()
        self.return_hidden = return_hidden
        self.fc1 = nn.Dense(dim_in, dim_hidden)
        self.fc2 = nn.Dense(dim_hidden, dim_out)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the outputs, or (outputs, hidden) where the hidden layer was asked for."""
        hidden = self.relu(self.fc1(x))
        outputs = self.fc2(hidden)
        if self.return_hidden:
            return outputs, hidden
        return outputs
