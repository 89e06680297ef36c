"""What the audit of deletions needs, checked before any training: the networks, and the ways to delete from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mindleak.attacks.membership.siblings import FEWEST
from mindleak.audits.deletion.design import NONE, Dealer, Design
from mindleak.audits.deletion.exposure import most_exposed
from mindleak.audits.deletion.making import ModelMaker, model_maker
from mindleak.audits.deletion.requests import CLASS, EXPOSED, GROUP, Request, parse_request
from mindleak.audits.deletion.sharded import ShardedModel
from mindleak.audits.deletion.words import BEFORE, DROP_GROUP, FULL, NEVER, SHARDED
from mindleak.audits.family import NoVerdictError, Plan
from mindleak.errors import InputError, known_names
from mindleak.settings.deletion import METHODS
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.subject import EstimatorPlan, SubjectPlan
from mindleak.training.unlearning.methods import METHODS as APPROXIMATE

TRAINED = (BEFORE, FULL, NEVER, DROP_GROUP)


@dataclass(frozen=True, eq=False)
class DeletionPlan(Plan):
    """One request on one subject: its design, its trainings, and the ways to delete.

    Attributes:
        plan: of the subject.
        tag: what tells its stages from those of other requests.
        dealer: deals the training split out for it.
        models: how many networks.
        methods: how the samples are deleted.
        margin: of the equivalence test.
        reported: the plan that this one is the validation of; None for one that is reported.
    """

    subject: None
    plan: SubjectPlan
    tag: str
    dealer: Dealer
    models: int
    methods: tuple[str, ...]
    margin: float
    reported: DeletionPlan | None = None

    @property
    def name(self) -> str:
        """What stages and results call it."""
        return f"{self.plan.name}-{self.tag}"

    @property
    def request(self) -> Request:
        """What is deleted."""
        return self.dealer.request

    @cached_property
    def design(self) -> Design:
        """Who is trained on what; to find the most exposed samples, networks are trained first."""
        if self.reported is not None:
            return self.dealer.validation(self.models, self.reported.design, self.reported.exposed)
        return self.dealer.design(self.models, self.exposed)

    @cached_property
    def exposed(self) -> np.ndarray:
        """The rows that a request for the most exposed chooses from, the most exposed first; none for another."""
        return most_exposed(self.plan, self.name, self.scouts, *self._scouted) if self.scouts else NONE

    @cached_property
    def scouts(self) -> list[ModelTask]:
        """The trainings that show which samples are exposed, where a request asks for these."""
        if self.request.kind != EXPOSED or self.reported is not None:
            return []
        rows, keep = self._scouted
        return [self._task("scout", model, rows[kept]) for model, kept in enumerate(keep)]

    @cached_property
    def _scouted(self) -> tuple[np.ndarray, np.ndarray]:
        return self.dealer.scouts(self.models)

    @cached_property
    def trained(self) -> dict[str, list[ModelTask]]:
        """The trainings before the deletion, without the deleted samples, and of networks that never saw them."""
        return self._trained(self.design)

    def _trained(self, design: Design) -> dict[str, list[ModelTask]]:
        rows = {BEFORE: design.members, FULL: lambda _: design.retained, NEVER: lambda _: design.retained,
                DROP_GROUP: lambda model: self._without_group(design, model)}
        kinds = [BEFORE, FULL] if self.reported is not None else [BEFORE, FULL, NEVER]
        return {kind: [self._task(kind, model, rows[kind](model)) for model in range(self.models)]
                for kind in (*kinds, *(name for name in self.methods if name == DROP_GROUP))}

    @property
    def tasks(self) -> list[ModelTask]:
        """All trainings of whole networks that are known by now; shards and unlearning come after them."""
        if self.scouts:
            return self.scouts
        own = [task for tasks in self.trained.values() for task in tasks]
        return own if self.validation is None else [*own, *self.validation.tasks]

    @cached_property
    def sharded(self) -> list[ShardedModel]:
        """The sharded models, one per network, where they are asked for."""
        return self._sharded(self.design)

    def _sharded(self, design: Design) -> list[ShardedModel]:
        if SHARDED not in self.methods:
            return []
        return [ShardedModel(self.plan, design.members(model), f"{self.tag}-model{model}-shard", tells=False)
                for model in range(self.models)]

    @property
    def approximate(self) -> list[str]:
        """The approximate methods that are asked for."""
        return [name for name in self.methods if name in APPROXIMATE]

    @cached_property
    def validation(self) -> DeletionPlan | None:
        """Another request of the kind, on which the approximate methods' hyper-parameters are chosen; None for none."""
        models = self.plan.config.deletion.validation_models
        if self.reported is not None or not models or not self.approximate:
            return None
        return replace(self, tag=f"{self.tag}-validation", models=models, methods=tuple(self.approximate),
                       reported=self)

    def check(self) -> None:
        """Raise InputError for a request that cannot be met, trainings that cannot begin or do not repeat themselves.

        What the most exposed samples are is not known yet; as many at random stand for them.
        """
        self.dealer.check()
        if self.request.kind == CLASS and isinstance(self.plan, EstimatorPlan):
            raise InputError(f"deletion.requests has '{self.request}'; {self.plan.model_label} has no answer for a "
                             "class that it was not fitted to, so it cannot lose a whole one; expected another request")
        design = self.dealer.design(self.models)
        for tasks in self._trained(design).values():
            tasks[0].check()
        for model, sharded in enumerate(self._sharded(design)):
            sharded.check(design.forgotten(model))
        if self.validation is not None:
            self.dealer.validation(self.validation.models, design)

    def _without_group(self, design: Design, model: int) -> np.ndarray:
        """Return a network's rows without one group of neighbours, drawn at random, as the tutorial "deletes".

        There are as many groups as there would be of the size of the deletion. Only where the request is itself a group
        are these the samples that were to be deleted.
        """
        if self.request.kind == GROUP:
            return design.retained
        members, size = design.members(model), len(design.forgotten(model))
        drawn = np.random.default_rng(self.plan.session.seed("deletion", self.tag, "group", model))
        start = size * int(drawn.integers(len(members) // size))
        return np.delete(members, slice(start, start + size))

    def _task(self, kind: str, model: int, rows: np.ndarray) -> ModelTask:
        return self._maker.task(f"{self.tag}-{kind}{model}", rows)

    @cached_property
    def _maker(self) -> ModelMaker:
        return model_maker(self.plan)


def plan_deletions(plan: SubjectPlan) -> list[DeletionPlan]:
    """Return a plan per request of ``deletion.requests``.

    Raises:
        NoVerdictError: a subject that was trained elsewhere.
        InputError: requests, methods or numbers that cannot work.
    """
    settings = plan.config.deletion
    if plan.is_trained:
        raise NoVerdictError(f"'{plan.name}' was trained elsewhere; an audit of deletions trains its own networks, "
                             "with the samples and without")
    methods = known_names(settings.methods, METHODS, "deletion.methods")
    others = [name for name in methods if name in APPROXIMATE]
    if isinstance(plan, EstimatorPlan) and others:
        raise InputError(f"deletion.methods has '{others[0]}', which is for networks; expected full, drop_group or "
                         f"sharded for {plan.model_label}")
    for key, models in (("models", settings.models), ("validation_models", settings.validation_models)):
        if models % 2:
            raise InputError(f"deletion.{key} is {models}; expected an even number"
                             + (f" from {FEWEST} on" if key == "models" else "")
                             + ", so that every sample is deleted from half of the networks")
    members = len(plan.dataset.y_train) // 3 if settings.members is None else settings.members
    found = [DeletionPlan(None, plan, f"deletion{number}",
                          Dealer(plan.dataset, request, members, plan.session.seed("deletion", number)),
                          settings.models, methods, settings.margin)
             for number, request in enumerate(_different(settings.requests))]
    for planned in found:
        planned.check()
    return found


def _different(requests: Sequence[object]) -> list[Request]:
    """Return what is asked for, refusing the same twice."""
    parsed = [parse_request(given) for given in requests]
    for request in parsed:
        if parsed.count(request) > 1:
            raise InputError(f"deletion.requests has '{request}' twice; expected different ones")
    return parsed
