"""LSTM-RNN of seed 000: an image read as a sequence, the last step classified."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn

from mindleak.errors import InputError
from mindleak.models import native
from mindleak.models.base import Classifier

SEQUENCES = ("rows", "channels")


class LSTMRNN(Classifier):
    """LSTM over an image, last step → Dense (seed 000; docs/methods.md).

    ``sequence="rows"`` reads (N, C, H, W) as H steps of C·W numbers (the document's classifier);
    ``"channels"`` reads it as C steps of H·W numbers (the model its membership attack uses).

    Shape: (N, C, H, W) → (N, num_classes). Layers: ``lstm`` (all steps, (N, T, hidden)),
    ``last`` (hidden state of the last step, (N, hidden)), ``logits``.
    """

    layer_names = ("lstm", "last", "logits")
    default_epochs = 20

    def __init__(self, input_shape: tuple[int, int, int] = (1, 28, 28), num_classes: int = 10,
                 hidden_size: int = 128, layers: int = 1, sequence: str = "rows") -> None:
        super().__init__()
        if sequence not in SEQUENCES:
            raise InputError(f"model.sequence '{sequence}' is unknown; one of {', '.join(SEQUENCES)}")
        for name, value in (("hidden_size", hidden_size), ("layers", layers)):
            if value < 1:
                raise InputError(f"model.{name} is {value}; at least 1 is needed")
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.by_rows = sequence == "rows"
        channels, height, width = input_shape
        self.steps = height if self.by_rows else channels
        self.step_size = channels * width if self.by_rows else height * width
        self.lstm = nn.LSTM(self.step_size, hidden_size, layers, batch_first=True)
        self.fc = nn.Dense(hidden_size, num_classes)
        self.below_top = layers - 1
        library = native.for_device()
        self.uses_kernels = library is not None
        self.native: Any = None if library is None else (native.lstm_layer(library), native.lstm_last(library))

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See Classifier.forward_to."""
        if self.by_rows:
            x = x.transpose((0, 2, 1, 3))
        x = x.reshape((x.shape[0], self.steps, self.step_size))
        if self.uses_kernels:
            for index in range(self.below_top):
                x = self.native[0](x, *self._weights(index))[0]
            if layer == "lstm":
                return self.native[0](x, *self._weights(self.below_top))[0]
            last = self.native[1](x, *self._weights(self.below_top))[3]
        else:
            outputs, (hidden, _) = self.lstm(x)
            if layer == "lstm":
                return outputs
            # Equal to outputs[:, -1], whose gradient would be as large as all outputs.
            last = hidden[-1]
        if layer == "last":
            return last
        return self.fc(last)

    def _weights(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights of one layer as the kernels take them: the two biases are only ever used as a sum."""
        lstm = self.lstm
        return lstm.w_ih_list[index], lstm.w_hh_list[index], lstm.b_ih_list[index] + lstm.b_hh_list[index]
