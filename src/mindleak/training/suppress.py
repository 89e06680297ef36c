"""Suppress-privacy training through MindArmour's own classes, with their silent traps closed.

At scheduled steps the smallest weights of the masked layers are set to zero for good, until a fraction
``sparse_end`` of each is zero (MindArmour ``sup_privacy``; docs/methods.md). ``grad_idx``, ``batch_num`` and
``lr`` follow from the network, the data and the recipe; nobody is asked for them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.errors import InputError, nearest
from mindleak.quiet import mindarmour_call
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import epoch_order, interruptible
from mindleak.training.recipe import Recipe
from mindleak.training.trainer import TrainingData, TrainingResult, Validation, fingerprint, require_finite

# A weight this small counts as zero: MindArmour's own ``base_ground_thd``. The de-weight step cancels a
# weight as w − lr·(w/lr), which float32 leaves a rounding error away from zero.
ZERO = 1e-7


@dataclass(frozen=True)
class MaskLayer:
    """One layer to suppress; the fields are those of MindArmour's ``MaskLayerDes``, less ``grad_idx``.

    ``min_num`` weights at least are left (−1: no floor). MindArmour ignores noise, clipping and upper bound
    in layers of more than 10,000 weights.

    Raises:
        InputError: a field of another type, or an upper bound that is not a finite number from .1 on (MindArmour
            takes NaN and anything smaller for .1 without a word).
    """

    name: str
    min_num: int = -1
    add_noise: bool = True
    lower_clip: bool = False
    upper_bound: float = 1.2

    def __post_init__(self) -> None:
        where = f"suppress.layers entry '{self.name}'"
        if not isinstance(self.name, str):
            raise InputError(f"suppress.layers: name {self.name!r} is no parameter name")
        if type(self.min_num) is not int:
            raise InputError(f"{where}: min_num is {self.min_num!r}; a whole number is needed (-1: no floor)")
        for field in ("add_noise", "lower_clip"):
            if type(getattr(self, field)) is not bool:
                raise InputError(f"{where}: {field} is {getattr(self, field)!r}; right is true or false")
        bound = self.upper_bound
        if type(bound) not in (int, float) or not 0.1 <= bound < math.inf:
            raise InputError(f"{where}: upper_bound is {bound!r}; a finite number from 0.1 on is needed")


@dataclass(frozen=True)
class SuppressSettings:
    """How far and when to suppress; field names are the keys of ``suppress`` in a configuration.

    The tutorial's values (seed 002) for 60,000 samples are the defaults. ``layers`` is ``"auto"`` (every
    weight matrix and convolution kernel) or a list of parameter names or of ``MaskLayer`` fields.
    """

    sparse_end: float = 0.95
    sparse_start: float = 0.0
    start_epoch: int = 3
    mask_times: int = 1000
    layers: Any = "auto"

    def __post_init__(self) -> None:
        for name in ("sparse_end", "sparse_start"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"suppress.{name} is {getattr(self, name)}; a finite number is needed")
        if not 0 <= self.sparse_start < self.sparse_end < 1:
            raise InputError("suppress needs 0 ≤ sparse_start < sparse_end < 1, got "
                             f"sparse_start {self.sparse_start}, sparse_end {self.sparse_end}")
        for name in ("start_epoch", "mask_times"):
            if getattr(self, name) < 1:
                raise InputError(f"suppress.{name} is {getattr(self, name)}; at least 1 is needed")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return asdict(self)

    def scaled(self, samples: int, reference_samples: int) -> SuppressSettings:
        """Return the settings for a smaller training set, with as many updates per sample."""
        times = max(1, round(self.mask_times * samples / reference_samples))
        return SuppressSettings(**{**self.as_dict(), "mask_times": times})


def check_compatible(recipe: Recipe, settings: SuppressSettings, samples: int) -> None:
    """Refuse a recipe under which MindArmour's suppression would silently do something else.

    Raises:
        InputError: momentum or another optimiser (weights become non-finite or are not cancelled), a learning
            rate that changes or exceeds .5, weight decay, too few epochs, or more mask updates than steps.
    """
    if recipe.optimizer != "sgd":
        raise InputError(f"suppress training works with plain SGD only, not training.optimizer '{recipe.optimizer}': "
                         "its de-weight term cancels a weight in one SGD step; set training.optimizer=sgd")
    if recipe.schedule != "constant":
        raise InputError(f"suppress training needs a constant learning rate, not training.schedule "
                         f"'{recipe.schedule}'; set training.schedule=constant")
    if recipe.weight_decay:
        raise InputError(f"suppress training needs training.weight_decay=0, got {recipe.weight_decay}: "
                         "decay would disturb the step that cancels a weight")
    if recipe.learning_rate > 0.5:
        raise InputError(f"suppress training needs training.learning_rate ≤ 0.5, got {recipe.learning_rate}")
    if not settings.start_epoch <= recipe.epochs <= 100:
        raise InputError(f"suppress training needs suppress.start_epoch ≤ training.epochs ≤ 100, got "
                         f"start_epoch {settings.start_epoch}, epochs {recipe.epochs}")
    steps = (recipe.epochs - settings.start_epoch + 1) * recipe.steps_per_epoch(samples)
    if settings.mask_times > steps:
        raise InputError(f"suppress.mask_times {settings.mask_times} is more than the {steps} steps from epoch "
                         f"{settings.start_epoch} on; lower mask_times or start_epoch, or train longer")


def mask_layers(network: nn.Cell, layers: Any) -> list[MaskLayer]:
    """Return the layers to suppress.

    ``"auto"`` takes every trainable tensor of two or more dimensions by the tutorial's pattern:
    convolutions with noise and lower clipping, the last dense layer with a floor of 50 weights, a first
    convolution with one of 10 and further ones with 50.

    Raises:
        InputError: a name that is no trainable parameter, named twice, or nothing to suppress.
    """
    names = [parameter.name for parameter in network.trainable_params()]
    if len(list(network.get_parameters())) < 2:
        raise InputError("suppress training needs a network of at least two parameters: MindArmour looks at the "
                         "first two to report its progress")
    if layers == "auto":
        return _tutorial_pattern(network)
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(f"suppress.layers must be 'auto' or a list of parameter names, got {layers!r}")
    chosen = [_mask_layer(entry) for entry in layers]
    for layer in chosen:
        if layer.name not in names:
            raise InputError(f"suppress.layers names '{layer.name}', which is no trainable parameter"
                             + nearest(layer.name, names))
    if len({layer.name for layer in chosen}) < len(chosen):
        raise InputError("suppress.layers names a parameter twice")
    return chosen


def _mask_layer(entry: Any) -> MaskLayer:
    """Read one entry of ``suppress.layers``."""
    if isinstance(entry, str):
        return MaskLayer(entry)
    try:
        return MaskLayer(**entry)
    except TypeError as error:
        raise InputError(f"suppress.layers entry {entry!r} is not understood; fields: name, min_num, add_noise, "
                         "lower_clip, upper_bound") from error


def _tutorial_pattern(network: nn.Cell) -> list[MaskLayer]:
    """Generalise the tutorial's mask layers for LeNet5 to any network."""
    weights = [parameter for parameter in network.trainable_params() if parameter.ndim >= 2]
    if not weights:
        raise InputError("suppress training found nothing to suppress: the network has no weight matrices")
    chosen: list[MaskLayer] = []
    for parameter in weights:
        convolution = parameter.ndim == 4
        floor = 50 if convolution or parameter is weights[-1] else -1
        if convolution and parameter is weights[0]:
            floor = 10
        chosen.append(MaskLayer(parameter.name, floor, True, convolution))
    return chosen


