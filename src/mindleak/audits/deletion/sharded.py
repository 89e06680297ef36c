"""A model that samples can be deleted from exactly: one network per shard, trained slice by slice, answering together.

Every slice is a stage of the run, keyed by its rows and their order, its seed, the recipe, the code, and the weights
that it starts from. What a deletion does not touch keeps its key and is not trained again; what it does touch is
trained on the remaining rows from weights that never saw the deleted ones. So the weights are bit for bit those of a
training that never had the samples: it would be the same stages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from mindspore import nn

from mindleak.audits.deletion.sharding import deal_shards
from mindleak.data.dataset import TEST
from mindleak.data.samples import stratified
from mindleak.errors import InputError
from mindleak.runs.stages import StageResult
from mindleak.subjects.own import weights_digest
from mindleak.subjects.subject import SubjectPlan
from mindleak.subjects.task import WATCHED, TrainingTask
from mindleak.training.methods import METHODS

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class ShardState:
    """One trained shard.

    Attributes:
        slices: the stages, one per slice.
        digest: SHA-256 of the weights after the last.
    """

    slices: tuple[StageResult, ...]
    digest: str


class ShardedModel:
    """The networks of all shards.

    Args:
        plan: of what they have in common.
        rows: of the training split that are dealt to the shards, before any deletion.
        name: first part of the networks' roles.
        tells: whether it says what it trains.

    Raises:
        InputError: a way to train that does not repeat itself bit by bit, or too few samples for so many slices.
    """

    def __init__(self, plan: SubjectPlan, rows: np.ndarray, name: str = "shard", tells: bool = True) -> None:
        settings = plan.config.deletion
        self.plan = plan
        self._name = name
        self._tells = tells
        self._recipe = plan.recipe()
        self._settings = plan.settings(self._recipe)
        epochs = METHODS[self._recipe.method].epochs(self._recipe, self._settings)
        self.sharding = deal_shards(rows, settings.shards, settings.slices, epochs, plan.session.seed("shards"))
        _require_repeatable(plan, self._recipe.method, self.sharding.slices)

    def check(self, deleted: np.ndarray) -> None:
        """Raise InputError where what is left after a deletion is too little to train every slice on."""
        batch = self._recipe.batch_size
        for shard in range(self.sharding.shards):
            left = len(self.sharding.rows(shard, 1, deleted))
            if left < batch:
                raise InputError(f"shard {shard} has {left} samples in its first slice, fewer than training.batch_size "
                                 f"{batch}; expected a smaller deletion, or fewer deletion.shards or deletion.slices "
                                 "from the start")
        self._task(0, 0, deleted, None).check()

    @property
    def first_task(self) -> TrainingTask:
        """The very first training."""
        return self._task(0, 0, np.zeros(0, np.int64), None)

    def stage_name(self, shard: int, step: int) -> str:
        """Return the name of the stage that trains a shard after its slice was added."""
        return f"train-{self.plan.name}-{self._name}{shard}-slice{step}"

    def run(self, deleted: np.ndarray) -> list[ShardState]:
        """Return all shards as they are without the deleted rows; what is there already is not trained again."""
        return [self.shard(number, deleted) for number in range(self.sharding.shards)]

    def shard(self, number: int, deleted: np.ndarray) -> ShardState:
        """Return one shard as it is without the deleted rows."""
        results: list[StageResult] = []
        for step in range(self.sharding.slices):
            task = replace(self._task(number, step, deleted, results[-1] if results else None), plan=self._silent)
            there = task.is_done
            results.append(task.run())
            if self._tells and not there:
                self._say(task, number, step)
        return ShardState(tuple(results), weights_digest(task.network(results[-1])))

    def _say(self, task: TrainingTask, shard: int, step: int) -> None:
        assert task.rows is not None
        self.plan.session.say(f"[{self.plan.name}] shard {shard + 1} of {self.sharding.shards}, slice {step + 1} of "
                              f"{self.sharding.slices}: trained on {len(task.rows):,} samples, {task.epochs} epochs")

    def found(self, number: int, deleted: np.ndarray) -> ShardState | None:
        """Return one shard as it lies in the run directory; None where it is not as it is without the deleted rows."""
        results: list[StageResult] = []
        for step in range(self.sharding.slices):
            task = self._task(number, step, deleted, results[-1] if results else None)
            if not task.is_done:
                return None
            results.append(task.run())
        return ShardState(tuple(results), weights_digest(task.network(results[-1])))

    def logits(self, states: list[ShardState], split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what the shards answer together, as log-probabilities (n, classes).

        Args:
            states: of all shards.
            split: ``TRAINING`` or ``TEST``.
            rows: of the split; all by default.
        """
        answers = np.stack([self._answers(number, state, split, rows) for number, state in enumerate(states)])
        return aggregated(answers, self.plan.config.deletion.aggregate)

    def shard_logits(self, states: list[ShardState], split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what every shard answers, (shards, n, classes)."""
        return np.stack([self._answers(number, state, split, rows) for number, state in enumerate(states)])

    def _answers(self, number: int, state: ShardState, split: str, rows: np.ndarray | None) -> np.ndarray:
        return self.first_task.answering(state.slices[-1]).logits(split, rows)

    @cached_property
    def _silent(self) -> SubjectPlan:
        """The plan without a voice: fifty short trainings have no line per epoch each."""
        return replace(self.plan, session=self.plan.session.silent())

    def _task(self, shard: int, step: int, deleted: np.ndarray, start: StageResult | None) -> TrainingTask:
        """Return the training that follows when a shard's slice is added."""
        rows = self.sharding.rows(shard, step + 1, deleted)
        recipe = replace(self._recipe, epochs=self.sharding.slice_epochs)
        labels, seed = self.plan.dataset.y_test, self.plan.session.seed("shards", "watched")
        watched = np.arange(len(labels))
        watched = watched if len(labels) <= WATCHED else np.sort(stratified(labels, watched, WATCHED, seed))
        settings = METHODS[recipe.method].resized(self._settings, {}, len(rows), len(self.plan.dataset.y_train))
        return TrainingTask(self.plan, f"{self._name}{shard}-slice{step}", recipe, settings, rows,
                            watched=(TEST, watched), aside=True, start=start)


def aggregated(logits: np.ndarray, how: str) -> np.ndarray:
    """Return the common answer of several networks as log-probabilities, float32 (n, classes).

    Args:
        logits: (networks, n, classes).
        how: ``mean``: the logarithm of the mean of their softmax; ``vote``: of the shares of their votes, where a class
            without any has half a vote.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=2, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)
    if how == "vote":
        votes = (np.arange(logits.shape[2]) == logits.argmax(axis=2)[..., None]).sum(axis=0)
        shares = np.maximum(votes, 0.5)
        return np.log(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    smallest = np.finfo(np.float32).tiny
    return np.log(np.maximum(probabilities.mean(axis=0), smallest)).astype(np.float32)


def _require_repeatable(plan: SubjectPlan, method: str, slices: int) -> None:
    """Refuse trainings that do not give equal weights twice, and privacy budgets that slices would add up unseen.

    Raises:
        InputError: with what would be right.
    """
    drops = [name for name, cell in plan.untrained.cells_and_names()
             if isinstance(cell, _DROPOUTS) and getattr(cell, "p", 1.0) != 0]
    if drops:
        raise InputError(f"{plan.model_label} has dropout ('{drops[0]}'), which MindSpore draws on several threads; an "
                         "exact deletion needs a network whose training repeats itself bit by bit")
    if method == "dp_sgd" and slices > 1:
        raise InputError(f"deletion.slices is {slices}; expected 1 with training.method=dp_sgd, since every further "
                         "slice spends another privacy budget on the samples before it")
