"""Models that are trained and then asked: two stages, so that another question retrains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union

import numpy as np

from mindleak.data.dataset import TEST, TRAINING
from mindleak.evaluation.classification import accuracy
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.subject import SubjectPlan


@dataclass(frozen=True)
class AskedTask:
    """One of many models beside a subject, and what it is asked about once it is trained.

    Attributes:
        training: of the model.
        queries: rows that it is trained on and rows that it is not, in the order in which they are asked about.
        mirrored: it is also asked about the images mirrored left to right.
        out_of_test: the rows that it is not trained on are those of the test split.
    """

    training: ModelTask
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
        answers, sides = self.training.answering(trained), self.sides()
        logits = [answers.logits(split, rows) for split, _, rows in sides]
        context.save_arrays(logits=np.concatenate(logits))
        if self.mirrored:
            flipped = [answers.logits(split, rows, mirrored=True) for split, _, rows in sides]
            context.save_arrays("mirrored", mirrored=np.concatenate(flipped))
        seen, unseen = (accuracy(found, labels) for found, (_, labels, _) in zip(logits, sides))
        return {"train_accuracy": seen.to_json(), "test_accuracy": unseen.to_json()}

    def sides(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return, for the rows that it is trained on and for the others, their split, their labels and themselves."""
        data, (inside, outside) = self.plan.dataset, self.queries
        split = TEST if self.out_of_test else TRAINING
        return [(TRAINING, data.y_train[inside], inside), (split, data.of_split(split)[1][outside], outside)]


Task = Union[ModelTask, AskedTask]


def asked_aside(alike: ModelTask, role: str, inside: np.ndarray, outside: np.ndarray, mirrored: bool = False,
                out_of_test: bool = False) -> AskedTask:
    """Return a model made like another, on other rows, and asked about these and about rows outside them.

    Args:
        alike: one made by the same recipe, in any role.
        role: what it is called beside the subject.
        inside: rows that it is trained on.
        outside: rows that it is not; a part of them may watch its training.
        mirrored, out_of_test: as of ``AskedTask``.
    """
    training = alike.beside(role, inside, TEST if out_of_test else TRAINING, outside)
    return AskedTask(training, (inside, outside), mirrored, out_of_test)
