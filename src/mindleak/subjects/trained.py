"""A trained classifier and exactly what it was trained on, whether this run has trained it or somebody else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.data.dataset import TEST, TRAINING, Dataset
from mindleak.evaluation.answers import LOGITS
from mindleak.evaluation.classification import accuracy
from mindleak.evaluation.metric import join_reasons
from mindleak.models.base import count_parameters
from mindleak.runs.stages import StageResult
from mindleak.subjects.answering import Answering, ModelTask, NetworkAnswering
from mindleak.subjects.answers import split_misfit
from mindleak.subjects.asking import ask
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.subject import EstimatorPlan, GivenSubject, SubjectPlan
from mindleak.subjects.task import HEADLINE, TrainingTask, headline_task
from mindleak.training.loop import Predictor


class Trained(ABC):
    """A subject in one role: its network, and how many rows it was trained on."""

    @property
    @abstractmethod
    def identifier(self) -> str:
        """What results call it."""

    @property
    @abstractmethod
    def tasks(self) -> Sequence[ModelTask]:
        """The trainings that it takes."""

    @property
    @abstractmethod
    def network(self) -> nn.Cell:
        """The network, trained where that has not been done.

        Raises:
            NoNetworkError: it is none.
        """

    @property
    @abstractmethod
    def answering(self) -> Answering:
        """What answers about images, trained where that has not been done."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of samples that it was trained on."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Return the subject's entry in the record of a run."""


@dataclass(frozen=True, eq=False)
class TrainedHere(Trained):
    """A subject that this run trains."""

    task: TrainingTask

    @property
    def identifier(self) -> str:
        """Subject and role."""
        return f"{self.task.plan.name}-{self.task.role}"

    @property
    def tasks(self) -> list[TrainingTask]:
        """Its own training."""
        return [self.task]

    @property
    def network(self) -> nn.Cell:
        """The network, trained where that has not been done."""
        return self.task.network(self.task.run())

    @property
    def answering(self) -> NetworkAnswering:
        """The network, asked under the subject's name."""
        return _answering(self.network, self.task.plan)

    @property
    def size(self) -> int:
        """Number of samples that it is trained on."""
        return len(self.task.plan.dataset.y_train if self.task.rows is None else self.task.rows)

    def record(self) -> dict[str, Any]:
        """Return the subject's entry in the record of a run."""
        return trained_record(self.task, self.task.run())


@dataclass(frozen=True, eq=False)
class Given(Trained):
    """A subject that was trained elsewhere."""

    plan: GivenSubject

    @property
    def identifier(self) -> str:
        """The subject's name: it has one role only."""
        return self.plan.name

    @property
    def tasks(self) -> list[TrainingTask]:
        """Nothing: it is trained."""
        return []

    @property
    def network(self) -> nn.Cell:
        """The network as it was given."""
        return self.plan.given.network

    @property
    def answering(self) -> NetworkAnswering:
        """The network, asked under the subject's name."""
        return _answering(self.network, self.plan)

    @property
    def size(self) -> int:
        """Number of samples that it was trained on; all where nobody has said."""
        return len(self.plan.trained_on)

    def record(self) -> dict[str, Any]:
        """Measure it here, and return its entry in the record of a run."""
        plan, data, members = self.plan, self.plan.dataset, self.plan.members
        predict = Predictor(self.network)
        seen = None if members is None else accuracy(
            ask(predict, data, TRAINING, plan.name, members), data.y_train[members])
        unseen = accuracy(ask(predict, data, TEST, plan.name), data.y_test)
        differs = None if seen is None or plan.misfit else split_misfit(predict, data, seen, unseen)
        return {"id": plan.name, "name": plan.name, "model": plan.model_label, "training": "elsewhere",
                "role": "provided", "n_train": None if members is None else len(members),
                "test_accuracy": on_test_split(unseen.to_json(), data, members),
                "train_accuracy": None if seen is None else seen.to_json(), "sparsity": None, "privacy": None,
                "history": [], "parameters": count_parameters(self.network), "seconds": 0.0,
                "data_digest": data.digest, "image_shape": list(data.image_shape), **_unusual(plan),
                "checkpoint": plan.config.model.checkpoint, **({"split_misfit": differs} if differs else {})}


