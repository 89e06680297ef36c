"""Networks that are compared: several of one recipe, each trained on half of one pool of training rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindleak.data.dataset import Dataset
from mindleak.subjects.asked import AskedTask
from mindleak.subjects.subject import SubjectPlan
from mindleak.subjects.task import TrainingTask


@dataclass(frozen=True)
class Pool:
    """The rows that a variant's networks share: ``rows`` (N,); ``keep`` bool (models, N), who is trained on which."""

    rows: np.ndarray
    keep: np.ndarray


class Variant:
    """One way to make a network, and its networks on halves of one pool.

    Variants on equally many images have the same rows and seeds, network by network.

    Args:
        plan: of what its networks have in common.
        pool: whose halves they are trained on.
    """

    def __init__(self, plan: SubjectPlan, pool: Pool) -> None:
        self.plan = plan
        self.pool = pool

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self.plan.name

    @property
    def dataset(self) -> Dataset:
        """The data that the pool's rows belong to."""
        return self.plan.dataset

    @property
    def labels(self) -> np.ndarray:
        """The labels of the pool, (N,)."""
        return self.dataset.y_train[self.pool.rows]

    @cached_property
    def tasks(self) -> list[TrainingTask]:
        """The trainings, one per network."""
        recipe = self.plan.recipe()
        settings = self.plan.settings(recipe)
        return [TrainingTask(self.plan, f"model{number}", recipe, settings, self.pool.rows[kept])
                for number, kept in enumerate(self.pool.keep)]

    def logits(self, number: int) -> np.ndarray:
        """Return a network's logits on the pool, (N, classes); trains and asks what is missing."""
        kept, rows = self.pool.keep[number], self.pool.rows
        answers = AskedTask(self.tasks[number], (rows[kept], rows[~kept])).run().arrays["logits"]
        ordered = np.empty_like(answers)
        ordered[np.concatenate([np.flatnonzero(kept), np.flatnonzero(~kept)])] = answers
        return ordered
