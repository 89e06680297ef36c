"""The membership stage: roles, subject, shadows, and the attack on a membership subject."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.attacks.membership import report
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.names import SHADOW_ATTACKS, checked_attacks
from mindleak.attacks.membership.shadow import Answers, ShadowAttack, ShadowAttackResult, require_enough
from mindleak.data.splits import (
    Split,
    copies_outside,
    free_rows,
    shadow_splits,
    split_around_members,
    split_roles,
)
from mindleak.errors import InputError
from mindleak.evaluation.classification import accuracy
from mindleak.evaluation.metric import Metric
from mindleak.jobs.document_attack import DocumentPlan, plan_document
from mindleak.jobs.finite import TRAINING, ask
from mindleak.jobs.improved import ImprovedPlan, plan_improved
from mindleak.jobs.key_names import MEMBERSHIP
from mindleak.jobs.own_model import network_digest
from mindleak.jobs.references import ReferencePlan, plan_references
from mindleak.jobs.subjects import SubjectPlan
from mindleak.jobs.training_task import TrainingTask, training_code
from mindleak.models import own_file
from mindleak.runs.digest import file_digest, stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.training.loop import Predictor
from mindleak.training.methods import METHODS

ROLES = ("target_in", "target_out", "population", "shadow_pool")


def code_digest(plan: SubjectPlan, *jobs: str) -> list[str | None]:
    """Return what stands for the code that a stage's key would not see: the jobs', and a user's model file's.

    ``jobs`` are the files of the stage's own job.
    """
    return [*map(_job_code, jobs), *training_code(), own_file.source(plan.config.model.name)]


@functools.cache
def _job_code(job: str) -> str:
    """Return the digest of a job's file, taken once per process."""
    return file_digest(Path(__file__).parent / job)


class ImpossibleSplitError(InputError):
    """The data leave no honest split into roles: a subject trained on nearly everything has no non-members left."""


