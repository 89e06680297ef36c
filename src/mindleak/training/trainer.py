"""Train a classifier the ordinary way: compiled loop, checkpoint after every epoch, exact resume."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from tqdm import tqdm

from mindleak import device
from mindleak.errors import InputError
from mindleak.evaluation.signals import loss as cross_entropy
from mindleak.runs.digest import stable_hash
from mindleak.training import checkpoint
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop, epoch_order, make_optimizer
from mindleak.training.recipe import Recipe, learning_rate_at

# Steps per compiled call: long enough that the call costs nothing, short enough for a progress bar and Ctrl-C.
STEPS_PER_CALL = 250


@dataclass(frozen=True)
class TrainingData:
    """Images float32 (N, C, H, W) in [0, 1] and labels int32 (N,), for training and for watching it."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    digest: str


@dataclass
class TrainingResult:
    """A trained network, its history, and where its checkpoints are (None where none were asked for)."""

    network: nn.Cell
    history: list[EpochRecord]
    last: Path | None = None
    best: Path | None = None
    seconds: float = 0.0
    suppress: dict[str, object] | None = field(default=None)


def fingerprint(recipe: Recipe, data: TrainingData, seed: int, extra: object = None) -> str:
    """Return what must be equal for a checkpoint to be continued: recipe, data, seed, and ``extra``."""
    return stable_hash({"recipe": recipe.as_dict(), "data": data.digest, "seed": seed, "extra": extra})


def train_ordinary(network: nn.Cell, data: TrainingData, recipe: Recipe, seed: int,
                   printer: EpochPrinter, checkpoints: CheckpointFolder | None = None,
                   resume: bool = False, version: str = "") -> TrainingResult:
    """Train ``network`` in place by the recipe.

    Two calls with equal arguments on one device give bit-identical weights, and a training that was
    interrupted and resumed gives the weights of one that was not: the batches of an epoch follow from
    (seed, epoch), the learning rate from the history, the rest is in the checkpoint. Networks with Dropout are
    excepted: MindSpore's CPU operator draws on several threads, and its state can be neither read nor set.

    Args:
        network: freshly initialised; left in evaluation mode.
        data: training and validation arrays.
        recipe: ``method`` is not looked at here.
        seed: of the shuffling.
        printer: told about every epoch.
        checkpoints: where to keep best (by validation accuracy) and last; None keeps nothing.
        resume: continue from the last checkpoint where there is one.
        version: of the code; a checkpoint of another version is not continued.

    Raises:
        InputError: the checkpoint to resume from belongs to another run, a batch is larger than the data,
            or the loss stops being finite.
    """
    started = time.perf_counter()
    optimizer = make_optimizer(network, recipe)
    identity = fingerprint(recipe, data, seed, version)
    history = _continue_from(checkpoints, network, optimizer, identity) if resume else []
    steps = recipe.steps_per_epoch(len(data.x))
    loop = TrainingLoop(network, optimizer, data.x, data.y)
    watch = Validation(network, data.x_val, data.y_val)
    with device.seeded(seed):
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            begun = time.perf_counter()
            rate = learning_rate_at(recipe, epoch, [record.train_loss for record in history])
            _set_learning_rate(optimizer, rate)
            totals = _run_epoch(loop, Tensor(epoch_order(len(data.x), recipe.batch_size, seed, epoch)), steps, printer)
            val_loss, val_accuracy = watch()
            record = EpochRecord(epoch, totals.loss / steps, totals.correct / (steps * recipe.batch_size),
                                 val_loss, val_accuracy, rate, time.perf_counter() - begun)
            require_finite(record)
            history.append(record)
            printer.epoch(record)
            if checkpoints is not None:
                _keep(checkpoints, network, optimizer, history, identity)
    network.set_train(False)
    return TrainingResult(network, history, *_files(checkpoints), seconds=time.perf_counter() - started)


class Validation:
    """Loss and accuracy on fixed data, as often as asked."""

    def __init__(self, network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> None:
        self._predict = Predictor(network)
        self._images = images
        self._labels = labels

    def __call__(self) -> tuple[float, float]:
        """Return (mean cross-entropy, accuracy) of the network as it is now; NaN where logits are not finite."""
        logits = self._predict(self._images)
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        accuracy = float((logits.argmax(axis=1) == self._labels).mean())
        return float(cross_entropy(logits, self._labels).mean()), accuracy


def is_best(history: list[EpochRecord]) -> bool:
    """True if the last epoch has the highest validation accuracy so far (the earliest wins a tie)."""
    earlier = [record.val_accuracy for record in history[:-1]]
    return not earlier or history[-1].val_accuracy > max(earlier)


def _run_epoch(loop: TrainingLoop, order: Tensor, steps: int, printer: EpochPrinter) -> LoopTotals:
    """Take all steps of an epoch, a few hundred per compiled call."""
    totals = LoopTotals()
    starts = range(0, steps, STEPS_PER_CALL)
    for start in tqdm(starts, leave=False, disable=not printer.wants_steps(), unit="×250 steps"):
        loop.run(order, start, min(start + STEPS_PER_CALL, steps), totals)
    return totals


def _set_learning_rate(optimizer: nn.Optimizer, rate: float) -> None:
    """Change the optimiser's learning rate in place, so that nothing is compiled again."""
    ops.assign(optimizer.learning_rate, Tensor(rate, ms.float32))


def require_finite(record: EpochRecord, kind: str = "training") -> None:
    """Stop a training that has diverged, in the epoch's steps or in its last one.

    Raises:
        InputError: the training or the validation loss is not finite.
    """
    for loss in (record.train_loss, record.val_loss):
        if not math.isfinite(loss):
            raise InputError(f"{kind} diverged in epoch {record.epoch}: the loss is {loss}; "
                             f"lower training.learning_rate (now {record.learning_rate:g})")


def _continue_from(checkpoints: CheckpointFolder | None, network: nn.Cell, optimizer: nn.Optimizer,
                   identity: str) -> list[EpochRecord]:
    """Load the last checkpoint, if there is one, and return the epochs it has behind it."""
    last = checkpoints.latest() if checkpoints is not None else None
    return checkpoint.resume(last, network, optimizer, identity) if last is not None else []


def _keep(checkpoints: CheckpointFolder, network: nn.Cell, optimizer: nn.Optimizer,
          history: list[EpochRecord], identity: str) -> None:
    """Write the last checkpoint, and the best if this epoch is it."""
    epoch = history[-1].epoch
    if is_best(history):
        checkpoints.keep(epoch, True, network, optimizer, history, identity)
    checkpoints.keep(epoch, False, network, optimizer, history, identity)


def _files(checkpoints: CheckpointFolder | None) -> tuple[Path | None, Path | None]:
    """Return the last and the best checkpoint."""
    return (None, None) if checkpoints is None else (checkpoints.latest(), checkpoints.latest(best=True))
