"""What attacks on answers alone see of a trained classifier, whatever it is, and what every way to make one offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional, Protocol

import numpy as np
from mindspore import nn

from mindleak.data.dataset import Dataset
from mindleak.subjects.asking import ask
from mindleak.subjects.own import network_digest

if TYPE_CHECKING:
    from mindleak.runs.stages import StageResult
    from mindleak.subjects.subject import SubjectPlan


class Answering(Protocol):
    """A trained classifier that answers about rows of its data set."""

    @property
    def digest(self) -> str:
        """What an attack on the answers depends on, as SHA-256."""

    def logits(self, split: str, rows: Optional[np.ndarray] = None, mirrored: bool = False) -> np.ndarray:
        """Return logits (N, classes) about rows of a split, all by default, or about their mirror images.

        Raises:
            InputError: an answer is not finite.
        """


@dataclass(frozen=True, eq=False)
class NetworkAnswering:
    """A network that is asked when its answers are wanted.

    Attributes:
        network: that answers.
        predict: asks it.
        data: whose images.
        name: what messages call it.
    """

    network: nn.Cell
    predict: Callable[[np.ndarray], np.ndarray]
    data: Dataset
    name: str

    @cached_property
    def digest(self) -> str:
        """Over what the network computes and its weights."""
        return network_digest(self.network)

    def logits(self, split: str, rows: np.ndarray | None = None, mirrored: bool = False) -> np.ndarray:
        """Ask the network; see ``asking.ask``."""
        return ask(self.predict, self.data, split, self.name, rows, mirror if mirrored else None)


class ModelTask(Protocol):
    """One model to be made as a stage: which subject, in which role, on which rows of the training split."""

    @property
    def plan(self) -> SubjectPlan:
        """Of the subject."""

    @property
    def role(self) -> str:
        """In which it is made."""

    @property
    def rows(self) -> Optional[np.ndarray]:
        """Of the training split; None: all."""

    @property
    def training(self) -> ModelTask:
        """Itself: what is made and asked has it, too."""

    @property
    def stage_name(self) -> str:
        """Name of the stage."""

    @property
    def epochs(self) -> int:
        """How many times it is shown its rows."""

    @property
    def is_done(self) -> bool:
        """True if the stage is in the run directory."""

    def check(self) -> None:
        """Raise InputError for what can be known to fail before any work is done."""

    def refuse_foreign_checkpoint(self) -> None:
        """Raise InputError if it would replace a checkpoint that another run has written."""

    def run(self) -> StageResult:
        """Make it, or return what an earlier call has made."""

    def beside(self, role: str, rows: np.ndarray, split: str, outside: np.ndarray) -> ModelTask:
        """Return one of many beside the subject: made alike, on other rows.

        Args:
            role: what it is called.
            rows: that it is made on.
            split, outside: rows that it is not; a part of them may watch how it is made.
        """

    def answering(self, result: StageResult) -> Answering:
        """Return what is asked of a finished stage, at once: models may take turns in what computes their answers."""

    def fingerprint(self, result: StageResult) -> str:
        """Return a SHA-256 of what a finished stage has made: of two that are made of the same rows, the same."""

    def made_by(self) -> dict[str, Any]:
        """Return the recipe, by section of the configuration."""


def mirror(images: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) mirrored left to right."""
    return np.ascontiguousarray(images[..., ::-1])
