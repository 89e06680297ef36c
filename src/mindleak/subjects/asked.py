"""Networks that are trained and then asked: two stages, so that another question retrains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Union

import numpy as np

from mindleak.data.dataset import TEST, TRAINING
from mindleak.data.samples import stratified
from mindleak.evaluation.classification import accuracy
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.asking import ask
from mindleak.subjects.subject import SubjectPlan
from mindleak.subjects.task import TrainingTask, weights_of
from mindleak.training import checkpoint
from mindleak.training.loop import Predictor

# Of more samples outside a model's training set, so many watch its training.
WATCHED = 1000


@dataclass(frozen=True)
class AskedTask:
    """One of many networks beside a subject, and what it is asked about once it is trained.

    Attributes:
        training: of the network.
        queries: rows that it is trained on and rows that it is not, in the order in which they are asked about.
        mirrored: it is also asked about the images mirrored left to right.
        out_of_test: the rows that it is not trained on are those of the test split.
    """

    training: TrainingTask
    queries: tuple[np.ndarray, np.ndarray]
    mirrored: bool = False
    out_of_test: bool = False

    @property
    def plan(self) -> SubjectPlan:
        """The subject's that it stands beside."""
        return self.training.plan

    @property
    def role(self) -> str:
        """What it is called beside the subject."""
        return self.training.role

    @property
    def stage_name(self) -> str:
        """Name of the stage in which it is asked."""
        return f"asked-{self.plan.name}-{self.role}"

    def check(self) -> None:
        """Raise InputError for what can be known to fail before any work is done."""
        self.training.check()

    def refuse_foreign_checkpoint(self) -> None:
        """Do nothing: its checkpoints lie in its stage, where no other run's are."""

    def run(self) -> StageResult:
        """Train and ask, or return what it has answered before."""
        trained = self._trained
        return self.plan.session.run.stage(self.stage_name, __name__, self._inputs(trained), 0,
                                           lambda context: self._compute(context, trained))

    @property
    def is_done(self) -> bool:
        """True if its answers are in the run directory, whichever process has put them there."""
        if not self.training.is_done:
            return False
        return self.plan.session.run.is_done(self.stage_name, __name__, self._inputs(self._trained), 0)

    @cached_property
    def _trained(self) -> StageResult:
        return self.training.run()

    def _inputs(self, trained: StageResult) -> dict[str, Any]:
        return {"weights": trained.digest, "data": self.plan.dataset.digest,
                "queries": [stable_hash(side) for side in self.queries], "mirrored": self.mirrored,
                "out_of_test": self.out_of_test}

    def _compute(self, context: StageContext, trained: StageResult) -> dict[str, Any]:
        """Ask; the stage's work."""
        predict, sides = predictor_of(self.training, trained), self.sides()
        logits = [self._ask(predict, split, rows) for split, _, rows in sides]
        context.save_arrays(logits=np.concatenate(logits))
        if self.mirrored:
            flipped = [self._ask(predict, split, rows, mirror) for split, _, rows in sides]
            context.save_arrays("mirrored", mirrored=np.concatenate(flipped))
        seen, unseen = (accuracy(answers, labels) for answers, (_, labels, _) in zip(logits, sides))
        return {"train_accuracy": seen.to_json(), "test_accuracy": unseen.to_json()}

    def sides(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return, for the rows that it is trained on and for the others, their split, their labels and themselves."""
        data, (inside, outside) = self.plan.dataset, self.queries
        split = TEST if self.out_of_test else TRAINING
        return [(TRAINING, data.y_train[inside], inside), (split, data.of_split(split)[1][outside], outside)]

    def _ask(self, predict: Predictor, split: str, rows: np.ndarray,
             change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        return ask(predict, self.plan.dataset, split, f"{self.plan.name} {self.role}", rows, change)


Task = Union[TrainingTask, AskedTask]


def predictor_of(training: TrainingTask, trained: StageResult) -> Predictor:
    """Return what asks the network of a finished stage; those of the project's own take turns in one compiled pass.

    Others may hold more than their parameters, which follows from the seed that they were made with.

    Args:
        training: of the network, or one of another network that is made alike.
        trained: the stage that has its weights.
    """
    plan = training.plan
    if not plan.is_registered:
        return Predictor(training.network(trained))

    def make() -> tuple[Any, Predictor]:
        network = plan.make_network(0)
        return network, Predictor(network)

    network, predict = plan.session.asked.get(training.graphs(), make)
    checkpoint.load_weights(network, weights_of(trained))
    return predict


def asked_aside(alike: TrainingTask, role: str, inside: np.ndarray, outside: np.ndarray, mirrored: bool = False,
                out_of_test: bool = False) -> AskedTask:
    """Return a network trained like another, on other rows, and asked about these and about rows outside them.

    Args:
        alike: a training by the same recipe, in any role.
        role: what it is called beside the subject.
        inside: rows that it is trained on.
        outside: rows that it is not; a part of them watches its training.
        mirrored, out_of_test: as of ``AskedTask``.
    """
    training = replace(alike, role=role, rows=inside, aside=True)
    split = TEST if out_of_test else TRAINING
    labels = training.plan.dataset.of_split(split)[1]
    watched = outside if len(outside) <= WATCHED else np.sort(stratified(labels, outside, WATCHED, training.seed))
    return AskedTask(replace(training, watched=(split, watched)), (inside, outside), mirrored, out_of_test)


def mirror(images: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) mirrored left to right."""
    return np.ascontiguousarray(images[..., ::-1])