def train_suppress(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings, seed: int,
                   printer: EpochPrinter, checkpoints: CheckpointFolder | None = None) -> TrainingResult:
    """Train ``network`` in place with MindArmour's SuppressModel and SuppressMasker.

    An interrupted suppress training starts again from its beginning: MindArmour's masks are not part of a
    checkpoint.

    Raises:
        InputError: see ``check_compatible`` and ``mask_layers``, or MindArmour's layer matching went astray.
    """
    started = time.perf_counter()
    check_compatible(recipe, settings, len(data.x))
    layers = mask_layers(network, settings.layers)
    watcher = _EpochWatcher(network, data, recipe, printer, checkpoints,
                            fingerprint(recipe, data, seed, settings.as_dict()))
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    with device.seeded(seed), mindarmour_call(seed):
        try:
            updates = _run_mindarmour(network, data, recipe, settings, layers, seed, watcher)
        finally:
            _restore_names(network, names)
            network.set_train(False)
    report = sparsity(network, layers, settings.sparse_end) | {"mask_updates": updates}
    return TrainingResult(network, watcher.history, None if checkpoints is None else checkpoints.latest(),
                          None if checkpoints is None else checkpoints.latest(best=True),
                          time.perf_counter() - started, report)


def _run_mindarmour(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings,
                    layers: list[MaskLayer], seed: int, watcher: _EpochWatcher) -> int:
    """Compose MindArmour's four classes, train, and return the number of mask updates."""
    from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory

    steps = recipe.steps_per_epoch(len(data.x))
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
        raise InputError("MindArmour takes suppress.layers for beginnings of names, and here that hits other "
                         "parameters; suppress those with the longer names too, or rename them")
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
        return len(self._data.x) // self._batch_size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._epoch += 1
        for batch in epoch_order(len(self._data.x), self._batch_size, self._seed, self._epoch):
            yield self._data.x[batch], self._data.y[batch]