@dataclass(frozen=True)
class MembershipPlan:
    """Roles, subject, shadows and references of membership attacks. ``subject`` is None where trained elsewhere.

    ``shadows`` is empty, ``references`` and ``document`` None where no attack was asked for that needs them.
    """

    plan: SubjectPlan
    split: Split
    subject: TrainingTask | None
    shadows: list[TrainingTask]
    attack: ShadowAttack
    references: ReferencePlan | None = None
    improved: ImprovedPlan | None = None
    document: DocumentPlan | None = None
    attacks: tuple[str, ...] = ()

    def tasks(self) -> list[TrainingTask]:
        """Return everything that is to be trained."""
        references = [] if self.references is None else self.references.tasks
        document = [] if self.document is None else self.document.tasks
        return ([] if self.subject is None else [self.subject]) + self.shadows + references + document

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that the subject is attacked on and which of them it was trained on, (N,) each.

        Of an image with copies that is one row: the network answers all of them alike.
        """
        sides = [self.split.distinct(role) for role in ("target_in", "target_out")]
        return np.concatenate(sides), np.repeat([True, False], [len(side) for side in sides])

    @property
    def subject_size(self) -> int:
        """Number of samples that the subject is trained on."""
        return len(self.split.indices["target_in"] if self.subject is not None else _members(self.plan))


def plan_membership(plan: SubjectPlan) -> MembershipPlan:
    """Split the training data into roles and plan subject and shadows, all by one recipe and size.

    Shadows of a subject that was trained elsewhere follow the ``training`` section, which must therefore be the
    recipe that the subject itself was trained by.

    Raises:
        InputError: no members known, more samples asked for than there are, too few for an attack, or a recipe
            that cannot work.
    """
    settings = plan.config.membership
    attacks = checked_attacks(settings.attacks, "membership.attacks")
    wants_shadows = any(name in SHADOW_ATTACKS for name in attacks)
    improved = plan_improved(settings, plan.untrained if plan.provided is None else plan.provided.network, attacks)
    sizes = role_sizes(plan)
    if sizes["target_in"] != sizes["target_out"]:
        raise InputError(f"membership.target_in is {sizes['target_in']} and target_out {sizes['target_out']}; expected "
                         "one number for both, or guessing the larger side would look like an attack")
    attack = ShadowAttack(plan.dataset.num_classes, AttackTraining(**settings.attack), plan.session.seed("membership"))
    size_in = sizes["target_in"] if plan.provided is None else len(_members(plan))
    split, pairs = _roles(plan, sizes, size_in, settings.shadows if wants_shadows else None)
    size_in = len(split.indices["target_in"]) if plan.provided is None else size_in
    labels = plan.dataset.y_train
    if wants_shadows:
        require_enough([(labels[rows_in], labels[rows_out]) for rows_in, rows_out in pairs], plan.dataset.num_classes)
    recipe = plan.recipe(settings.training)
    method = METHODS[recipe.method]
    given = {} if method.section is None else settings[method.section]
    method_settings = method.resized(plan.settings(recipe, given), given, size_in, len(labels))
    alike = TrainingTask(plan, MEMBERSHIP, recipe, method_settings, split.indices["target_in"], section=MEMBERSHIP)
    shadows = [replace(alike, role=f"shadow{number}", rows=rows_in, queries=(rows_in, rows_out), keeps_weights=True)
               for number, (rows_in, rows_out) in enumerate(pairs)]
    subject = alike if plan.provided is None else None
    members = split.indices["target_in"] if plan.provided is None else _members(plan)
    references = plan_references(plan, split, alike, members, attacks)
    document = plan_document(plan, split, alike, members, attacks)
    return MembershipPlan(plan, split, subject, shadows, attack, references, improved, document, attacks)


def _members(plan: SubjectPlan) -> np.ndarray:
    """Return the rows that a subject from elsewhere was trained on."""
    assert plan.provided is not None
    if plan.provided.members is None:
        raise InputError(f"membership inference on '{plan.name}' needs to know what it was trained on: "
                         "give the row numbers as --members indices.npy")
    return plan.provided.members


def warn_of_copies(plan: SubjectPlan) -> None:
    """Say how many rows outside the members of a subject from elsewhere it has seen all the same."""
    if plan.provided is None or plan.provided.members is None:
        return
    members, rows = plan.provided.members, len(plan.dataset.y_train)
    copies = copies_outside(plan.dataset, members)
    if copies:
        plan.session.warn(f"'{plan.name}': {copies:,} of {rows - len(members):,} training images outside the members "
                          "are copies of members' images. They are left out of the non-members")


def role_sizes(plan: SubjectPlan) -> dict[str, int]:
    """Return how many rows each role gets: what ``membership`` says, or a share of the training split.

    A sixth each for ``target_in`` and ``target_out``, a twelfth for ``population``, the rest for ``shadow_pool``:
    10,000, 10,000, 5,000 and 35,000 of MNIST. Around a subject from elsewhere the shares are of the rows outside
    its members that are no copies of these, and the targets are no more than the members.
    """
    given = {role: plan.config.membership[role] for role in ROLES}
    members = None if plan.provided is None else len(_members(plan))
    outside = len(free_rows(plan.dataset, None if plan.provided is None else _members(plan)))
    target = outside // 6 if members is None else min(members, outside // 6)
    shares = {"target_in": target, "target_out": target, "population": outside // 12}
    sizes = {role: shares[role] if given[role] is None else given[role] for role in shares}
    others = sizes["target_out"] + sizes["population"] + (sizes["target_in"] if members is None else 0)
    rest = max(outside - others, 0)
    return {**sizes, "shadow_pool": rest if given["shadow_pool"] is None else given["shadow_pool"]}


def _roles(plan: SubjectPlan, sizes: dict[str, int], size_in: int,
           shadows: int | None) -> tuple[Split, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the split into roles, and (in, out) rows of every shadow, in being as many as the subject's.

    Out is as many, too, except for a subject from elsewhere with more members than ``target_out``, where the pool
    would rarely do; the attack balances in and out in any case. ``shadows`` None: no attack needs them, and the pool
    may be empty.
    """
    seed = plan.session.seed("split")
    warn_of_copies(plan)
    if shadows is None and sizes["shadow_pool"] == 0:
        sizes = {role: size for role, size in sizes.items() if role != "shadow_pool"}
    try:
        if plan.provided is None:
            split = split_roles(plan.dataset, sizes, seed)
        else:
            split = split_around_members(plan.dataset, _members(plan), sizes, seed)
        if shadows is None:
            return split, []
        # Copies may have left a role smaller than was asked for.
        size_in = size_in if plan.provided is not None else len(split.indices["target_in"])
        size_out = min(size_in, len(split.indices["target_out"]))
        if size_in < len(split.indices["shadow_pool"]) and len(split.indices["shadow_pool"]) < sizes["shadow_pool"]:
            size_out = min(size_out, len(split.indices["shadow_pool"]) - size_in)
        return split, shadow_splits(split, "shadow_pool", shadows, size_in, size_out, seed)
    except InputError as error:
        names = ", ".join(ROLES)
        raise ImpossibleSplitError(
            f"membership on '{plan.name}': {error}; the sizes are those of membership: {names}") from error


