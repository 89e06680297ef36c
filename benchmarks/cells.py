"""Recurrent cells x data sets: accuracy, parameters, seconds per epoch; torch beside it where torch has the cell.

Every network reads an image by rows, 128 hidden units, batch 64, Adam .001; ours with a cosine schedule over the epochs
(the recipe of ``configs/lstm_rnn_*.yaml``), the peer at a constant rate, which its time does not depend on. Accuracy is
that of the last epoch on the whole test split, no epoch being chosen by it.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import _pairs
import _training
import train_lstm_rnn

HIDDEN, BATCH = 128, 64
CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "clockwork": {"cell": "clockwork"},
    "lstm-2": {"cell": "lstm", "layers": 2},
    "bidirectional-lstm": {"cell": "lstm", "bidirectional": True},
    "bidirectional-lstm-2": {"cell": "lstm", "layers": 2, "bidirectional": True},
}
DATA = ("mnist", "fashion_mnist", "cifar10")


def torch_network(options: dict[str, Any], image_shape: tuple[int, int, int]) -> Any:
    """Return torch's network of the same cell on images (N, C, H, W)."""
    import torch
    from torch import nn

    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    channels, _, width = image_shape
    both = options.get("bidirectional", False)

    class Network(nn.Module):
        """Rows of an image as steps; the last state of every direction classified."""

        def __init__(self) -> None:
            super().__init__()
            self.recurrent = kinds[options["cell"]](channels * width, HIDDEN, options.get("layers", 1),
                                                    batch_first=True, bidirectional=both)
            self.fc = nn.Linear(HIDDEN * (1 + both), 10)

        def forward(self, images: Any) -> Any:
            """Return logits (N, 10)."""
            states, _ = self.recurrent(images.transpose(1, 2).flatten(2))
            if both:
                return self.fc(torch.cat((states[:, -1, :HIDDEN], states[:, 0, HIDDEN:]), 1))
            return self.fc(states[:, -1])

    return Network()


def task_of(case: _pairs.Case) -> _training.Task:
    """Return what a case trains."""
    options = CELLS[case["cell"]]
    return _training.Task(
        "cells", "recurrent", None, {"optimizer": "adam", "learning_rate": 0.001, "schedule": "cosine"},
        lambda: torch_network(options, tuple(case["image_shape"])), train_lstm_rnn.torch_adam,
        {"hidden_size": HIDDEN, **options})


def measure(case: _pairs.Case, with_peer: bool) -> dict[str, Any]:
    """Time a case, and say how large its network is and how much it gets right."""
    from mindleak.evaluation.intervals import clopper_pearson

    record = _training.measure(task_of(case), case, __file__, with_peer and case["cell"] != "clockwork")
    record["parameters"] = parameters(case)
    share = record["last_epoch"]["ours"]["val_accuracy"]
    low, high = clopper_pearson(round(share * case["validation"]), case["validation"])
    record["accuracy"] = {"value": share, "low": low, "high": high}
    print(f"    {record['parameters']:,} parameters; accuracy after {case['rounds'] + 1} epochs {100 * share:.2f} % "
          f"({100 * low:.2f} to {100 * high:.2f}, {case['validation']:,} test images)", flush=True)
    return record


def parameters(case: _pairs.Case) -> int:
    """Return how many numbers a case's network is made of."""
    from mindleak.models import registry
    from mindleak.models.base import count_parameters

    task = task_of(case)
    return count_parameters(registry.build(task.model, tuple(case["image_shape"]), 10, seed=0, options=task.options))


def cases(arguments: Namespace) -> list[_pairs.Case]:
    """Return every cell on every data set; toy is every cell on a handful of digits."""
    from mindleak.data import catalogue
    from mindleak.errors import InputError

    found = []
    for name in ("digits",) if arguments.toy else arguments.data:
        try:
            data = catalogue.load(name, arguments.data_dir)
        except InputError as error:
            _pairs.refuse(str(error))
        sizes = (128, 64) if arguments.toy else (12_000, 2_000) if arguments.quick else (None, None)
        samples, validation = (min(size or len(labels), len(labels))
                               for size, labels in zip(sizes, (data.y_train, data.y_test)))
        found += [{"name": f"cells/{name}/{cell}", "data": name, "data_dir": arguments.data_dir, "cell": cell,
                   "image_size": None, "image_shape": data.image_shape, "samples": samples, "validation": validation,
                   "batch_size": BATCH, "threads": threads, "rounds": (2 if arguments.toy else arguments.epochs) - 1}
                  for threads in arguments.threads for cell in arguments.cells]
    return found


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: lambda case, tick: _training.run_ours(task_of(case), case, tick),
                      _pairs.PEER: lambda case, tick: _training.run_torch(task_of(case), case, tick)})
    parser = _pairs.standard_parser(__doc__)
    _pairs.add_threads(parser)
    _training.add_data(parser)
    parser.add_argument("--data", nargs="+", default=list(DATA), metavar="NAME", help=f"data sets ({', '.join(DATA)})")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS), metavar="CELL",
                        help=f"cells ({', '.join(CELLS)})")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="epochs; the first is the warm-up (5)")
    arguments = parser.parse_args()
    if arguments.epochs < 2:
        _pairs.refuse(f"--epochs is {arguments.epochs}; the first one is the warm-up, so at least 2 are needed")
    with_peer = _pairs.require_peer("torch", arguments.no_peer)
    _pairs.finish([measure(case, with_peer) for case in cases(arguments)])


if __name__ == "__main__":
    main()
