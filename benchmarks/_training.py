"""Training against torch: the product's own training path and a torch eager loop that does the same work.

A third side is the product's path with MindSpore's own operators in the compiled loop (``device.kernels=mindspore``).
All hold the same float32 arrays in memory, shuffle by index every epoch, sum loss and hits over the steps,
and measure loss and accuracy on the validation set after every epoch. The torch loop is written the way that
is fast on CPU: rows picked from a resident tensor (no DataLoader), no ``.item()`` inside the epoch.
"""

from __future__ import annotations

import math
import statistics
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

import _pairs

BATCH_SIZES = (32, 64)
OPERATORS = "operators"
# Cores that other processes may use before a measurement is called disturbed: above clock ticks and daemons.
DISTURBED = 0.15


@dataclass(frozen=True)
class Task:
    """What is trained: the product's network with its options and recipe, and the same network in torch.

    ``torch_network`` and ``torch_optimizer`` import torch inside, since only the peer's worker may need it.
    ``redraws``: its first weights are those of ``draw_weights``, torch's by default.
    """

    name: str
    model: str
    image_size: int | None
    recipe: dict[str, Any]
    torch_network: Callable[[], Any]
    torch_optimizer: Callable[[Any], Any]
    options: dict[str, Any] = field(default_factory=dict)
    redraws: bool = False


@dataclass(frozen=True)
class Arrays:
    """Images float32 (N, C, H, W) in [0, 1], labels int32 (N,)."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray


def dataset_name(data_dir: str | None) -> str:
    """Return ``mnist`` if a folder is named or MINDLEAK_DATA_DIR holds its files, else ``digits``.

    Looks for the files without reading them: what this process once held would count as its children's peak.
    """
    from mindleak.data import catalogue
    from mindleak.data.locate import data_root
    from mindleak.errors import InputError

    files = catalogue.entry("mnist").files
    assert files is not None
    try:
        here = all(path is not None for path in files.locate(data_root(data_dir)))
    except InputError:
        here = False
    return "mnist" if here or data_dir is not None else "digits"


def load_arrays(case: _pairs.Case) -> Arrays:
    """Return the case's arrays; a data set with fewer rows than wanted is repeated."""
    from mindleak.data import catalogue
    from mindleak.errors import InputError

    try:
        data = catalogue.load(case["data"], case["data_dir"], image_size=case["image_size"])
    except InputError as error:
        _pairs.refuse(str(error))
    return Arrays(*_rows(data.x_train, data.y_train, case["samples"]),
                  *_rows(data.x_test, data.y_test, case["validation"]))


