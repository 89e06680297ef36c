"""What networks beside a subject have answered, as attacks learn from it."""

from __future__ import annotations

import numpy as np

from mindleak.attacks.membership.shadow import Answers
from mindleak.runs.stages import StageResult
from mindleak.subjects.asked import AskedTask


def answers_of(task: AskedTask, result: StageResult) -> Answers:
    """Return a network's logits on samples that it was trained on and on others.

    Args:
        task: the network and what it was asked about.
        result: of its stage.
    """
    labels = np.concatenate([labels for _, labels, _ in task.sides()])
    members = np.repeat([True, False], [len(side) for side in task.queries])
    return Answers(result.arrays["logits"], labels, members)
