"""Train a classifier the ordinary way: compiled loop, checkpoint after every epoch, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from tqdm import tqdm

from mindleak import device
from mindleak.evaluation.signals import loss as cross_entropy
from mindleak.runs.digest import stable_hash
from mindleak.training import checkpoint
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.divergence import require_finite
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import (
    LoopTotals,
    Predictor,
    TrainingLoop,
    epoch_order,
    filled_up,
    make_optimizer,
    own_part,
)
from mindleak.training.recipe import Recipe, learning_rate_at
from mindleak.training.request import TrainingRequest, TrainingResult

# Steps per compiled call: long enough that the call costs nothing, short enough for a progress bar and Ctrl-C.
STEPS_PER_CALL = 250


class Training:
    """The ordinary way to train, by the compiled loop, epoch by epoch; other ways are subclasses.

    Two trainings with equal requests on one device give bit-identical weights, and a training that was interrupted and
    resumed gives the weights of one that was not: the batches of an epoch follow from (seed, epoch), the learning rate
    from the history, the rest is in the checkpoint. Networks with Dropout are excepted: MindSpore's CPU operator draws
    on several threads, and its state can be neither read nor set.

    Args:
        request: what to train, on what and how.
        optimizer: over the network's parameters; its own ones are kept in checkpoints with them. The recipe's by
            default.

    Attributes:
        section: of the configuration with the method's settings; None where the recipe says all.
        settings_type: made from the section's keys; has ``as_dict``.
        kind: what messages call such a training.
        shares_graphs: whether models can be trained one after the other in the same compiled graphs.

    Example:
        >>> result = Training.train(TrainingRequest(network, data, Recipe(epochs=3), seed=0))  # doctest: +SKIP
    """

    section: ClassVar[str | None] = None
    settings_type: ClassVar[Callable[..., Any] | None] = None
    kind: ClassVar[str] = "training"
    shares_graphs: ClassVar[bool] = True

    @classmethod
    def train(cls, request: TrainingRequest) -> TrainingResult:
        """Train a network.

        Raises:
            InputError: the checkpoint to resume from belongs to another run, a batch is larger than the data, the loss
                stops being finite, or what ``check`` refuses.
        """
        return cls(request).run()

    @classmethod
    def check(cls, network: nn.Cell, shape: tuple[int, ...], recipe: Recipe, settings: Any, samples: int) -> None:
        """Refuse what would fail or silently do something else, before anything is trained.

        Args:
            network: untrained, of the architecture.
            shape: of an image.
            recipe: of the training.
            settings: of the method.
            samples: how many are trained on.

        Raises:
            InputError: what it is; nothing beyond what every training needs, here.
        """

    @classmethod
    def fingerprint(cls, request: TrainingRequest) -> str:
        """Return what must be equal for a checkpoint to be continued: recipe, data, seed, settings, version."""
        extra = request.version if cls.section is None else {cls.section: request.settings.as_dict(),
                                                             "version": request.version}
        return stable_hash({"recipe": request.recipe.as_dict(), "data": request.data.digest, "seed": request.seed,
                            "extra": extra})

    @classmethod
    def epochs(cls, recipe: Recipe, settings: Any) -> int:
        """Return how many epochs there are in all."""
        return recipe.epochs

    @classmethod
    def resized(cls, settings: Any, given: Mapping[str, Any], samples: int, reference: int) -> Any:
        """Return the settings for another number of samples than they were meant for.

        Args:
            settings: of the method.
            given: those of its keys that were given for the new number.
            samples: the new number.
            reference: the old one.
        """
        return settings

    @classmethod
    def resumes(cls, settings: Any) -> bool:
        """Return whether an interrupted training goes on where it was."""
        return True

    @classmethod
    def divides(cls, settings: Any) -> bool:
        """Return whether batches can be divided among several processes."""
        return True

    def __init__(self, request: TrainingRequest, optimizer: nn.Cell | None = None) -> None:
        self.request = request
        self.recipe = request.recipe
        compiled, network = None, request.network
        if request.shared is not None:
            trainings, architecture = request.shared
            compiled = trainings.begin(architecture, network, request.recipe, request.data.x, request.data.y,
                                       self.make_loop, self.graph_key())
            network, optimizer = compiled.network, compiled.optimizer
        self.rate = request.recipe.learning_rate
        self.steps = request.recipe.steps_per_epoch(request.data.samples)
        self._network = network
        self._optimizer = make_optimizer(network, request.recipe) if optimizer is None else optimizer
        self.loop: Any = self.make_loop(network, self._optimizer) if compiled is None else compiled.loop
        self._predict = Predictor(network) if compiled is None else compiled.predict
        self._watch = Validation(self._predict, request.data.x_val, request.data.y_val)
        self._history: list[EpochRecord] = []

    def run(self) -> TrainingResult:
        """Train from the first epoch, or where the request resumes, from the last checkpoint where there is one."""
        request, identity = self.request, self.fingerprint(self.request)
        if request.resume:
            self._history = _continue_from(request.checkpoints, self._network, self._optimizer, identity)
        with device.seeded(request.seed):
            for epoch in range(len(self._history) + 1, self.epochs(self.recipe, request.settings) + 1):
                self._history.append(self._epoch(epoch))
                request.printer.epoch(self._history[-1])
                self.announce(epoch)
                if request.checkpoints is not None:
                    self._keep(request.checkpoints, identity)
        self._network.set_train(False)
        return TrainingResult(self._network, self._predict, self._history, *_files(request.checkpoints), self.record())

    def make_loop(self, network: nn.Cell, optimizer: nn.Cell) -> Any:
        """Return the compiled loop of a network and its optimiser over the data."""
        return TrainingLoop(network, optimizer, self.request.data.x, self.request.data.y)

    def graph_key(self) -> Hashable:
        """Return what the loop's graph depends on beside architecture, recipe and data: nothing here."""
        return None

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch."""
        return learning_rate_at(self.recipe, epoch, [record.train_loss for record in self._history])

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Take an epoch's steps over the shuffled data; return mean loss and accuracy over them."""
        data = self.request.data
        order = data.rows_at(epoch_order(data.samples, self.recipe.batch_size, self.request.seed, epoch))
        totals = self.take_steps(epoch, Tensor(filled_up(own_part(order))))
        return totals.loss / self.steps, totals.correct / (self.steps * self.recipe.batch_size)

    def take_steps(self, epoch: int, order: Tensor) -> LoopTotals:
        """Take all steps of an epoch, a few hundred per compiled call."""
        totals = LoopTotals()
        for start, stop in calls(self.steps, self.request.printer):
            self.loop.run(order, start, stop, totals)
        return totals

    def announce(self, epoch: int) -> None:
        """Say what there is to say after an epoch beside its record: nothing here."""

    def is_best(self, epoch: int) -> bool:
        """Return whether ``epoch``, the last so far, is the best."""
        return is_best(self._history)

    def record(self) -> dict[str, Any]:
        """Return ``TrainingResult.record`` of the trained network."""
        return {}

    def _epoch(self, epoch: int) -> EpochRecord:
        """Train for one epoch and measure it.

        Raises:
            InputError: the loss is not finite any more.
        """
        begun = time.perf_counter()
        self.rate = self.learning_rate(epoch)
        _set_learning_rate(self._optimizer, self.rate)
        train_loss, train_accuracy = self.train_epoch(epoch)
        val_loss, val_accuracy = self._watch()
        record = EpochRecord(epoch, train_loss, train_accuracy, val_loss, val_accuracy, self.rate,
                             time.perf_counter() - begun)
        require_finite(record, self._network, self._predict, self.request.data, self.recipe.optimizer, self.kind)
        return record

    def _keep(self, checkpoints: CheckpointFolder, identity: str) -> None:
        """Write the last checkpoint, and the best if this epoch is it."""
        epoch = self._history[-1].epoch
        for best in (True, False) if self.is_best(epoch) else (False,):
            checkpoints.keep(epoch, best, self._network, self._optimizer, self._history, identity)


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
