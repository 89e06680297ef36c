"""How models are made, whole or of shards: networks slice by slice, and what is no network in one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Optional, Protocol

import numpy as np
from mindspore import nn

from mindleak.data.dataset import TEST
from mindleak.data.samples import stratified
from mindleak.errors import InputError
from mindleak.runs.stages import StageResult
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.subject import EstimatorPlan, SubjectPlan
from mindleak.subjects.task import WATCHED, TrainingTask
from mindleak.training.methods import METHODS
from mindleak.training.recipe import Recipe

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_SMALLER = "expected a smaller deletion, or fewer deletion.shards"


class ModelMaker(Protocol):
    """Makes many models alike."""

    @property
    def epochs(self) -> int:
        """Passes over a whole training set that the recipe asks for."""

    @property
    def further_epochs(self) -> int:
        """Passes that the method adds to every training, such as fine-tuning after pruning."""

    def silent(self) -> ModelMaker:
        """Return one that says nothing while it makes them: fifty short trainings have no line per epoch each."""

    def check(self, shard: int, rows: np.ndarray) -> None:
        """Raise InputError where the rows of a shard's first slice are too few to make a model of."""

    def task(self, role: str, rows: np.ndarray, epochs: Optional[int] = None,
             start: Optional[StageResult] = None) -> ModelTask:
        """Return the making of one model.

        Args:
            role: in which it is made.
            rows: of the training split that it is made of.
            epochs: passes over them; those of the recipe by default.
            start: the stage of the slices before, to be continued; None to begin afresh.
        """


def model_maker(plan: SubjectPlan) -> ModelMaker:
    """Return what makes the models of a subject."""
    if isinstance(plan, EstimatorPlan):
        return EstimatorMaker(plan)
    recipe = plan.recipe()
    return NetworkMaker(plan, recipe, plan.settings(recipe))


def require_exact(plan: SubjectPlan) -> None:
    """Refuse ways to make models that do not repeat themselves bit by bit, and slices that cannot be added.

    Raises:
        InputError: with what would be right.
    """
    if isinstance(plan, EstimatorPlan):
        _require_one_slice(plan)
    else:
        _require_repeatable(plan)


@dataclass(frozen=True)
class NetworkMaker:
    """Trains networks.

    Attributes:
        plan: of what they have in common.
        recipe: of a training on all slices at once.
        settings: of the recipe's method.
    """

    plan: SubjectPlan
    recipe: Recipe
    settings: Any

    @property
    def epochs(self) -> int:
        """Those of the recipe."""
        return self.recipe.epochs

    @property
    def further_epochs(self) -> int:
        """Those of the recipe's method."""
        return METHODS[self.recipe.method].epochs(self.recipe, self.settings) - self.recipe.epochs

    def silent(self) -> NetworkMaker:
        """Return one that says nothing; the run is opened for it."""
        return replace(self, plan=replace(self.plan, session=self.plan.session.silent()))

    def check(self, shard: int, rows: np.ndarray) -> None:
        """Raise InputError where rows do not fill a batch."""
        if len(rows) < self.recipe.batch_size:
            raise InputError(f"shard {shard} has {len(rows)} samples in its first slice, fewer than "
                             f"training.batch_size {self.recipe.batch_size}; {_SMALLER} or deletion.slices from the "
                             "start")

    def task(self, role: str, rows: np.ndarray, epochs: int | None = None,
             start: StageResult | None = None) -> TrainingTask:
        """Return the training of one network, watched on the test split."""
        recipe = self.recipe if epochs is None else replace(self.recipe, epochs=epochs)
        whole = len(self.plan.dataset.y_train)
        settings = METHODS[recipe.method].resized(self.settings, {}, len(rows), whole)
        return TrainingTask(self.plan, role, recipe, settings, rows, watched=(TEST, self._watched), aside=True,
                            start=start)

    @cached_property
    def _watched(self) -> np.ndarray:
        """The rows of the test split that watch all trainings."""
        labels, seed = self.plan.dataset.y_test, self.plan.session.seed("shards", "watched")
        every = np.arange(len(labels))
        return every if len(labels) <= WATCHED else np.sort(stratified(labels, every, WATCHED, seed))


@dataclass(frozen=True)
class EstimatorMaker:
    """Fits models that are no networks.

    Attributes:
        plan: of what they have in common.
    """

    plan: EstimatorPlan

    @property
    def epochs(self) -> int:
        """One: they are fitted in one pass."""
        return 1

    @property
    def further_epochs(self) -> int:
        """None."""
        return 0

    def silent(self) -> EstimatorMaker:
        """Return itself: a fit has no epochs to tell of."""
        return self

    def check(self, shard: int, rows: np.ndarray) -> None:
        """Raise InputError where a class has no image among rows, or they are fewer than centroids."""
        task = EstimatorTask(self.plan, f"shard {shard}", rows)
        if task.absent:
            raise InputError(f"shard {shard} has no image of class {', '.join(task.absent)} among its {len(rows)}, and "
                             f"{self.plan.model_label} has no answer for a class that it was not fitted to; {_SMALLER} "
                             "from the start")
        task.check()

    def task(self, role: str, rows: np.ndarray, epochs: int | None = None,
             start: StageResult | None = None) -> EstimatorTask:
        """Return the fit of one model; there is nothing to start from."""
        return EstimatorTask(self.plan, role, rows)


def _require_repeatable(plan: SubjectPlan) -> None:
    """Refuse trainings that do not give equal weights twice, and privacy budgets that slices would add up unseen.

    Raises:
        InputError: with what would be right.
    """
    slices = plan.config.deletion.slices
    drops = [name for name, cell in plan.untrained.cells_and_names()
             if isinstance(cell, _DROPOUTS) and getattr(cell, "p", 1.0) != 0]
    if drops:
        raise InputError(f"{plan.model_label} has dropout ('{drops[0]}'), which MindSpore draws on several threads; an "
                         "exact deletion needs a network whose training repeats itself bit by bit")
    if plan.recipe().method == "dp_sgd" and slices > 1:
        raise InputError(f"deletion.slices is {slices}; expected 1 with training.method=dp_sgd, since every further "
                         "slice spends another privacy budget on the samples before it")


def _require_one_slice(plan: EstimatorPlan) -> None:
    """Refuse slices, which would have to be added to a model that is fitted already.

    Raises:
        InputError: with what would be right.
    """
    slices = plan.config.deletion.slices
    if slices > 1:
        raise InputError(f"deletion.slices is {slices}; expected 1 for {plan.model_label}, which is fitted in one pass")
