"""Suppress-privacy training: the smallest weights of chosen layers are set to zero for good as training goes on.

The method is MindArmour's ``sup_privacy`` (docs/methods.md). Two engines run it: ``graph``, the compiled loop with the
masks on the device, and ``mindarmour``, MindArmour's own classes, which are the reference.
"""

from __future__ import annotations

import time
from dataclasses import replace

from mindspore import nn

from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter
from mindleak.training.recipe import Recipe
from mindleak.training.suppress import graph, mindarmour
from mindleak.training.suppress.checks import check_suppress, shortfalls
from mindleak.training.suppress.settings import ENGINES, MaskLayer, SuppressSettings, mask_layers
from mindleak.training.suppress.sparsity import ZERO, sparsity
from mindleak.training.trainer import TrainingData, TrainingResult, fingerprint

__all__ = ["ENGINES", "ZERO", "MaskLayer", "SuppressSettings", "check_suppress", "mask_layers", "sparsity",
           "suppress_fingerprint", "train_suppress"]


def suppress_fingerprint(recipe: Recipe, data: TrainingData, seed: int, settings: SuppressSettings,
                         version: str = "") -> str:
    """Return what must be equal for a checkpoint to be continued: see ``trainer.fingerprint``; engine included."""
    return fingerprint(recipe, data, seed, {"suppress": settings.as_dict(), "version": version})


def train_suppress(network: nn.Cell, data: TrainingData, recipe: Recipe, settings: SuppressSettings, seed: int,
                   printer: EpochPrinter, checkpoints: CheckpointFolder | None = None, resume: bool = False,
                   version: str = "") -> TrainingResult:
    """Train ``network`` in place by the recipe while suppressing weights; ``suppress`` of the result says how many.

    With the graph engine, two calls with equal arguments on one device give bit-identical weights, and so does a
    training that was interrupted and resumed. MindArmour's masks are in no checkpoint: with its engine, ``resume`` is
    without effect and an interrupted training starts again from its beginning.

    Args:
        network: freshly initialised; left in evaluation mode.
        data: training and validation arrays.
        recipe: ``method`` is not looked at here.
        settings: what to suppress, how far and when.
        seed: of shuffling and noise.
        printer: told about every epoch, and beforehand about what keeps it from ``sparse_end``.
        checkpoints: where to keep the last, and once it is suppressed as asked for, the best; None keeps nothing.
        resume: continue from the last checkpoint where there is one.
        version: of the code; a checkpoint of another version is not continued.

    Raises:
        InputError: see ``check_suppress``; the checkpoint to resume from belongs to another run, the loss stops being
            finite, or MindArmour's layer matching went astray.
    """
    started = time.perf_counter()
    layers = check_suppress(network, recipe, settings, data.samples)
    for note in shortfalls(network, layers, recipe, settings, data.samples):
        printer.note(note)
    identity = suppress_fingerprint(recipe, data, seed, settings, version)
    if settings.engine == "graph":
        result, updates = graph.train(network, data, recipe, settings, layers, seed, identity, printer, checkpoints,
                                      resume)
    else:
        result, updates = mindarmour.train(network, data, recipe, settings, layers, seed, identity, printer,
                                           checkpoints)
    report = sparsity(network, layers, settings.sparse_end) | {"mask_updates": updates}
    return replace(result, suppress=report, seconds=time.perf_counter() - started)
