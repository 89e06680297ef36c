"""LSTM-RNN (28 rows of 28 pixels, 128 hidden, Adam .001) training epochs: the product's path against torch eager."""

from __future__ import annotations

from typing import Any

import _training


def torch_lstm_rnn() -> Any:
    """Return the same network in torch; both frameworks initialise LSTM and dense layers alike by default."""
    from torch import nn

    class LSTMRNN(nn.Module):
        """Rows of an image as steps, the last step classified."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(28, 128, batch_first=True)
            self.fc = nn.Linear(128, 10)

        def forward(self, images: Any) -> Any:
            """Return logits (N, 10) for images (N, 1, 28, 28)."""
            states, _ = self.lstm(images.squeeze(1))
            return self.fc(states[:, -1])

    return LSTMRNN()


def torch_adam(parameters: Any) -> Any:
    """Return torch's Adam."""
    import torch

    return torch.optim.Adam(parameters, lr=0.001)


TASK = _training.Task("train_lstm_rnn", "lstm_rnn", 28, {"optimizer": "adam", "learning_rate": 0.001},
                      torch_lstm_rnn, torch_adam)

if __name__ == "__main__":
    _training.main(TASK, __file__, __doc__)
