"""The results of a deletion audit, as plain values for the record."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.figures import NetworkValues, gaps, summarised
from mindleak.audits.deletion.measuring import measured_stage
from mindleak.audits.deletion.plan import DeletionPlan
from mindleak.audits.deletion.relearning import RelearningStages
from mindleak.audits.deletion.selection import Selection
from mindleak.audits.deletion.stages import DeletionStages
from mindleak.audits.deletion.words import BEFORE, FULL, NEVER, SHARDED, SHARDED_BEFORE
from mindleak.errors import NotFiniteError
from mindleak.subjects.subject import EstimatorPlan
from mindleak.training.unlearning.unlearning import Unlearning


def deletion_result(planned: DeletionPlan) -> dict[str, Any]:
    """Return what one request has shown, by every method, beside the networks before it and those that never saw."""
    design, methods = planned.design, _Methods(planned)
    entries = methods.entries()
    return {"subject": planned.plan.name, "request": str(planned.request), "models": planned.models,
            "members": len(design.retained) + int(design.keep[0].sum()), "forgotten": int(design.keep[0].sum()),
            "never_seen": int((~design.keep[0]).sum()), "shown": len(design.shown), "margin": planned.margin,
            "sharding": {key: planned.plan.config.deletion[key] for key in ("shards", "slices", "aggregate")},
            "validation_models": 0 if planned.validation is None else planned.validation.models,
            "methods": entries, "failed": methods.failed}


class _Methods:
    """Measures every method of one request.

    Attributes:
        failed: approximate methods that broke a network, and why.
    """

    def __init__(self, planned: DeletionPlan) -> None:
        self._planned = planned
        self._stages = DeletionStages(planned)
        self._selection = Selection(planned)
        self._before = self._stages.answers(BEFORE)
        self.failed: list[dict[str, str]] = []
        self._relearning = (None if isinstance(planned.plan, EstimatorPlan)
                            else RelearningStages(planned, self._before.pool))

    def entries(self) -> list[dict[str, Any]]:
        """Return an entry per method, the networks before the deletion and those that never saw the samples beside.

        An approximate method that breaks a network has no entry; what the others found is not lost for it.
        """
        found = []
        asked = (BEFORE, FULL, NEVER, *(each for method in self._planned.methods if method != FULL
                                        for each in ((SHARDED_BEFORE, SHARDED) if method == SHARDED else (method,))))
        for name in asked:
            try:
                found.append(self._entry(name))
            except NotFiniteError as error:
                self.failed.append({"method": name, "why": str(error)})
        return found

    def _entry(self, name: str) -> dict[str, Any]:
        choice = self._selection.chosen(name) if name in self._planned.approximate else None
        method = None if choice is None else choice.method
        answers = self._stages.answers(name) if method is None else self._stages.unlearned_answers(method, name)
        found = measured_stage(self._planned, name, answers, self._earlier(name))
        compared = {} if name == FULL else gaps(found.values, self._retrained, self._planned.margin)
        entry = {"method": name, "measures": summarised(found.values), "arrays": found.arrays, "gaps": compared,
                 "sample_epochs": answers.sample_epochs, "seconds": answers.seconds,
                 "relearning": self._relearnt(name, method)}
        return entry if choice is None else {
            **entry, "settings": choice.method.settings(), "traps": choice.method.traps, "tried": list(choice.tried)}

    @cached_property
    def _retrained(self) -> NetworkValues:
        """What a full retraining leaves, which all others are held against."""
        return measured_stage(self._planned, FULL, self._stages.answers(FULL), self._before).values

    def _earlier(self, name: str) -> Answers | None:
        """Return the answers before the deletion, of the same networks; of those before it themselves none."""
        if name in (BEFORE, SHARDED_BEFORE):
            return None
        return self._stages.answers(SHARDED_BEFORE) if name == SHARDED else self._before

    def _relearnt(self, name: str, method: Unlearning | None) -> dict[str, Any] | None:
        """Return how long the networks relearn; None for what is known still, fitted in one pass, or many networks."""
        if self._relearning is None or name in (BEFORE, SHARDED_BEFORE, SHARDED):
            return None
        results = ([task.run() for task in self._planned.trained[name]] if method is None
                   else self._stages.unlearned(method, name))
        return self._relearning.record(name, results)
