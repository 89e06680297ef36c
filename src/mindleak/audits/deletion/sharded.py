"""A model that samples can be deleted from exactly: one network or fit per shard, answering together.

A network is trained slice by slice. Every slice is a stage of the run, keyed by its rows and their order, its seed, the
recipe, the code, and the weights that it starts from. What a deletion does not touch keeps its key and is not made
again; what it does touch is made of the remaining rows, from weights that never saw the deleted ones. So it is bit for
bit what it would be had the samples never been there: it would be the same stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindleak.audits.deletion.making import ModelMaker, model_maker, require_exact
from mindleak.audits.deletion.sharding import deal_shards
from mindleak.runs.stages import StageResult
from mindleak.subjects.answering import Answering, ModelTask
from mindleak.subjects.subject import SubjectPlan

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class ShardState:
    """One shard as it has been made.

    Attributes:
        slices: the stages, one per slice.
        digest: SHA-256 of what the last has made.
    """

    slices: tuple[StageResult, ...]
    digest: str


class ShardedModel:
    """The models of all shards.

    Args:
        plan: of what they have in common.
        rows: of the training split that are dealt to the shards, before any deletion.
        name: first part of the models' roles.
        tells: whether it says what it makes.

    Raises:
        InputError: a way to train that does not repeat itself bit by bit, or too few samples for so many slices.
    """

    def __init__(self, plan: SubjectPlan, rows: np.ndarray, name: str = "shard", tells: bool = True) -> None:
        settings = plan.config.deletion
        self.plan = plan
        self._name = name
        self._tells = tells
        require_exact(plan)
        self._maker = model_maker(plan)
        self.sharding = deal_shards(rows, settings.shards, settings.slices, self._maker.epochs,
                                    plan.session.seed("shards"), self._maker.further_epochs)

    def check(self, deleted: np.ndarray) -> None:
        """Raise InputError where what is left after a deletion is too little to make every shard of."""
        for shard in range(self.sharding.shards):
            self._maker.check(shard, self.sharding.rows(shard, 1, deleted))
        self._task(self._maker, 0, 0, deleted, None).check()

    @property
    def first_task(self) -> ModelTask:
        """The very first stage that makes anything."""
        return self._task(self._maker, 0, 0, NONE, None)

    def stage_name(self, shard: int, step: int) -> str:
        """Return the name of the stage that makes a shard after its slice was added."""
        return f"train-{self.plan.name}-{self._role(shard, step)}"

    def run(self, deleted: np.ndarray) -> list[ShardState]:
        """Return all shards as they are without the deleted rows; what is there already is not made again."""
        return [self.shard(number, deleted) for number in range(self.sharding.shards)]

    def shard(self, number: int, deleted: np.ndarray) -> ShardState:
        """Return one shard as it is without the deleted rows."""
        results: list[StageResult] = []
        for step in range(self.sharding.slices):
            task = self._task(self._silent, number, step, deleted, results[-1] if results else None)
            there = task.is_done
            results.append(task.run())
            if self._tells and not there:
                self._say(task, number, step)
        return ShardState(tuple(results), task.fingerprint(results[-1]))

    def _say(self, task: ModelTask, shard: int, step: int) -> None:
        assert task.rows is not None
        epochs = "1 epoch" if task.epochs == 1 else f"{task.epochs} epochs"
        self.plan.session.say(f"[{self.plan.name}] shard {shard + 1} of {self.sharding.shards}, slice {step + 1} of "
                              f"{self.sharding.slices}: trained on {len(task.rows):,} samples, {epochs}")

    def found(self, number: int, deleted: np.ndarray) -> ShardState | None:
        """Return one shard as it lies in the run directory; None where it is not as it is without the deleted rows."""
        results: list[StageResult] = []
        for step in range(self.sharding.slices):
            task = self._task(self._maker, number, step, deleted, results[-1] if results else None)
            if not task.is_done:
                return None
            results.append(task.run())
        return ShardState(tuple(results), task.fingerprint(results[-1]))

    def logits(self, states: list[ShardState], split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what the shards answer together, as log-probabilities (n, classes).

        Args:
            states: of all shards.
            split: ``TRAINING`` or ``TEST``.
            rows: of the split; all by default.
        """
        return aggregated(self.shard_logits(states, split, rows), self.plan.config.deletion.aggregate)

    def shard_logits(self, states: list[ShardState], split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what every shard answers, (shards, n, classes)."""
        return np.stack([self._answering(number, state).logits(split, rows) for number, state in enumerate(states)])

    def _answering(self, number: int, state: ShardState) -> Answering:
        """Return what is asked of one shard, by the task that has made it: a network may hold more than weights."""
        task = self._task(self._maker, number, self.sharding.slices - 1, NONE, None)
        return task.answering(state.slices[-1])

    @cached_property
    def _silent(self) -> ModelMaker:
        """What makes the shards without a voice."""
        return self._maker.silent()

    def _role(self, shard: int, step: int) -> str:
        return f"{self._name}{shard}-slice{step}"

    def _task(self, maker: ModelMaker, shard: int, step: int, deleted: np.ndarray,
              start: StageResult | None) -> ModelTask:
        """Return what is made when a shard's slice is added."""
        return maker.task(self._role(shard, step), self.sharding.rows(shard, step + 1, deleted),
                          self.sharding.slice_epochs, start)


def aggregated(logits: np.ndarray, how: str) -> np.ndarray:
    """Return the common answer of several models as log-probabilities, float32 (n, classes).

    Args:
        logits: (models, n, classes).
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
