"""Train a classifier the ordinary way: compiled loop, checkpoint after every epoch, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from tqdm import tqdm

from mindleak import device
from mindleak.evaluation.signals import loss as cross_entropy
from mindleak.runs.digest import stable_hash
from mindleak.training import checkpoint
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.compiled import CompiledTraining, CompiledTrainings
from mindleak.training.divergence import require_finite
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop, epoch_order, make_optimizer, own_part
from mindleak.training.recipe import Recipe, learning_rate_at

# Steps per compiled call: long enough that the call costs nothing, short enough for a progress bar and Ctrl-C.
STEPS_PER_CALL = 250


@dataclass(frozen=True)
class TrainingData:
    """Images float32 (N, C, H, W) in [0, 1] and labels int32 (N,), for training and for watching it.

    ``rows`` are those of ``x`` and ``y`` that are trained on, None meaning all: trainings on parts of one data set
    share it on the device. ``watched`` names the split that the validation arrays come from, and ``watched_rows`` says
    which of its rows they are, None meaning the first ones: for messages.
    """

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    digest: str
    rows: np.ndarray | None = None
    watched: str = "validation"
    watched_rows: np.ndarray | None = None

    @property
    def samples(self) -> int:
        """How many samples are trained on."""
        return len(self.y if self.rows is None else self.rows)

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the rows of ``x`` that positions among the samples trained on stand for, in their shape and type."""
        return positions if self.rows is None else self.rows[positions].astype(positions.dtype)

    def own(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return images and labels of the first ``count`` samples that are trained on; of all by default."""
        chosen = slice(count) if self.rows is None else self.rows[:count]
        return self.x[chosen], self.y[chosen]


@dataclass
class TrainingResult:
    """A trained network, its history, and where its checkpoints are (None where none were asked for).

    ``predict`` asks the network, by what validation has compiled.
    """

    network: nn.Cell
    predict: Predictor
    history: list[EpochRecord]
    last: Path | None = None
    best: Path | None = None
    seconds: float = 0.0
    suppress: dict[str, object] | None = field(default=None)
    pruning: dict[str, Any] | None = None
    privacy: dict[str, Any] | None = None


def fingerprint(recipe: Recipe, data: TrainingData, seed: int, extra: object = None) -> str:
    """Return what must be equal for a checkpoint to be continued: recipe, data, seed, and ``extra``."""
    return stable_hash({"recipe": recipe.as_dict(), "data": data.digest, "seed": seed, "extra": extra})


def train_ordinary(network: nn.Cell, data: TrainingData, recipe: Recipe, seed: int,
                   printer: EpochPrinter, checkpoints: CheckpointFolder | None = None,
                   resume: bool = False, version: str = "",
                   shared: tuple[CompiledTrainings, str] | None = None) -> TrainingResult:
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
        shared: compiled trainings to be trained in, and what stands for the architecture (``CompiledTrainings``). Where
            one of its kind is there, ``network`` lends its weights only: the one of the result is trained, and trained
            anew by the next call. Numbers are the same.

    Raises:
        InputError: the checkpoint to resume from belongs to another run, a batch is larger than the data,
            or the loss stops being finite.
    """
    identity = fingerprint(recipe, data, seed, version)
    if shared is None:
        training = Training(network, make_optimizer(network, recipe), data, recipe, seed, identity)
    else:
        trainings, architecture = shared
        compiled = trainings.begin(architecture, network, recipe, data.x, data.y)
        training = Training(compiled.network, compiled.optimizer, data, recipe, seed, identity, compiled)
    return training.run(printer, checkpoints, resume)


class Training:
    """A training by the compiled loop, epoch by epoch; other methods change how an epoch's steps are taken.

    Args:
        network: freshly initialised.
        optimizer: over the network's parameters; its own ones are kept in checkpoints with them.
        data: training and validation arrays.
        recipe: ``method`` is not looked at here.
        seed: of the shuffling.
        identity: the fingerprint of its checkpoints.
        compiled: what trains and asks this network; made here where none is given.
    """

    kind = "training"

    def __init__(self, network: nn.Cell, optimizer: nn.Cell, data: TrainingData, recipe: Recipe, seed: int,
                 identity: str, compiled: CompiledTraining | None = None) -> None:
        self.recipe = recipe
        self.seed = seed
        self.rate = recipe.learning_rate
        self.steps = recipe.steps_per_epoch(data.samples)
        self._network = network
        self._optimizer = optimizer
        self.loop: Any = self.make_loop(data) if compiled is None else compiled.loop
        self._predict = Predictor(network) if compiled is None else compiled.predict
        self._data = data
        self._watch = Validation(self._predict, data.x_val, data.y_val)
        self._identity = identity
        self._history: list[EpochRecord] = []

    def run(self, printer: EpochPrinter, checkpoints: CheckpointFolder | None, resume: bool) -> TrainingResult:
        """Train from the first epoch, or with ``resume`` from the last checkpoint where there is one."""
        started = time.perf_counter()
        if resume:
            self._history = _continue_from(checkpoints, self._network, self._optimizer, self._identity)
        with device.seeded(self.seed):
            for epoch in range(len(self._history) + 1, self.epochs + 1):
                self._history.append(self._epoch(epoch, printer))
                printer.epoch(self._history[-1])
                self.announce(epoch, printer)
                if checkpoints is not None:
                    self._keep(checkpoints)
        self._network.set_train(False)
        return TrainingResult(self._network, self._predict, self._history, *_files(checkpoints),
                              time.perf_counter() - started)

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self.recipe.epochs

    def make_loop(self, data: TrainingData) -> Any:
        """Return the compiled loop over the data."""
        return TrainingLoop(self._network, self._optimizer, data.x, data.y)

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch."""
        return learning_rate_at(self.recipe, epoch, [record.train_loss for record in self._history])

    def train_epoch(self, epoch: int, printer: EpochPrinter) -> tuple[float, float]:
        """Take an epoch's steps over the shuffled data; return mean loss and accuracy over them."""
        order = self._data.rows_at(epoch_order(self._data.samples, self.recipe.batch_size, self.seed, epoch))
        totals = self.take_steps(epoch, Tensor(own_part(order)), printer)
        return totals.loss / self.steps, totals.correct / (self.steps * self.recipe.batch_size)

    def announce(self, epoch: int, printer: EpochPrinter) -> None:
        """Say what there is to say after an epoch beside its record: nothing here."""

    def take_steps(self, epoch: int, order: Tensor, printer: EpochPrinter) -> LoopTotals:
        """Take all steps of an epoch, a few hundred per compiled call."""
        totals = LoopTotals()
        for start, stop in calls(self.steps, printer):
            self.loop.run(order, start, stop, totals)
        return totals

    def is_best(self, epoch: int) -> bool:
        """Return whether ``epoch``, the last so far, is the best."""
        return is_best(self._history)

    def _epoch(self, epoch: int, printer: EpochPrinter) -> EpochRecord:
        """Train for one epoch and measure it.

        Raises:
            InputError: the loss is not finite any more.
        """
        begun = time.perf_counter()
        self.rate = self.learning_rate(epoch)
        _set_learning_rate(self._optimizer, self.rate)
        train_loss, train_accuracy = self.train_epoch(epoch, printer)
        val_loss, val_accuracy = self._watch()
        record = EpochRecord(epoch, train_loss, train_accuracy, val_loss, val_accuracy, self.rate,
                             time.perf_counter() - begun)
        require_finite(record, self._network, self._predict, self._data, self.recipe.optimizer, self.kind)
        return record

    def _keep(self, checkpoints: CheckpointFolder) -> None:
        """Write the last checkpoint, and the best if this epoch is it."""
        epoch = self._history[-1].epoch
        for best in (True, False) if self.is_best(epoch) else (False,):
            checkpoints.keep(epoch, best, self._network, self._optimizer, self._history, self._identity)


class Validation:
    """Loss and accuracy on fixed data, as often as asked."""

    def __init__(self, predict: Predictor, images: np.ndarray, labels: np.ndarray) -> None:
        self._predict = predict
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


def calls(steps: int, printer: EpochPrinter, steps_per_call: int = STEPS_PER_CALL) -> Iterator[tuple[int, int]]:
    """Yield the first step of every compiled call of an epoch and the one behind its last, with a progress bar."""
    starts = range(0, steps, steps_per_call)
    for start in tqdm(starts, leave=False, disable=not printer.wants_steps(), unit=f"×{steps_per_call} steps"):
        yield start, min(start + steps_per_call, steps)


def _set_learning_rate(optimizer: nn.Cell, rate: float) -> None:
    """Change the optimiser's learning rate in place, so that nothing is compiled again."""
    ops.assign(optimizer.learning_rate, Tensor(rate, ms.float32))


def _continue_from(checkpoints: CheckpointFolder | None, network: nn.Cell, optimizer: nn.Cell,
                   identity: str) -> list[EpochRecord]:
    """Load the last checkpoint, if there is one, and return the epochs it has behind it."""
    last = checkpoints.latest() if checkpoints is not None else None
    return checkpoint.resume(last, network, optimizer, identity) if last is not None else []


def _files(checkpoints: CheckpointFolder | None) -> tuple[Path | None, Path | None]:
    """Return the last and the best checkpoint."""
    return (None, None) if checkpoints is None else (checkpoints.latest(), checkpoints.latest(best=True))
