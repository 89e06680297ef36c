"""The stage that fits a subject that is no network, or one of many beside it, and keeps what it answers.

No pickle is read or written, so the fitted model itself is gone with the stage: it answers about both whole splits
once, and whoever asks later looks its answers up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from mindleak.attacks.target import EstimatorTarget
from mindleak.data.dataset import TEST, TRAINING
from mindleak.errors import InputError
from mindleak.evaluation.classification import accuracy
from mindleak.models.estimators import KMEANS, fitted, learned
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import mirror
from mindleak.subjects.subject import EstimatorPlan

_MIRRORED = {False: "", True: "mirrored_"}


@dataclass(frozen=True, eq=False)
class KeptAnswers:
    """What a fitted model has answered about both splits.

    Attributes:
        digest: of the stage that has fitted it.
        arrays: of that stage.
    """

    digest: str
    arrays: Mapping[str, np.ndarray]

    def logits(self, split: str, rows: np.ndarray | None = None, mirrored: bool = False) -> np.ndarray:
        """Look the logarithms of its probabilities up."""
        answers = self.arrays[f"{_MIRRORED[mirrored]}{split}"]
        return answers if rows is None else answers[rows]


@dataclass(frozen=True)
class EstimatorTask:
    """One model that is no network, to be fitted as a stage: which subject, in which role, on which rows.

    Attributes:
        plan: of the subject.
        role: in which it is fitted.
        rows: of the training split; all by default.
        mirrored: it also answers about the images mirrored left to right.
    """

    plan: EstimatorPlan
    role: str
    rows: np.ndarray | None = None
    mirrored: bool = False

    @property
    def training(self) -> EstimatorTask:
        """Itself: what is fitted and asked has it, too."""
        return self

    @property
    def stage_name(self) -> str:
        """Name of the stage, as of a network in this role."""
        return f"train-{self.plan.name}-{self.role}"

    @property
    def seed(self) -> int:
        """Seed of everything random, as of a network in this role."""
        return self.plan.session.seed("train", self.plan.model_label, self.role)

    @property
    def labels(self) -> np.ndarray:
        """The labels that it is fitted to (N,)."""
        labels = self.plan.dataset.y_train
        return labels if self.rows is None else labels[self.rows]

    @property
    def size(self) -> int:
        """Number of samples that it is fitted to."""
        return len(self.labels)

    @property
    def epochs(self) -> int:
        """It is shown its samples once."""
        return 1

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the classes of which it has no image to be fitted to."""
        data = self.plan.dataset
        return tuple(data.class_names[label] for label in np.setdiff1d(np.arange(data.num_classes), self.labels))

    def beside(self, role: str, rows: np.ndarray, split: str, outside: np.ndarray) -> EstimatorTask:
        """Return one fitted like this one, in another role and to other rows; nothing watches a fit."""
        return replace(self, role=role, rows=rows)

    def made_by(self) -> dict[str, Any]:
        """Return the settings, by section of the configuration."""
        return {"estimator": self.plan.architecture(self.seed)}

    def check(self) -> None:
        """Raise InputError where a class has no image to be fitted to, or centroids are more than images."""
        classes = self.plan.dataset.num_classes
        if self.absent:
            raise InputError(f"'{self.plan.name}', {self.role}: the {self.size} images that it is fitted to have none "
                             f"of class {', '.join(self.absent)}; expected images of all {classes} classes, or it has "
                             "no answer for these: take more images")
        if self.plan.model_label == KMEANS and self.plan.config.estimator.centroids * classes > self.size:
            raise InputError(f"estimator.centroids is {self.plan.config.estimator.centroids}, which is "
                             f"{self.plan.config.estimator.centroids * classes} for {classes} classes, and '"
                             f"{self.plan.name}', {self.role}, is fitted to {self.size} images; expected at most "
                             f"{self.size // classes}")

    def refuse_foreign_checkpoint(self) -> None:
        """Do nothing: it has no checkpoint."""

    def run(self) -> StageResult:
        """Fit, or return what an earlier call has fitted."""
        return self.plan.session.run.stage(self.stage_name, __name__, self._inputs(), self.seed, self._compute)

    @property
    def is_done(self) -> bool:
        """True if the stage is in the run directory, whichever process has put it there."""
        return self.plan.session.run.is_done(self.stage_name, __name__, self._inputs(), self.seed)

    def answering(self, result: StageResult) -> KeptAnswers:
        """Return the answers that a finished stage has kept."""
        return KeptAnswers(result.digest, result.arrays)

    def fingerprint(self, result: StageResult) -> str:
        """Return a SHA-256 of the model as its stage has recorded it, with its answers about what it was fitted to and
        about the test split: these are what is left of it.

        Its answers about all other rows do not count, so that what these are has no say.
        """
        answers = self.answering(result)
        return stable_hash([result.metrics["digest"], answers.logits(TRAINING, self.rows), answers.logits(TEST)])

    def _inputs(self) -> dict[str, Any]:
        """Everything of the configuration and the data that the stage depends on."""
        data = self.plan.dataset.digest
        return {**self.made_by(), "data": data if self.rows is None else stable_hash([data, self.rows]),
                "mirrored": self.mirrored, "scikit-learn": sklearn.__version__}

    def _compute(self, context: StageContext) -> dict[str, Any]:
        """Fit, ask about everything, and measure; the stage's work."""
        data = self.plan.dataset
        images = data.x_train if self.rows is None else data.x_train[self.rows]
        # Threads of K-means add up in the order in which they finish, which changes the last digits.
        with threadpool_limits(1):
            model = fitted(self.plan.model_label, self.plan.config.estimator, images, self.labels, self.seed)
            answers = self._answers(model)
        context.save_arrays(**answers)
        seen = answers[TRAINING] if self.rows is None else answers[TRAINING][self.rows]
        return {"n_train": self.size, "train_accuracy": accuracy(seen.argmax(1), self.labels).to_json(),
                "test_accuracy": accuracy(answers[TEST].argmax(1), data.y_test).to_json(),
                "digest": stable_hash(learned(self.plan.model_label, model))}

    def _answers(self, model: Any) -> dict[str, np.ndarray]:
        """Return the logarithms of the probabilities, by split, of the images and where asked for of their mirrors."""
        data = self.plan.dataset
        target = EstimatorTarget(model, data.num_classes)
        return {f"{_MIRRORED[mirrored]}{split}": target.logits(mirror(asked) if mirrored else asked).astype(np.float32)
                for mirrored in ([False, True] if self.mirrored else [False])
                for split, asked in ((split, data.of_split(split)[0]) for split in (TRAINING, TEST))}