class _UpdateCounter(ms.Callback):
    """Counts mask updates; stands behind the masker, whose decision it reads."""

    def __init__(self, controller: Any) -> None:
        super().__init__()
        self._controller = controller
        self.updates = 0

    def on_train_step_end(self, run_context: Any) -> None:
        """Count this step if the masker updated the masks after it."""
        self.updates += int(self._controller.to_do_mask)


class _EpochWatcher(ms.Callback):
    """Measures, prints and keeps every epoch of a MindArmour training."""

    def __init__(self, network: nn.Cell, data: TrainingData, recipe: Recipe, printer: EpochPrinter,
                 checkpoints: CheckpointFolder | None, identity: str) -> None:
        super().__init__()
        self._network = network
        self._recipe = recipe
        self._printer = printer
        self._checkpoints = checkpoints
        self._identity = identity
        self._training = Validation(network, data.x, data.y)
        self._validation = Validation(network, data.x_val, data.y_val)
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
        require_finite(record, "suppress training")
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


def sparsity(network: nn.Cell, layers: Sequence[MaskLayer], target: float) -> dict[str, Any]:
    """Measure how many weights of the masked layers are zero (|w| ≤ 1e-7) on the network as it is.

    Returns:
        ``target``, ``overall`` (fraction of all masked weights), ``masked_total``, and per layer name, size,
        zeros, fraction, target, ``reachable`` (the target, or less where ``min_num`` sets a floor), min_num.
    """
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    rows = [_layer_row(layer, weights[layer.name], target) for layer in layers]
    total = sum(row["size"] for row in rows)
    return {"target": target, "overall": sum(row["zeros"] for row in rows) / total, "masked_total": total,
            "layers": rows}


def _layer_row(layer: MaskLayer, weights: np.ndarray, target: float) -> dict[str, Any]:
    """Measure one layer."""
    zeros = int((np.abs(weights) <= ZERO).sum())
    floor = 1.0 - min(max(layer.min_num, 0), weights.size) / weights.size
    return {"name": layer.name, "size": int(weights.size), "zeros": zeros, "fraction": zeros / weights.size,
            "target": target, "reachable": min(target, floor), "min_num": layer.min_num}
