"""The ways to train, in one table: what each is set by, what it refuses, how it runs, what its checkpoints carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mindspore import nn

from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.compiled import CompiledTrainings
from mindleak.training.dp import DPSettings, check_private, dp_fingerprint, train_dp
from mindleak.training.history import EpochPrinter
from mindleak.training.pruning import PruneSettings, prune_fingerprint, prune_layers, total_epochs, train_prune
from mindleak.training.recipe import Recipe
from mindleak.training.suppress import SuppressSettings, check_suppress, suppress_fingerprint, train_suppress
from mindleak.training.trainer import TrainingData, TrainingResult, fingerprint, train_ordinary

Shape = tuple[int, ...]


def _as_it_is(settings: Any, given: Mapping[str, Any], samples: int, reference: int) -> Any:
    """Return settings that do not depend on how many samples there are."""
    return settings


def _recipe_epochs(recipe: Recipe, settings: Any) -> int:
    """Return the recipe's epochs."""
    return recipe.epochs


def _always(settings: Any) -> bool:
    """Return True."""
    return True


@dataclass(frozen=True)
class Method:
    """One value of ``training.method``.

    Attributes:
        section: of the configuration with the method's settings; None where the recipe says all.
        settings: made from the section's keys; has ``as_dict``.
        check: (untrained network, shape of an image, recipe, settings, samples); raises InputError for what would fail
            or silently do something else.
        train: (network, data, recipe, settings, seed, printer, checkpoints, resume, version), and where
            ``shares_graphs`` also ``shared``: see ``train_ordinary``.
        fingerprint: (recipe, data, seed, settings, version) → what the training's checkpoints carry.
        epochs: (recipe, settings) → how many epochs there are in all.
        resized: (settings, those of its keys that were given for this size, samples, samples they were meant for) →
            settings for another number of samples.
        resumes: (settings) → whether an interrupted training goes on where it was.
        shares_graphs: whether models can be trained one after the other in the same compiled graphs.
        divides: (settings) → whether its batches can be divided among several processes.
    """

    section: str | None
    settings: Callable[..., Any] | None
    check: Callable[[nn.Cell, Shape, Recipe, Any, int], None]
    train: Callable[..., TrainingResult]
    fingerprint: Callable[[Recipe, TrainingData, int, Any, str], str]
    epochs: Callable[[Recipe, Any], int] = _recipe_epochs
    resized: Callable[[Any, Mapping[str, Any], int, int], Any] = _as_it_is
    resumes: Callable[[Any], bool] = _always
    shares_graphs: bool = False
    divides: Callable[[Any], bool] = _always


def _check_ordinary(network: nn.Cell, shape: Shape, recipe: Recipe, settings: None, samples: int) -> None:
    """Nothing beyond what every training needs."""


def _ordinary(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: None, seed: int, printer: EpochPrinter,
              checkpoints: CheckpointFolder | None, resume: bool, version: str,
              shared: tuple[CompiledTrainings, str] | None = None) -> TrainingResult:
    return train_ordinary(network, data, recipe, seed, printer, checkpoints, resume, version, shared)


def _ordinary_fingerprint(recipe: Recipe, data: TrainingData, seed: int, settings: None, version: str) -> str:
    return fingerprint(recipe, data, seed, version)


def _check_suppress(network: nn.Cell, shape: Shape, recipe: Recipe, settings: SuppressSettings, samples: int) -> None:
    check_suppress(network, recipe, settings, samples)


def _suppress(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings, seed: int,
              printer: EpochPrinter, checkpoints: CheckpointFolder | None, resume: bool,
              version: str) -> TrainingResult:
    return train_suppress(network, data, recipe, settings, seed, printer, checkpoints, resume, version)


def _suppress_fingerprint(recipe: Recipe, data: TrainingData, seed: int, settings: SuppressSettings,
                          version: str) -> str:
    return suppress_fingerprint(recipe, data, seed, settings, version)


def _suppress_resumes(settings: SuppressSettings) -> bool:
    """MindArmour's masks are in no checkpoint; the compiled engine's are."""
    return settings.engine != "mindarmour"


def _suppress_divides(settings: SuppressSettings) -> bool:
    """The compiled engine's masks follow from weights that all processes share; MindArmour's classes know of one."""
    return settings.engine != "mindarmour"


def _never(settings: Any) -> bool:
    """Return False."""
    return False


def _suppress_resized(settings: SuppressSettings, given: Mapping[str, Any], samples: int,
                      reference: int) -> SuppressSettings:
    """Return the settings with as many mask updates per sample, unless their number was given for this size."""
    return settings if "mask_times" in given else settings.scaled(samples, reference)


def _check_prune(network: nn.Cell, shape: Shape, recipe: Recipe, settings: PruneSettings, samples: int) -> None:
    prune_layers(network, settings.layers)


METHODS: dict[str, Method] = {
    "ordinary": Method(None, None, _check_ordinary, _ordinary, _ordinary_fingerprint, shares_graphs=True),
    "suppress": Method("suppress", SuppressSettings, _check_suppress, _suppress, _suppress_fingerprint,
                       resized=_suppress_resized, resumes=_suppress_resumes, divides=_suppress_divides),
    "dp_sgd": Method("dp", DPSettings, check_private, train_dp, dp_fingerprint, divides=_never),
    "prune": Method("prune", PruneSettings, _check_prune, train_prune, prune_fingerprint, total_epochs),
}
SECTIONS = tuple(method.section for method in METHODS.values() if method.section is not None)
