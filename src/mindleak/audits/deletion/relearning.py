"""Relearning time of every network after a deletion: of the samples that were deleted, and of those it never saw.

Both are learnt by one network, as many of the same classes, until they are as well known as to the other networks that
were trained on them, before anything was deleted. The same network is its own control: whatever else a method does to
it, being harder or easier to train, it does for both. A network that never saw either needs as long for one as for the
other, since nothing else tells the two apart: each was dealt to it or not by chance, and each has its goal from the
networks that it was dealt to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mindleak.audits.deletion.plan import DeletionPlan
from mindleak.audits.deletion.words import BEFORE
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.signals import loss
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.task import TrainingTask, weights_of
from mindleak.training import checkpoint
from mindleak.training.unlearning.relearning import GROWTH, Relearning

PASSES = 20


class RelearningStages:
    """Relearning as stages, one per network and method.

    Args:
        planned: the request; of networks, not of what is fitted in one pass.
        before: logits on the pool of the networks before the deletion, (models, P, classes).
    """

    def __init__(self, planned: DeletionPlan, before: np.ndarray) -> None:
        self._planned = planned
        self._relearning = Relearning(PASSES)
        self._network = planned.plan.make_network(0) if planned.plan.is_registered else None
        truth = planned.plan.dataset.y_train[planned.design.pool]
        self._bounds = known_losses(np.stack([loss(logits, truth) for logits in before]), planned.design.keep)

    def record(self, called: str, results: Sequence[StageResult]) -> dict[str, Any]:
        """Return how long the networks of one method relearn, as JSON values.

        Args:
            called: what the method's stages are called.
            results: the stages that hold its networks' weights.

        Returns:
            ``steps`` and ``control``: means over the networks, for deleted and never-seen samples; ``faster``: mean of
            the binary logarithm of the ratio, with its interval, above 0 where the deleted ones come back sooner;
            ``unreached``: how many of both were not known again after ``passes`` passes, and count as that many steps.
        """
        found = [self._relearnt(called, model, result).metrics for model, result in enumerate(results)]
        steps, control = (np.array([each[name]["steps"] for each in found], np.float64)
                          for name in ("deleted", "never_seen"))
        # One more, so that what is known at once has a logarithm, too.
        faster = np.log2((control + 1) / (steps + 1))
        return {"steps": {**mean_metric(steps, bounds=(0.0, np.inf)).to_json(), "values": steps.tolist()},
                "control": {**mean_metric(control, bounds=(0.0, np.inf)).to_json(), "values": control.tolist()},
                "faster": mean_metric(_spread(faster), null=0.0).to_json(), "passes": PASSES,
                "unreached": sum(not each[name]["reached"] for each in found for name in ("deleted", "never_seen"))}

    def _relearnt(self, called: str, model: int, result: StageResult) -> StageResult:
        planned, plan = self._planned, self._planned.plan
        task, design = planned.trained[BEFORE][model], planned.design
        assert isinstance(task, TrainingTask)
        groups = {"deleted": design.forgotten(model), "never_seen": design.pool[~design.keep[model]]}
        bounds = dict(zip(groups, self._bounds[model]))
        inputs = {"weights": result.digest, "data": plan.dataset.digest, "passes": PASSES,
                  "rows": stable_hash(list(groups.values())), "bounds": bounds,
                  "recipe": task.recipe.as_dict(), "architecture": plan.architecture(task.seed),
                  "source": own_file.source(plan.config.model.name)}

        def compute(context: StageContext) -> dict[str, Any]:
            network = task.network(result) if self._network is None else self._network
            found = {}
            for name, rows in groups.items():
                checkpoint.load_weights(network, weights_of(result))
                relearnt = self._relearning.of(network, plan.dataset.x_train, plan.dataset.y_train, rows, task.recipe,
                                               task.seed, bounds[name])
                found[name] = {"steps": relearnt.steps, "reached": relearnt.reached, "losses": list(relearnt.losses)}
            return found

        return plan.session.run.stage(f"relearnt-{planned.name}-{called}{model}", __name__, inputs, task.seed, compute)


def _spread(faster: np.ndarray) -> np.ndarray:
    """Return the values as uncertain as they are: steps are looked at in growing strides, which may make all alike."""
    if np.ptp(faster) > 0 or not len(faster):
        return faster
    return faster + np.log2(GROWTH) / 2 * np.where(np.arange(len(faster)) % 2, 1.0, -1.0)


def known_losses(losses: np.ndarray, keep: np.ndarray) -> list[tuple[float, float]]:
    """Return, for every network, how well the others that were trained on them know its deleted and never-seen samples.

    Args:
        losses: of all networks before the deletion, (models, samples).
        keep: who was trained on which, bool (models, samples), every sample by half of them.

    Returns:
        Mean losses of the samples that a network was trained on, and of those it was not: each sample's is the mean
        over the networks that were, itself left out.

    Example:
        >>> keep = np.array([[True, False], [True, False], [False, True], [False, True]])
        >>> known_losses(np.array([[0.5, 9.0], [0.1, 9.0], [9.0, 0.2], [9.0, 0.4]]), keep)[0]
        (0.1, 0.30000000000000004)
    """
    found = []
    for model, own in enumerate(keep):
        trained = keep.copy()
        trained[model] = False
        known = np.where(trained, losses, 0.0).sum(axis=0) / trained.sum(axis=0)
        found.append((float(known[own].mean()), float(known[~own].mean())))
    return found
