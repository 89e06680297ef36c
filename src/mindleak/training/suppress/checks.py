"""What would make a suppress training do something else than it says, refused before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import nn

from mindleak.errors import InputError
from mindleak.training.recipe import Recipe
from mindleak.training.suppress.masks import Schedule
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers

# The last mask update must ask for at least this part of sparse_end. A shortfall of more than the second is reported:
# MindArmour's ``sparse_vibra``.
ENOUGH = 0.9
NOTABLE = 0.02

_GRAPH = "; suppress.engine=graph can"


def check_suppress(network: nn.Cell, recipe: Recipe, settings: SuppressSettings, samples: int) -> list[MaskLayer]:
    """Return the layers to suppress, in the order given.

    Raises:
        InputError: no such layer, nothing to suppress in one, fewer epochs than ``start_epoch``, more mask updates
            than steps, updates that end too early for ``sparse_end``, or something that the engine cannot do.
    """
    layers = mask_layers(network, settings.layers)
    if settings.engine == "mindarmour":
        _check_mindarmour(network, recipe)
    _check_schedule(recipe, settings, samples)
    sizes = {parameter.name: parameter.size for parameter in network.get_parameters()}
    for layer in layers:
        _check_layer(layer, settings.sparse_end, sizes[layer.name])
    return layers


def shortfalls(network: nn.Cell, layers: Sequence[MaskLayer], recipe: Recipe, settings: SuppressSettings,
               samples: int) -> list[str]:
    """Say what keeps a training from ``sparse_end``, and what can be reached: floors, or updates that end early."""
    target = settings.sparse_end
    sizes = {parameter.name: parameter.size for parameter in network.get_parameters()}
    notes = [f"{layer.name}: min_num {layer.min_num} of {sizes[layer.name]} weights allows {reachable:.4f} zero, "
             f"not suppress.sparse_end {target:g}"
             for layer in layers if (reachable := layer.reachable(target, sizes[layer.name])) < target]
    reached = _reached(Schedule(settings, recipe.epochs, recipe.steps_per_epoch(samples)))
    if reached < target - NOTABLE:
        notes.append(f"the last mask update asks for {reached:.4f} zero, not suppress.sparse_end {target:g}; more "
                     "suppress.mask_times or smaller batches bring it closer")
    return notes


def _check_mindarmour(network: nn.Cell, recipe: Recipe) -> None:
    """Refuse what MindArmour's classes would silently get wrong."""
    if len(list(network.get_parameters())) < 2:
        raise InputError("suppress.engine 'mindarmour' needs a network of at least two parameters: MindArmour looks at "
                         f"the first two to report its progress{_GRAPH} do with one")
    if recipe.optimizer != "sgd":
        raise InputError(f"suppress.engine 'mindarmour' works with plain SGD only, not training.optimizer "
                         f"'{recipe.optimizer}': its de-weight term cancels a weight in one SGD step{_GRAPH} use it")
    if recipe.schedule != "constant":
        raise InputError(f"suppress.engine 'mindarmour' needs a constant learning rate, not training.schedule "
                         f"'{recipe.schedule}': its de-weight term is divided by one rate for all steps{_GRAPH} use it")
    if recipe.weight_decay:
        raise InputError(f"suppress.engine 'mindarmour' needs training.weight_decay=0, got {recipe.weight_decay}: "
                         f"decay would disturb the step that cancels a weight{_GRAPH} use it")
    if recipe.learning_rate > 0.5:
        raise InputError("suppress.engine 'mindarmour' needs training.learning_rate ≤ 0.5, got "
                         f"{recipe.learning_rate}{_GRAPH} use it")
    if recipe.epochs > 100:
        raise InputError(f"suppress.engine 'mindarmour' needs training.epochs ≤ 100, got {recipe.epochs}"
                         f"{_GRAPH} train longer")


def _check_schedule(recipe: Recipe, settings: SuppressSettings, samples: int) -> None:
    """Refuse updates that do not fit into the training or stop short of ``sparse_end``."""
    if settings.start_epoch > recipe.epochs:
        raise InputError(f"suppress training needs suppress.start_epoch ≤ training.epochs, got start_epoch "
                         f"{settings.start_epoch}, epochs {recipe.epochs}")
    schedule = Schedule(settings, recipe.epochs, recipe.steps_per_epoch(samples))
    if settings.mask_times > schedule.steps:
        raise InputError(f"suppress.mask_times {settings.mask_times} is more than the {schedule.steps} steps from "
                         f"epoch {settings.start_epoch} on; lower mask_times or start_epoch, or train longer")
    reached = _reached(schedule)
    if reached < ENOUGH * settings.sparse_end:
        raise InputError(f"suppress.mask_times {settings.mask_times} in {schedule.steps} steps from epoch "
                         f"{settings.start_epoch} on, {schedule.steps_per_epoch} an epoch: the last mask update asks "
                         f"for {reached:.4f} zero, not suppress.sparse_end {settings.sparse_end:g}; raise mask_times, "
                         "lower training.batch_size or start_epoch, or train longer")


def _reached(schedule: Schedule) -> float:
    """Return the sparsity that the last update asks for; one after the very last step would not be applied."""
    last = schedule.epochs * schedule.steps_per_epoch
    return max((schedule.sparsity(step) for step in schedule.updates if step < last), default=0.0)


def _check_layer(layer: MaskLayer, sparse_end: float, size: int) -> None:
    """Refuse a layer in which no weight would ever be zero."""
    if layer.zeros_at(sparse_end, size) > 0:
        return
    reason = f"min_num {layer.min_num} spares them" if layer.reachable(sparse_end, size) < sparse_end else \
        f"suppress.sparse_end {sparse_end:g} of them is less than one"
    raise InputError(f"suppress.layers entry '{layer.name}' has nothing to suppress: it has {size} weights, and "
                     f"{reason}")
