"""Hyper-parameters of approximate methods, chosen on a validation request and never on the one that is reported.

A candidate is good where it leaves networks as a full retraining would: by accuracy on the deleted samples, the
retained ones and the test split, and by what the loss tells of the deleted samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.figures import ACCURACY, FORGOTTEN, RETAINED, measured_alone
from mindleak.audits.deletion.plan import DeletionPlan
from mindleak.audits.deletion.stages import DeletionStages
from mindleak.audits.deletion.words import BEFORE, FULL, LOSS
from mindleak.errors import NotFiniteError
from mindleak.subjects.task import TrainingTask
from mindleak.training.unlearning.methods import METHODS
from mindleak.training.unlearning.unlearning import Unlearning

COMPARED = (FORGOTTEN, RETAINED, ACCURACY, LOSS)


@dataclass(frozen=True)
class Choice:
    """A method with the hyper-parameters that it is reported with.

    Attributes:
        method: it.
        tried: what was tried, as JSON values: ``settings``, and ``score``, None where it failed; empty where it was
            taken as it comes.
    """

    method: Unlearning
    tried: tuple[dict[str, Any], ...] = ()


class Selection:
    """Chooses among the candidates of a method.

    Args:
        planned: the reported request, whose validation request decides; without one the defaults are taken.
    """

    def __init__(self, planned: DeletionPlan) -> None:
        self._planned = planned.validation
        self._stages = None if self._planned is None else DeletionStages(self._planned)
        self._full: dict[str, list[float]] | None = None
        self._failure = ""

    def chosen(self, name: str) -> Choice:
        """Return a method with the candidate that scores best; of equal ones the first.

        The score is that of Zhao et al., arXiv 2406.01257 ("tug of war"), with the loss's area as one more factor:
        the product of 1 - |difference from a full retraining|, mean over the networks.

        Raises:
            NotFiniteError: every candidate broke a network; the message says how the last did.
        """
        if self._planned is None or self._stages is None:
            return Choice(METHODS[name]())
        task = self._planned.trained[BEFORE][0]
        assert isinstance(task, TrainingTask)
        candidates = METHODS[name].candidates(task.recipe)
        scores = [self._score(method, f"{name}-{number}-") for number, method in enumerate(candidates)]
        known = [-1.0 if score is None else score for score in scores]
        if max(known) < 0:
            raise NotFiniteError(f"deletion.methods: all {len(candidates)} candidates of {name} failed, the last for: "
                             f"{self._failure}")
        tried = tuple({"settings": method.settings(), "score": score} for method, score in zip(candidates, scores))
        return Choice(candidates[int(np.argmax(known))], tried)

    def _score(self, method: Unlearning, called: str) -> float | None:
        """Return how near a candidate comes to a full retraining, 1 being equal; None where it fails on a network."""
        assert self._stages is not None
        try:
            values = self._values(self._stages.unlearned_answers(method, called))
        except NotFiniteError as error:
            self._failure = str(error)
            return None
        if self._full is None:
            self._full = self._values(self._stages.answers(FULL))
        factors = [1 - np.abs(np.subtract(values[name], self._full[name])) for name in COMPARED]
        return float(np.prod(factors, axis=0).mean())

    def _values(self, answers: Answers) -> dict[str, list[float]]:
        assert self._planned is not None
        return measured_alone(answers, self._planned.design, self._planned.plan.dataset.y_train)