@dataclass(frozen=True, eq=False)
class Fitted(Trained):
    """A subject of this run that is no network."""

    task: EstimatorTask

    @property
    def identifier(self) -> str:
        """Subject and role."""
        return f"{self.task.plan.name}-{self.task.role}"

    @property
    def tasks(self) -> list[EstimatorTask]:
        """Its own fitting."""
        return [self.task]

    @property
    def network(self) -> nn.Cell:
        """Refused: there is none."""
        return self.task.plan.untrained

    @property
    def answering(self) -> Answering:
        """Its answers, fitted where that has not been done."""
        return self.task.answering(self.task.run())

    @property
    def size(self) -> int:
        """Number of samples that it is fitted to."""
        return self.task.size

    def record(self) -> dict[str, Any]:
        """Return the subject's entry in the record of a run."""
        task, result = self.task, self.task.run()
        plan, metrics = task.plan, result.metrics
        return {"id": self.identifier, "name": plan.name, "model": plan.model_label, "training": "fitted",
                "role": task.role, "n_train": metrics["n_train"],
                "test_accuracy": on_test_split(metrics["test_accuracy"], plan.dataset, task.rows),
                "train_accuracy": metrics["train_accuracy"], "sparsity": None, "privacy": None, "history": [],
                "parameters": None, "seconds": result.seconds, **task.made_by(), "data_digest": plan.dataset.digest,
                "image_shape": list(plan.dataset.image_shape), "checkpoint": None, **_unusual(plan)}


def headline(plan: SubjectPlan) -> Trained:
    """Return the subject as it was given, or as trained on the whole training split."""
    return in_role(plan, EstimatorTask(plan, HEADLINE) if isinstance(plan, EstimatorPlan) else headline_task(plan))


def in_role(plan: SubjectPlan, task: ModelTask) -> Trained:
    """Return the subject as it was given, or as trained by ``task``."""
    if isinstance(plan, GivenSubject):
        return Given(plan)
    if isinstance(task, EstimatorTask):
        return Fitted(task)
    assert isinstance(task, TrainingTask)
    return TrainedHere(task)


def _answering(network: nn.Cell, plan: SubjectPlan) -> NetworkAnswering:
    return NetworkAnswering(network, Predictor(network), plan.dataset, plan.name)


def trained_record(task: TrainingTask, result: StageResult) -> dict[str, Any]:
    """Return the entry in the record of a run of a subject that was trained here.

    Args:
        task: the training.
        result: what its stage found.
    """
    plan, metrics = task.plan, result.metrics
    return {"id": f"{plan.name}-{task.role}", "name": plan.name, "model": plan.model_label,
            "training": task.recipe.method, "role": task.role, "n_train": metrics["n_train"],
            "test_accuracy": on_test_split(metrics["test_accuracy"], plan.dataset, task.rows),
            "train_accuracy": metrics["train_accuracy"], "sparsity": metrics["sparsity"],
            "privacy": metrics["privacy"],
            "history": metrics["history"], "parameters": metrics["parameters"], "seconds": result.seconds,
            "recipe": task.recipe.as_dict(), **task.method_settings(), **_unusual(plan),
            **({"split_misfit": metrics["split_misfit"]} if metrics.get("split_misfit") else {}),
            "data_digest": plan.dataset.digest, "image_shape": list(plan.dataset.image_shape),
            "checkpoint": str(result.external["checkpoint"])}


def on_test_split(measured: dict[str, Any], data: Dataset, rows: np.ndarray | None) -> dict[str, Any]:
    """Return an accuracy on the test split, as a JSON value, saying how much of it a network has seen in training.

    Args:
        measured: the accuracy.
        data: what it was measured on.
        rows: training rows that the network was trained on, None for all.
    """
    seen = data.copies.test_among(rows)
    if not seen:
        return measured
    said = f"{seen:,} of {len(data.y_test):,} test images are copies of images that the network was trained on"
    return {**measured, "reason": join_reasons(measured.get("reason"), said)}


def _unusual(plan: SubjectPlan) -> dict[str, Any]:
    """Return what is unusual of a subject's answers; nothing where nothing is."""
    return {**({} if plan.answers == LOGITS else {"answers": plan.answers}),
            **({} if plan.misfit is None else {"misfit": plan.misfit})}
