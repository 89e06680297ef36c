"""The network that the RNN tutorial attacks: its LSTM on pixels brought from [0, 1] to [-1, 1]."""

from __future__ import annotations

from mindspore import Tensor

from mindleak.models.recurrent import Recurrent


class CentredLSTMRNN(Recurrent):
    """LSTM-RNN behind the RNN tutorial's ``Normalize((0.5,), (0.5,))``, a layer of the network here: x → (x - ½)/½.

    Shape, layers and arguments as ``Recurrent``; the tutorial reads images with ``sequence="channels"``.
    """

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See Classifier.forward_to."""
        return super().forward_to(2.0 * x - 1.0, layer)
