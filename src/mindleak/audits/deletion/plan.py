"""What the audit of deletions needs, checked before any training: who learns what, and what is deleted from whom.

Of every class there are retained samples, which all networks learn from, and a pool, of which each network learns from
one half and never sees the other. Its half is what is deleted from it; the other half are the never-seen samples, of
the same classes and the same split. Every sample of the pool was thus deleted from half of the networks and never seen
by the others, so that each network can be attacked with the rest as references, by whatever method all of them were
deleted from: per-sample U-LiRA (Hayes et al., arXiv 2403.01218).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindleak.attacks.membership.siblings import FEWEST
from mindleak.audits.deletion.requests import FRACTION, parse_request
from mindleak.audits.deletion.sharded import ShardedModel
from mindleak.audits.family import NoVerdictError, Plan
from mindleak.data.dataset import TEST
from mindleak.data.samples import stratified
from mindleak.data.splits import halves, split_roles
from mindleak.errors import InputError, known_names
from mindleak.settings.deletion import METHODS
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.subject import EstimatorPlan, SubjectPlan
from mindleak.subjects.task import WATCHED, TrainingTask
from mindleak.training.methods import METHODS as METHODS_TO_TRAIN
from mindleak.training.unlearning.methods import METHODS as APPROXIMATE
from mindleak.training.unlearning.unlearning import Unlearning

BEFORE, FULL, NEVER, SHARDED = "before", "full", "never", "sharded"


@dataclass(frozen=True, eq=False)
class Design:
    """One request of the audit: who is trained on what.

    Attributes:
        fraction: of a network's training data that is deleted.
        retained: rows that every network is trained on, sorted (R,).
        pool: rows of which each network is trained on half, sorted (P,).
        keep: bool (models, P), who is trained on which.
        shown: some of the retained rows, as many as are deleted, to be asked about.
    """

    fraction: float
    retained: np.ndarray
    pool: np.ndarray
    keep: np.ndarray
    shown: np.ndarray

    def forgotten(self, model: int) -> np.ndarray:
        """Return the rows that are deleted from a network."""
        return self.pool[self.keep[model]]

    def members(self, model: int) -> np.ndarray:
        """Return the rows that a network is trained on before the deletion."""
        return np.sort(np.concatenate([self.retained, self.forgotten(model)]))


@dataclass(frozen=True, eq=False)
class DeletionPlan(Plan):
    """One request on one subject: its design, its trainings, and the ways to delete."""

    subject: None
    plan: SubjectPlan
    number: int
    design: Design
    methods: tuple[str, ...]
    margin: float

    @property
    def name(self) -> str:
        """What stages and results call it."""
        return f"{self.plan.name}-deletion{self.number}"

    @cached_property
    def trained(self) -> dict[str, list[ModelTask]]:
        """The trainings before the deletion, without the deleted samples, and of networks that never saw them."""
        design, count = self.design, range(len(self.design.keep))
        return {BEFORE: [self._task(BEFORE, model, design.members(model)) for model in count],
                FULL: [self._task(FULL, model, design.retained) for model in count],
                NEVER: [self._task(NEVER, model, design.retained) for model in count]}

    @property
    def tasks(self) -> list[ModelTask]:
        """All trainings of whole networks; shards and unlearning come after them."""
        return [task for tasks in self.trained.values() for task in tasks]

    @cached_property
    def sharded(self) -> list[ShardedModel]:
        """The sharded models, one per network, where they are asked for."""
        if SHARDED not in self.methods:
            return []
        return [ShardedModel(self.plan, self.design.members(model), f"deletion{self.number}-model{model}-shard",
                             tells=False)
                for model in range(len(self.design.keep))]

    def approximate(self) -> dict[str, Unlearning]:
        """The approximate methods that are asked for, at their defaults."""
        return {name: APPROXIMATE[name]() for name in self.methods if name in APPROXIMATE}

    def _task(self, kind: str, model: int, rows: np.ndarray) -> ModelTask:
        role = f"deletion{self.number}-{kind}{model}"
        if isinstance(self.plan, EstimatorPlan):
            return EstimatorTask(self.plan, role, rows)
        recipe = self.plan.recipe()
        data, seed = self.plan.dataset, self.plan.session.seed("deletion", "watched")
        watched = np.arange(len(data.y_test))
        if len(watched) > WATCHED:
            watched = np.sort(stratified(data.y_test, watched, WATCHED, seed))
        settings = METHODS_TO_TRAIN[recipe.method].resized(self.plan.settings(recipe), {}, len(rows), len(data.y_train))
        return TrainingTask(self.plan, role, recipe, settings, rows, watched=(TEST, watched), aside=True)


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
        raise InputError(f"deletion.methods has '{others[0]}', which is for networks; expected full and sharded for "
                         f"{plan.model_label}")
    if settings.models % 2:
        raise InputError(f"deletion.models is {settings.models}; expected an even number from {FEWEST} on, so that "
                         "every sample is deleted from half of the networks")
    found = [DeletionPlan(None, plan, number, _design(plan, _fraction(given), number), methods, settings.margin)
             for number, given in enumerate(_different(settings.requests))]
    for planned in found:
        _check(planned)
    return found


def _check(planned: DeletionPlan) -> None:
    """Raise InputError for trainings that cannot begin, and for a network whose training does not repeat itself."""
    planned.trained[FULL][0].check()
    for model, sharded in enumerate(planned.sharded):
        sharded.check(planned.design.forgotten(model))


def _different(requests: Sequence[object]) -> list[object]:
    """Refuse the same request twice."""
    for given in requests:
        if list(requests).count(given) > 1:
            raise InputError(f"deletion.requests has {given!r} twice; expected different ones")
    return list(requests)


def _fraction(given: object) -> float:
    """Return the fraction that a request of an audit asks for.

    Raises:
        InputError: it asks for something else.
    """
    request = parse_request(given)
    if request.kind != FRACTION:
        raise InputError(f"deletion.requests has '{request}'; an audit deletes fractions, drawn anew for every "
                         "network, such as 0.05 (the other requests are those of 'mindleak delete')")
    return float(request.value)


def _design(plan: SubjectPlan, fraction: float, number: int) -> Design:
    """Deal the training split out to the retained samples and the pool.

    Raises:
        InputError: more samples than there are, or too few to delete any of every class.
    """
    data, settings = plan.dataset, plan.config.deletion
    members = len(data.y_train) // 3 if settings.members is None else settings.members
    deleted = math.floor(fraction * members + 1e-9)
    if members + deleted > len(data.y_train):
        raise InputError(f"deletion.members is {members}; with {deleted} never-seen samples beside them that is more "
                         f"than the {len(data.y_train)} of the training split")
    if deleted < data.num_classes:
        raise InputError(f"deletion.requests has {fraction:g}, which of {members} samples (deletion.members) deletes "
                         f"{deleted}; expected at least one of each of {data.num_classes} classes")
    seed = plan.session.seed("deletion", number)
    split = split_roles(data, {"retained": members - deleted, "pool": 2 * deleted}, seed)
    pool, keep = halves(data.y_train, split.indices["pool"], settings.models, seed, split.images)
    retained = split.indices["retained"]
    shown = np.sort(stratified(data.y_train, retained, min(len(retained), int(keep[0].sum())), seed))
    return Design(fraction, retained, pool, keep, shown)
