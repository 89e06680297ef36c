"""What the improved attack sees of subject and shadows: one stage per model, asked once and kept.

A shadow answers for its own samples and, where features are to be calibrated, for those of all other shadows and of the
subject. It is left out of the calibration of its own samples and of every sample that it was trained on; the subject's
samples lie outside all shadows, so all of these calibrate them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.attacks.inversion.layers import features_cell
from mindleak.attacks.membership.features import (
    ACTIVATIONS,
    CALIBRATED,
    HIDDEN,
    Observation,
    hidden_description,
    layer_description,
    out_calibration,
)
from mindleak.attacks.membership.improved import Observed
from mindleak.audits.membership.plan import MembershipPlan
from mindleak.data.dataset import TRAINING
from mindleak.models import own_file
from mindleak.models.base import LOGITS
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import Answering, NetworkAnswering
from mindleak.subjects.asked import AskedTask
from mindleak.subjects.asking import ask
from mindleak.subjects.task import TrainingTask, weights_of
from mindleak.training import checkpoint
from mindleak.training.compiled import Shelf
from mindleak.training.loop import Predictor

# Outputs of all time steps or of a convolution are large; only their description is kept.
AT_ONCE = 2000


class Observer:
    """Asks subject and shadows of one membership plan, and puts the answers together."""

    def __init__(self, planned: MembershipPlan) -> None:
        assert planned.improved is not None
        self._planned = planned
        self._improved = planned.improved
        self._calibrates = CALIBRATED in planned.improved.groups
        self._twin: _Asked | None = None
        self._targets, self._members = planned.targets()
        queries = [np.concatenate(task.queries) for task in planned.shadows]
        self._everything = np.unique(np.concatenate([self._targets, *queries]))

    def stages(self) -> list[StageResult]:
        """Return the stage of every model, shadows first, the subject last; computed where it is not there."""
        return [*(self._shadow_stage(task) for task in self._planned.shadows), self._subject_stage()]

    def observed(self, stages: list[StageResult]) -> tuple[list[Observed], Observed]:
        """Return the observations of all shadows and of the subject.

        Args:
            stages: as ``stages`` returns them.
        """
        *shadow_stages, subject_stage = stages
        logits = np.stack([stage.arrays["logits"] for stage in shadow_stages]) if self._calibrates else None
        shadows = []
        for number, (task, stage) in enumerate(zip(self._planned.shadows, shadow_stages)):
            rows_in, rows_out = task.queries
            members = np.repeat([True, False], [len(rows_in), len(rows_out)])
            rows = np.concatenate([rows_in, rows_out])
            shadows.append(Observed(self._observation(stage, rows, logits, number), members))
        return shadows, Observed(self._observation(subject_stage, self._targets, logits, None), self._members)

    def _observation(self, stage: StageResult, rows: np.ndarray, logits: np.ndarray | None,
                     number: int | None) -> Observation:
        """Return a model's observation on rows; ``logits`` are those of all shadows on all rows."""
        labels = self._planned.plan.dataset.y_train[rows]
        own, calibration = stage.arrays["logits"], None
        if logits is not None:
            columns = np.searchsorted(self._everything, rows)
            images = self._planned.plan.dataset.copies.train
            trained = np.stack([np.isin(images[rows], images[task.queries[0]]) for task in self._planned.shadows])
            calibration = out_calibration(logits[:, columns], labels, trained, number)
            own = own if number is None else own[columns]
        return Observation(own, labels, calibration, *(stage.arrays.get(name) for name in (HIDDEN, ACTIVATIONS)))

    def _shadow_stage(self, task: AskedTask) -> StageResult:
        training, rows = task.training, np.concatenate(task.queries)
        trained = training.run()

        def model() -> _Asked | Answering:
            if not isinstance(training, TrainingTask):
                return training.answering(trained)
            # A network of the user's own may hold more than its parameters, by the seed that it was made with.
            if not self._planned.plan.is_registered:
                return _Asked(training.network(trained))
            if self._twin is None:
                self._twin = _Asked(self._planned.plan.make_network(0))
            checkpoint.load_weights(self._twin.network, weights_of(trained))
            return self._twin

        return self._stage(task.role, trained.digest, model, self._everything if self._calibrates else rows, rows)

    def _subject_stage(self) -> StageResult:
        subject = self._planned.subject.answering
        return self._stage("subject", subject.digest,
                           lambda: _Asked(subject.network) if isinstance(subject, NetworkAnswering) else subject,
                           self._targets, self._targets)

    def _stage(self, role: str, weights: str, model: Callable[[], _Asked | Answering], asked: np.ndarray,
               own: np.ndarray) -> StageResult:
        """Ask one model: logits on ``asked``, layers on ``own`` rows."""
        plan, groups = self._planned.plan, self._improved.groups
        population = self._planned.split.indices["population"]
        penultimate = self._improved.penultimate if HIDDEN in groups else None
        further = list(self._improved.further) if ACTIVATIONS in groups else []
        layers = {HIDDEN: penultimate, ACTIVATIONS: further}
        inputs = {"source": own_file.source(plan.config.model.name), "weights": weights,
                  "data": plan.dataset.digest, "rows": [stable_hash(each) for each in (asked, own, population)],
                  "layers": layers}

        def compute(context: StageContext) -> dict[str, Any]:
            images, labels, answers = plan.dataset.x_train, plan.dataset.y_train, model()
            if not isinstance(answers, _Asked):
                context.save_arrays(logits=answers.logits(TRAINING, asked))
                return {"asked": len(asked), "own": len(own), "layers": layers}
            found = {"logits": ask(lambda wanted: answers(LOGITS, wanted), plan.dataset, TRAINING,
                                   f"{plan.name} {role}", asked)}
            if penultimate is not None:
                ours, theirs = (answers(penultimate, images[rows]) for rows in (own, population))
                found[HIDDEN] = hidden_description(ours, labels[own], theirs, labels[population])
            if further:
                parts = [answers.described(layer, images, own) for layer in further]
                found[ACTIVATIONS] = np.concatenate(parts, axis=1)
            context.save_arrays(**found)
            return {"asked": len(asked), "own": len(own), "layers": layers}

        return plan.session.run.stage(f"observed-{plan.name}-{role}", __name__, inputs, 0, compute)


class _Asked:
    """A network with one compiled forward pass per layer; new weights in it need no other."""

    def __init__(self, network: nn.Cell) -> None:
        self.network = network
        self._predictors: Shelf[Predictor] = Shelf()

    def __call__(self, layer: str, images: np.ndarray) -> np.ndarray:
        """Return a layer's outputs (N, …)."""
        cell = self.network if layer == LOGITS else features_cell(self.network, layer)
        return self._predictors.get(layer, lambda: Predictor(cell))(images)

    def described(self, layer: str, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the descriptions of a layer's outputs, (rows, features)."""
        return np.concatenate([layer_description(self(layer, images[rows[start:start + AT_ONCE]]))
                               for start in range(0, len(rows), AT_ONCE)])
