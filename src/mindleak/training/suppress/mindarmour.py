"""Suppress training by MindArmour's own classes: the reference, PyNative and step by step.

Their silent traps are closed: ``grad_idx``, ``batch_num`` and ``lr`` follow from the network, the data and the recipe,
descriptions are made anew for every training, layers are matched by whole names, and names come back as they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.errors import InputError, Key
from mindleak.quiet import mindarmour_call
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.divergence import require_finite
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import Predictor, epoch_order, interruptible
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest, TrainingResult
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings
from mindleak.training.trainer import Validation


def train(request: TrainingRequest, layers: list[MaskLayer], identity: str) -> tuple[TrainingResult, int]:
    """Train from the beginning; return the result and the number of mask updates.

    Args:
        request: see ``SuppressTraining.train``.
        layers: what to suppress.
        identity: fingerprint of its checkpoints.

    Raises:
        InputError: MindArmour's layer matching went astray, or the loss stops being finite.
    """
    checkpoints = request.checkpoints
    watcher = EpochWatcher(request.network, request.data, request.recipe, request.printer, checkpoints, identity)
    with device.seeded(request.seed), mindarmour_call(request.seed):
        updates = run(request.network, request.data, request.recipe, request.settings, layers, request.seed, watcher)
    last, best = (None, None) if checkpoints is None else (checkpoints.latest(), checkpoints.latest(best=True))
    return TrainingResult(request.network, watcher.predict, watcher.history, last, best), updates


def run(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings, layers: list[MaskLayer],
        seed: int, watcher: EpochWatcher) -> int:
    """Compose MindArmour's four classes, train, and return the number of mask updates.

    Its noise comes from NumPy's global random state, and it prints; see ``quiet.mindarmour_call``.
    """
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    try:
        return _run(network, data, recipe, settings, layers, seed, watcher)
    finally:
        _restore_names(network, names)
        network.set_train(False)


def _run(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings,
                    layers: list[MaskLayer], seed: int, watcher: EpochWatcher) -> int:
    """See ``run``; leaves the parameters renamed."""
    from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory

    steps = recipe.steps_per_epoch(data.samples)
    positions = {parameter.name: index for index, parameter in enumerate(network.trainable_params())}
    # A description is used up by its first controller, so they are made here and never shared.
    # MindArmour compares names as substrings, in the order given, after its controller has renamed every parameter
    # to "networks." and its place in the network: by those names, the longest first, each matches its own parameter.
    renamed = {parameter.name: f"networks.{place}" for place, parameter in network.parameters_and_names()}
    described = [MaskLayerDes(renamed[layer.name], positions[layer.name], layer.add_noise, layer.lower_clip,
                              layer.min_num, layer.upper_bound)
                 for layer in sorted(layers, key=lambda layer: len(renamed[layer.name]), reverse=True)]
    expected = _expected_positions(network, layers, positions)
    optimizer = nn.SGD(network.trainable_params(), recipe.learning_rate)
    controller = SuppressPrivacyFactory().create(
        network, described, policy="local_train", end_epoch=recipe.epochs, batch_num=steps,
        start_epoch=settings.start_epoch, mask_times=settings.mask_times, lr=recipe.learning_rate,
        sparse_end=float(settings.sparse_end), sparse_start=float(settings.sparse_start))
    if list(controller.grad_idx_map) != expected:
        raise InputError("MindArmour takes ", Key("suppress.layers"), " for beginnings of names, and here that hits "
                         "other parameters; suppress those with the longer names too, or rename them")
    model = SuppressModel(network=network, optimizer=optimizer,
                          loss_fn=nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"))
    model.link_suppress_ctrl(controller)
    masker = SuppressMasker(model=model, suppress_ctrl=controller)
    batches = ds.GeneratorDataset(_Batches(data, recipe.batch_size, seed), ["image", "label"], shuffle=False,
                                  num_parallel_workers=1, python_multiprocessing=False)
    counter = _UpdateCounter(controller)
    with interruptible():
        model.train(recipe.epochs, batches, callbacks=[masker, counter, watcher], dataset_sink_mode=False)
    return counter.updates


def _expected_positions(network: nn.Cell, layers: list[MaskLayer], positions: dict[str, int]) -> list[int]:
    """Return, per parameter, the gradient position to be masked, or −1."""
    masked = {layer.name for layer in layers}
    return [positions[parameter.name] if parameter.name in masked else -1 for parameter in network.get_parameters()]


def _restore_names(network: nn.Cell, names: dict[int, str]) -> None:
    """Undo the renaming to ``networks.…`` by MindArmour's controller, which is a Cell holding the network."""
    for parameter in network.get_parameters():
        if parameter.name != names[id(parameter)]:
            parameter.name = names[id(parameter)]


class _Batches:
    """The training set in the batches of ``epoch_order``, one epoch per iteration."""

    def __init__(self, data: TrainingData, batch_size: int, seed: int) -> None:
        self._data = data
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._data.samples // self._batch_size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._epoch += 1
        for batch in epoch_order(self._data.samples, self._batch_size, self._seed, self._epoch):
            rows = self._data.rows_at(batch)
            yield self._data.x[rows], self._data.y[rows]


class _UpdateCounter(ms.Callback):
    """Counts mask updates; stands behind the masker, whose decision it reads."""

    def __init__(self, controller: Any) -> None:
        super().__init__()
        self._controller = controller
        self.updates = 0

    def on_train_step_end(self, run_context: Any) -> None:
        """Count this step if the masker updated the masks after it."""
        self.updates += int(self._controller.to_do_mask)


class EpochWatcher(ms.Callback):
    """Measures, prints and keeps every epoch of a MindArmour training."""

    def __init__(self, network: nn.Cell, data: TrainingData, recipe: Recipe, printer: EpochPrinter,
                 checkpoints: CheckpointFolder | None, identity: str) -> None:
        super().__init__()
        self._network = network
        self._recipe = recipe
        self._data = data
        self._printer = printer
        self._checkpoints = checkpoints
        self._identity = identity
        self.predict = Predictor(network)
        self._training = Validation(self.predict, *data.own())
        self._validation = Validation(self.predict, data.x_val, data.y_val)
        self._names = [parameter.name for parameter in network.get_parameters()]
        self._begun = 0.0
        self.history: list[EpochRecord] = []

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Measure the epoch in evaluation mode, then let training go on."""
        train_loss, train_accuracy = self._training()
        val_loss, val_accuracy = self._validation()
        epoch = len(self.history) + 1
        record = EpochRecord(epoch, train_loss, train_accuracy, val_loss, val_accuracy, self._recipe.learning_rate,
                             time.perf_counter() - self._begun)
        require_finite(record, self._network, self.predict, self._data, self._recipe.optimizer, "suppress training")
        self.history.append(record)
        self._printer.epoch(record)
        if self._checkpoints is not None:
            self._save(self._checkpoints)
        self._network.set_train(True)

    def _save(self, checkpoints: CheckpointFolder) -> None:
        """Write the checkpoints under the network's own parameter names.

        Only the last epoch can be the best: the ones before it are of a network less suppressed than asked for.
        """
        renamed = {id(parameter): parameter.name for parameter in self._network.get_parameters()}
        for parameter, name in zip(self._network.get_parameters(), self._names):
            parameter.name = name
        epoch = len(self.history)
        for best in (True, False) if epoch == self._recipe.epochs else (False,):
            checkpoints.keep(epoch, best, self._network, None, self.history, self._identity)
        _restore_names(self._network, renamed)
