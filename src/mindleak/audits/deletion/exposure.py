"""The samples that a membership attack exposes most: the worst case of a deletion request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mindleak.data.dataset import TRAINING
from mindleak.evaluation.signals import phi
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.subject import SubjectPlan


def most_exposed(plan: SubjectPlan, name: str, tasks: Sequence[ModelTask], rows: np.ndarray,
                 keep: np.ndarray) -> np.ndarray:
    """Return rows in the order of their exposure, the most exposed first, int64 (N,).

    Exposed is a sample whose φ is much higher under networks that were trained on it than under the others: the
    difference of the two means, which LiRA rests on (Carlini et al., arXiv 2206.10469, rank by it, too).

    Args:
        plan: of the networks.
        name: of the stage.
        tasks: their trainings.
        rows: that they are asked about, (N,).
        keep: who was trained on which, bool (models, N).

    Raises:
        InputError: an answer is not finite.
    """
    results = [task.run() for task in tasks]
    inputs = {"weights": [result.digest for result in results], "data": plan.dataset.digest,
              "rows": stable_hash([rows, keep]), "source": own_file.source(plan.config.model.name)}

    def compute(context: StageContext) -> dict[str, Any]:
        truth = plan.dataset.y_train[rows]
        signals = np.stack([phi(task.answering(result).logits(TRAINING, rows), truth)
                            for task, result in zip(tasks, results)])
        inside, outside = (np.where(who, signals, 0.0).sum(axis=0) / who.sum(axis=0) for who in (keep, ~keep))
        context.save_arrays(exposed=rows[np.argsort(outside - inside, kind="stable")], exposure=inside - outside)
        return {}

    found: np.ndarray = plan.session.run.stage(f"exposed-{name}", __name__, inputs, 0, compute).arrays["exposed"]
    return found
