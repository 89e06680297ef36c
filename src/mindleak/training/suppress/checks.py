"""What would make a suppress training do something else than it says, refused before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import nn

from mindleak.errors import InputError, Key
from mindleak.training.recipe import Recipe
from mindleak.training.suppress.masks import Schedule
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers

# The last mask update must ask for at least this part of sparse_end. A shortfall of more than the second is reported:
# MindArmour's ``sparse_vibra``.
ENOUGH = 0.9
NOTABLE = 0.02

_ENGINE = Key("suppress.engine")


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
        raise _only_graph("needs a network of at least two parameters: MindArmour looks at the first two to report its "
                          "progress", can="do with one")
    if recipe.optimizer != "sgd":
        raise _only_graph("works with plain SGD only, not ", Key("training.optimizer"), f" '{recipe.optimizer}': its "
                          "de-weight term cancels a weight in one SGD step")
    if recipe.schedule != "constant":
        raise _only_graph("needs a constant learning rate, not ", Key("training.schedule"), f" '{recipe.schedule}': "
                          "its de-weight term is divided by one rate for all steps")
    if recipe.weight_decay:
        raise _only_graph("needs ", Key("training.weight_decay"), f"=0, got {recipe.weight_decay}: decay would disturb "
                          "the step that cancels a weight")
    if recipe.learning_rate > 0.5:
        raise _only_graph("needs ", Key("training.learning_rate"), f" ≤ 0.5, got {recipe.learning_rate}")
    if recipe.epochs > 100:
        raise _only_graph("needs ", Key("training.epochs"), f" ≤ 100, got {recipe.epochs}", can="train longer")


def _only_graph(*reason: str, can: str = "use it") -> InputError:
    """Return the error of what the other engine can do."""
    return InputError(_ENGINE, " 'mindarmour' ", *reason, "; ", _ENGINE, f"=graph can {can}")


def _check_schedule(recipe: Recipe, settings: SuppressSettings, samples: int) -> None:
    """Refuse updates that do not fit into the training or stop short of ``sparse_end``."""
    if settings.start_epoch > recipe.epochs:
        raise InputError("suppress training needs ", Key("suppress.start_epoch"), " ≤ ", Key("training.epochs"),
                         f", got start_epoch {settings.start_epoch}, epochs {recipe.epochs}")
    schedule = Schedule(settings, recipe.epochs, recipe.steps_per_epoch(samples))
    if settings.mask_times > schedule.steps:
        raise InputError(Key("suppress.mask_times"), f" {settings.mask_times} is more than the {schedule.steps} steps "
                         f"from epoch {settings.start_epoch} on; lower mask_times or start_epoch, or train longer")
    reached = _reached(schedule)
    if reached < ENOUGH * settings.sparse_end:
        raise InputError(Key("suppress.mask_times"), f" {settings.mask_times} in {schedule.steps} steps from epoch "
                         f"{settings.start_epoch} on, {schedule.steps_per_epoch} an epoch: the last mask update asks "
                         f"for {reached:.4f} zero, not ", Key("suppress.sparse_end"), f" {settings.sparse_end:g}; "
                         "raise mask_times, lower ", Key("training.batch_size"), " or start_epoch, or train longer")


def _reached(schedule: Schedule) -> float:
    """Return the sparsity that the last update asks for; one after the very last step would not be applied."""
    last = schedule.epochs * schedule.steps_per_epoch
    return max((schedule.sparsity(step) for step in schedule.updates if step < last), default=0.0)


def _check_layer(layer: MaskLayer, sparse_end: float, size: int) -> None:
    """Refuse a layer in which no weight would ever be zero."""
    if layer.zeros_at(sparse_end, size) > 0:
        return
    reason = [f"min_num {layer.min_num} spares them"] if layer.reachable(sparse_end, size) < sparse_end else [
        Key("suppress.sparse_end"), f" {sparse_end:g} of them is less than one"]
    raise InputError(Key("suppress.layers"), f" entry '{layer.name}' has nothing to suppress: it has {size} weights, "
                     "and ", *reason)