def membership_stage(planned: MembershipPlan) -> StageResult:
    """Attack the membership subject with its shadows' answers."""
    plan = planned.plan
    shadows = [(task, task.run()) for task in planned.shadows]
    network = subject_network(planned)
    inputs = {"attack": "shadow", "code": code_digest(plan, "attacks.py"), "subject": network_digest(network),
              "shadows": [[result.key, stable_hash(result.arrays["logits"])] for _, result in shadows],
              "split": planned.split.digest, "training": dict(plan.config.membership.attack)}
    seed = plan.session.seed("membership")

    def compute(context: StageContext) -> dict[str, Any]:
        rows, members = planned.targets()
        logits = ask(Predictor(network), plan.dataset, TRAINING, plan.name, rows)
        subject = Answers(logits, plan.dataset.y_train[rows], members)
        result = planned.attack.attack([task.answers(answer) for task, answer in shadows], subject)
        context.save_arrays(rows=rows, scores=result.scores, members=members, logits=subject.logits)
        figures = membership_figures(result, plan.dataset.class_names, [answer.metrics for _, answer in shadows])
        return {**figures, "subject_accuracy": report.generalisation(
            *(accuracy(subject.logits[side], subject.labels[side]) for side in (members, ~members)))}

    return plan.session.run.stage(f"membership-{plan.name}", "attacks", inputs, seed, compute)


def membership_figures(result: ShadowAttackResult, class_names: tuple[str, ...],
                       shadows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return everything a report says of one membership attack, as JSON values."""
    chosen = result.attacked
    scores, members, predicted = result.scores[chosen], result.members[chosen], result.predicted[chosen]
    n_in, kept = int(members.sum()), result.threshold_shadow
    return {"attack": "shadow", "n_shadows": len(shadows), "n_in": n_in, "n_out": len(members) - n_in,
            "overall": report.figures(scores, members, predicted, kept.non_members()),
            "per_class": report.per_class(scores, members, predicted, result.labels[chosen], class_names,
                                          kept.non_members),
            "thresholds": report.thresholds(kept.non_members(), kept.stopped_too),
            "skipped_classes": {class_names[label]: reason for label, reason in result.skipped.items()},
            "attack_rows": {class_names[label]: rows for label, rows in result.attack_rows.items()},
            "shadow_accuracy": [report.generalisation(*(Metric.from_json(shadow[side])
                                                        for side in ("train_accuracy", "test_accuracy")))
                                for shadow in shadows],
            "detectable": report.detectable(n_in, len(members) - n_in, n_threshold=len(kept.non_members())),
            "roc": report.roc(scores, members)}


def subject_network(planned: MembershipPlan) -> nn.Cell:
    """Return the attacked network, training it where that has not been done."""
    if planned.plan.provided is not None:
        return planned.plan.provided.network
    assert planned.subject is not None
    return planned.subject.network(planned.subject.run())
