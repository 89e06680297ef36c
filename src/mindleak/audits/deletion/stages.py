"""The stages of a deletion audit: every network before and after, by every method, asked the same questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.plan import TRAINED, DeletionPlan
from mindleak.audits.deletion.words import BEFORE, SHARDED
from mindleak.data.dataset import TEST, TRAINING
from mindleak.evaluation.classification import accuracy
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.task import WEIGHTS, TrainingTask, weights_of
from mindleak.training import checkpoint
from mindleak.training.unlearning.unlearning import Unlearning, UnlearningRequest


class DeletionStages:
    """Trains, deletes and asks; stages that are there are not computed again."""

    def __init__(self, planned: DeletionPlan) -> None:
        self._planned = planned
        self._plan = planned.plan
        self._models = range(planned.models)
        self._networks: dict[str, nn.Cell | None] = {}

    def answers(self, method: str) -> Answers:
        """Return what networks that were trained answer: by a method, ``before``, ``never`` and ``sharded_before``."""
        if method in TRAINED:
            return self._of_trainings(method)
        return self._of_shards(method == SHARDED)

    def unlearned_answers(self, method: Unlearning, called: str) -> Answers:
        """Return what the networks answer as an approximate method leaves them; ``called`` names its stages."""
        results = self.unlearned(method, called)
        asked = [self._asked(f"{called}{model}", self._planned.trained[BEFORE][model], result)
                 for model, result in enumerate(results)]
        return _gathered(asked, [result.metrics["sample_epochs"] for result in results],
                         [result.seconds for result in results])

    def _of_trainings(self, kind: str) -> Answers:
        tasks = self._planned.trained[kind]
        asked = [self._asked(f"{kind}{model}", task, task.run()) for model, task in enumerate(tasks)]
        costs = [len(task.rows) * task.epochs for task in tasks if task.rows is not None]
        return _gathered(asked, costs, [task.run().seconds for task in tasks])

    def _of_shards(self, deleted: bool) -> Answers:
        asked, costs, seconds = [], [], []
        for model, sharded in enumerate(self._planned.sharded):
            gone = self._planned.design.forgotten(model) if deleted else np.zeros(0, np.int64)
            states = sharded.run(gone)
            asked.append(self._asked_by(f"shards{model}", [state.digest for state in states],
                                        partial(sharded.logits, states)))
            # By shard, its first slice that was trained for this.
            first = sharded.sharding.touched(gone) if deleted else dict.fromkeys(range(len(states)), 0)
            costs.append(sum(sharded.sharding.cost(shard, step, gone) for shard, step in first.items()))
            seconds.append(sum(result.seconds for shard, step in first.items()
                               for result in states[shard].slices[step:]))
        return _gathered(asked, costs, seconds)

    def unlearned(self, method: Unlearning, called: str) -> list[StageResult]:
        """Return the networks as an approximate method leaves them, their weights beside the results."""
        # One network takes turns, so that what a method and its other candidates have compiled serves them all.
        if method.name not in self._networks:
            self._networks[method.name] = self._plan.make_network(0) if self._plan.is_registered else None
        network = self._networks[method.name]
        return [self._unlearned(called, method, model, network) for model in self._models]

    def _unlearned(self, called: str, method: Unlearning, model: int, network: nn.Cell | None) -> StageResult:
        """Return a network after approximate unlearning, its weights beside the result.

        Args:
            called: what its stage is called.
            method: it.
            model: number of the network.
            network: that takes its weights; None where its own must be made, holding more than weights.
        """
        planned, plan = self._planned, self._plan
        task = planned.trained[BEFORE][model]
        assert isinstance(task, TrainingTask)
        before, design = task.run(), planned.design
        inputs = {"start": before.digest, "data": plan.dataset.digest, "forget": stable_hash(design.forgotten(model)),
                  "retained": stable_hash(design.retained), "method": method.name, "settings": method.settings(),
                  "recipe": task.recipe.as_dict(), "architecture": plan.architecture(task.seed),
                  "source": own_file.source(plan.config.model.name)}

        def compute(context: StageContext) -> dict[str, Any]:
            data, trained = plan.dataset, task.network(before) if network is None else network
            if network is not None:
                checkpoint.load_weights(network, weights_of(before))
            result = method.unlearn(UnlearningRequest(
                trained, data.x_train, data.y_train, design.forgotten(model), design.retained, task.recipe,
                task.seed, plan.make_network))
            checkpoint.save(context.path(WEIGHTS), result.network)
            return {"sample_epochs": result.sample_epochs, "asked": result.asked, "record": result.record}

        return plan.session.run.stage(f"unlearned-{planned.name}-{called}{model}", __name__, inputs, task.seed, compute)

    def _asked(self, what: str, task: ModelTask, result: StageResult) -> StageResult:
        """Return one network's answers, asked where they are not there."""
        def logits(split: str, rows: np.ndarray | None) -> np.ndarray:
            return task.answering(result).logits(split, rows)

        return self._asked_by(what, [result.digest], logits)

    def _asked_by(self, what: str, digests: list[str],
                  logits: Callable[[str, np.ndarray | None], np.ndarray]) -> StageResult:
        """Return the answers about pool, retained samples and test split, as a stage."""
        design, data = self._planned.design, self._plan.dataset
        inputs = {"weights": digests, "data": data.digest, "pool": stable_hash(design.pool),
                  "shown": stable_hash(design.shown), "aggregate": self._plan.config.deletion.aggregate,
                  "source": own_file.source(self._plan.config.model.name)}

        def compute(context: StageContext) -> dict[str, Any]:
            context.save_arrays(pool=logits(TRAINING, design.pool), shown=logits(TRAINING, design.shown))
            return {"test_accuracy": accuracy(logits(TEST, None), data.y_test).to_json()}

        return self._plan.session.run.stage(f"asked-{self._planned.name}-{what}", __name__, inputs, 0, compute)


def _gathered(asked: Sequence[StageResult], costs: Sequence[float], seconds: Sequence[float]) -> Answers:
    return Answers(np.stack([result.arrays["pool"] for result in asked]),
                   np.stack([result.arrays["shown"] for result in asked]),
                   np.array([result.metrics["test_accuracy"]["value"] for result in asked]),
                   float(np.mean(costs)), float(np.mean(seconds)), tuple(result.digest for result in asked))
