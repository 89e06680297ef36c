"""What every way to train is asked for, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.compiled import CompiledTrainings
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import Predictor
from mindleak.training.recipe import Recipe


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


@dataclass(frozen=True)
class TrainingRequest:
    """One network to be trained.

    Attributes:
        network: freshly initialised; trained in place and left in evaluation mode.
        data: training and validation arrays.
        recipe: its ``method`` is not looked at by the way to train, which is that method.
        seed: of the shuffling, and of whatever else is random.
        settings: of the way to train; None for the ordinary one.
        printer: told about every epoch; says nothing by default.
        checkpoints: where to keep best and last; None keeps nothing.
        resume: continue from the last checkpoint where there is one.
        version: of the code; a checkpoint of another version is not continued.
        shared: compiled trainings to be trained in, and what stands for the architecture (``CompiledTrainings``). Where
            one of its kind is there, ``network`` lends its weights only: the one of the result is trained, and trained
            anew by the next request. Numbers are the same.
    """

    network: nn.Cell
    data: TrainingData
    recipe: Recipe
    seed: int
    settings: Any = None
    printer: EpochPrinter = field(default_factory=lambda: EpochPrinter("", 0, enabled=False))
    checkpoints: CheckpointFolder | None = None
    resume: bool = False
    version: str = ""
    shared: tuple[CompiledTrainings, str] | None = None


@dataclass(frozen=True)
class TrainingResult:
    """A trained network.

    Attributes:
        network: in evaluation mode.
        predict: asks it, by what validation has compiled.
        history: an entry per epoch.
        last, best: its checkpoints, None where none were asked for.
        record: what the way to train says of it, as JSON values: ``sparsity`` counts zeros, ``privacy`` has ε and what
            that rests on.
    """

    network: nn.Cell
    predict: Predictor
    history: list[EpochRecord]
    last: Path | None = None
    best: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)
