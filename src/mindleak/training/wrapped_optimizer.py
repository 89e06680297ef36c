"""What an optimiser that wraps another one owes the loop: the same parameters and learning rate."""

from __future__ import annotations

from mindspore import Parameter, ParameterTuple, nn


class WrappedOptimizer(nn.Cell):
    """An optimiser around ``optimizer``, with parameters of its own beside it; ``construct`` is the subclass's."""

    def __init__(self, optimizer: nn.Optimizer) -> None:
        # With a prefix the optimiser's parameters, which include the network's, would be renamed.
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    @property
    def parameters(self) -> ParameterTuple:
        """The weights that the optimiser moves."""
        return self.optimizer.parameters

    @property
    def learning_rate(self) -> Parameter:
        """The optimiser's learning rate."""
        return self.optimizer.learning_rate
