"""What networks answer before and after a deletion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answers:
    """What the networks of one method answer, and what it took to come to them.

    Attributes:
        pool: logits on the pool, (models, P, classes).
        shown: logits on retained samples, (models, S, classes).
        accuracy: on the test split, (models,).
        sample_epochs: samples whose gradients were taken, times how often, mean over the networks.
        seconds: mean over the networks.
        digests: of the stages that hold each network's answers.
    """

    pool: np.ndarray
    shown: np.ndarray
    accuracy: np.ndarray
    sample_epochs: float
    seconds: float
    digests: tuple[str, ...] = ()