def _rows(images: np.ndarray, labels: np.ndarray, wanted: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``wanted`` rows, starting over where there are fewer; None means all, without a copy."""
    if wanted is None or wanted == len(labels):
        return images, labels
    rows = np.resize(np.arange(len(labels)), wanted)
    return images[rows], labels[rows]


def draw_weights(network: Any, seed: int) -> None:
    """Draw a network's weights and biases from U(-1/√inputs, 1/√inputs), both frameworks' default.

    The tutorial's LeNet5 begins so close to zero that plain SGD needs thousands of steps to get away from there.
    """
    from mindleak.training import in_place

    generator = np.random.default_rng(seed)
    bound = 1.0
    for parameter in network.trainable_params():
        # A bias comes behind the weight of its layer.
        bound = 1 / math.sqrt(math.prod(parameter.shape[1:])) if len(parameter.shape) > 1 else bound
        in_place.write(parameter, generator.uniform(-bound, bound, parameter.shape).astype(np.float32))


def make_network(task: Task, shape: tuple[int, ...], seed: int) -> Any:
    """Return the product's network of a task, freshly initialised."""
    from mindleak.models import registry

    network = registry.build(task.model, shape, 10, seed=seed, options=task.options)
    if task.redraws:
        draw_weights(network, seed)
    return network


def run_ours(task: Task, case: _pairs.Case, tick: _pairs.Tick, kernels: str = "auto") -> None:
    """Train by the product's own path; one unit is one epoch of ``Training``."""
    from mindleak import device
    from mindleak.training.history import EpochPrinter, EpochRecord
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingData, TrainingRequest
    from mindleak.training.trainer import Training

    class Ticker(EpochPrinter):
        """Hears of every epoch."""

        def epoch(self, record: EpochRecord) -> None:
            tick({"train_loss": record.train_loss, "train_accuracy": record.train_accuracy,
                  "val_loss": record.val_loss, "val_accuracy": record.val_accuracy})

    device.configure("CPU", threads=case["threads"], kernels=kernels)
    arrays = load_arrays(case)
    network = make_network(task, arrays.x.shape[1:], 0)
    recipe = Recipe(epochs=case["rounds"] + 1, batch_size=case["batch_size"], **task.recipe)
    data = TrainingData(arrays.x, arrays.y, arrays.x_val, arrays.y_val, digest="benchmark")
    Training.train(TrainingRequest(network, data, recipe, 0, printer=Ticker("", 0, enabled=False)))


def run_torch(task: Task, case: _pairs.Case, tick: _pairs.Tick) -> Any:
    """Train by a torch eager loop, one unit being one epoch with the same duties; return the network."""
    import torch

    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    arrays = load_arrays(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the arrays are read-only, and nobody here writes to them
        images, val_images = torch.from_numpy(arrays.x), torch.from_numpy(arrays.x_val)
    labels, val_labels = torch.tensor(arrays.y).long(), torch.tensor(arrays.y_val).long()
    network = task.torch_network()
    optimizer = task.torch_optimizer(network.parameters())
    for _ in range(case["rounds"] + 1):
        loss, accuracy = _torch_epoch(network, optimizer, images, labels, case["batch_size"])
        val_loss, val_accuracy = _torch_validation(network, val_images, val_labels)
        tick({"train_loss": loss, "train_accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy})
    return network


def _torch_epoch(network: Any, optimizer: Any, images: Any, labels: Any, batch_size: int) -> tuple[float, float]:
    """Take an epoch's steps; return mean loss and accuracy over them."""
    import torch
    from torch.nn import functional

    steps = len(images) // batch_size
    loss_sum, correct = torch.zeros(()), torch.zeros((), dtype=torch.long)
    network.train()
    for batch in torch.randperm(len(images))[: steps * batch_size].view(steps, batch_size):
        truth = labels.index_select(0, batch)
        logits = network(images.index_select(0, batch))
        loss = functional.cross_entropy(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach()
        correct += (logits.detach().argmax(1) == truth).sum()
    return float(loss_sum) / steps, float(correct) / (steps * batch_size)


def _torch_validation(network: Any, images: Any, labels: Any) -> tuple[float, float]:
    """Return mean loss and accuracy, in batches of 1000 as the product has it."""
    import torch
    from torch.nn import functional

    network.eval()
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in images.split(1000)])
        return (float(functional.cross_entropy(logits, labels)),
                float((logits.argmax(1) == labels).float().mean()))


def measure(task: Task, case: _pairs.Case, script: str, with_peer: bool,
            further: Sequence[str] = ()) -> dict[str, Any]:
    """Time one case and return its record; the warm-up's surplus over an ordinary epoch is given apart.

    A ``further`` side has its median and its ratio to ours under its own name.
    """
    units = _pairs.alternate(script, case, with_peer, further)
    seconds = {side: [unit.seconds for unit in of_side[1:]] for side, of_side in units.items()}
    others = [unit.others for of_side in units.values() for unit in of_side[1:] if unit.others is not None]
    record = _pairs.compare(
        case["name"], seconds["ours"], seconds.get("peer", ()), "s/epoch", data=case["data"],
        samples=case["samples"], others_busy=max(others, default=None),
        warm_up={side: of_side[0].seconds for side, of_side in units.items()},
        last_epoch={side: of_side[-1].figures for side, of_side in units.items()},
        **{side: {"median": statistics.median(seconds[side]), **_pairs.ratios(seconds[_pairs.OURS], seconds[side])}
           for side in further})
    _pairs.show(record)
    for side in further:
        of_side = record[side]
        print(f"    {side} {of_side['median']:.3f} {record['unit']}   ratio {of_side['ratio']:.3f} "
              f"({of_side['min']:.3f} to {of_side['max']:.3f})", flush=True)
    if record["others_busy"] is not None and record["others_busy"] > DISTURBED:
        print(f"    disturbed: other processes kept up to {record['others_busy']:.1f} cores busy; measure again "
              "on a quiet machine", flush=True)
    for side, of_side in units.items():
        last = of_side[-1].figures
        print(f"    {side:<9} start, compilation and first epoch {of_side[0].seconds:6.2f} s; after "
              f"{len(of_side)} epochs train loss {last['train_loss']:.4f}, "
              f"validation accuracy {last['val_accuracy']:.4f}", flush=True)
    return record


def main(task: Task, script: str, description: str | None) -> None:
    """Run as a worker, or as the benchmark: all batch sizes at all thread counts."""
    _pairs.be_worker({_pairs.OURS: lambda case, tick: run_ours(task, case, tick),
                      OPERATORS: lambda case, tick: run_ours(task, case, tick, kernels="mindspore"),
                      _pairs.PEER: lambda case, tick: run_torch(task, case, tick)})
    parser = _pairs.standard_parser(description)
    _pairs.add_threads(parser)
    parser.add_argument("--batch_size", type=int, nargs="+", default=list(BATCH_SIZES), metavar="N",
                        help="batch sizes, one case each (32 and 64)")
    add_data(parser)
    arguments = parser.parse_args()
    with_peer = _pairs.require_peer("torch", arguments.no_peer)
    records = [measure(task, case, script, with_peer, (OPERATORS,)) for case in _cases(task, arguments)]
    for record in records:
        record["accuracy"] = last_accuracy(record)
    _pairs.finish(records)
    if not arguments.toy:
        _pairs.require_learnt(records)


def last_accuracy(record: dict[str, Any]) -> dict[str, float]:
    """Return the accuracy of every side's last epoch on the images that it was trained on."""
    return {side: figures["train_accuracy"] for side, figures in record["last_epoch"].items()}


def add_data(parser: ArgumentParser) -> None:
    """Add --data_dir."""
    parser.add_argument("--data_dir", metavar="DIR", help="folder with MNIST (or MINDLEAK_DATA_DIR); "
                        "without one, scikit-learn's digits, enlarged and repeated")


def _cases(task: Task, arguments: Namespace) -> list[_pairs.Case]:
    """Return the cases; toy is one of them at a size that says nothing."""
    samples, validation, rounds = (128, 64, 1) if arguments.toy else (12_000, 2_000, 5) if arguments.quick \
        else (60_000, 10_000, 7)
    common = {"data": "digits" if arguments.toy else dataset_name(arguments.data_dir),
              "data_dir": arguments.data_dir, "image_size": task.image_size,
              "samples": samples, "validation": validation, "rounds": rounds}
    return [{"name": f"{task.name}/batch{batch}/threads{threads}", "batch_size": batch, "threads": threads, **common}
            for threads in arguments.threads for batch in arguments.batch_size][: 1 if arguments.toy else None]
