"""What membership inference needs: roles, subject, shadows and references, checked before any training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.names import SHADOW_ATTACKS, checked_attacks
from mindleak.attacks.membership.shadow import ShadowAttack, require_enough
from mindleak.audits.family import NoVerdictError, Plan
from mindleak.audits.membership.improved_plan import ImprovedPlan, plan_improved
from mindleak.audits.membership.references import MIRROR, ReferencePlan, plan_references
from mindleak.audits.membership.rnn_tutorial import RnnTutorialPlan, plan_rnn_tutorial
from mindleak.data.splits import (
    Split,
    copies_outside,
    free_rows,
    shadow_splits,
    split_around_members,
    split_roles,
)
from mindleak.errors import InputError
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.asked import AskedTask, Task, asked_aside
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.subject import EstimatorPlan, SubjectPlan
from mindleak.subjects.task import TrainingTask, stale_trainings
from mindleak.subjects.trained import Trained, in_role
from mindleak.training.methods import METHODS

MEMBERSHIP = "membership"
ROLES = ("target_in", "target_out", "population", "shadow_pool")


class UnknownMembersError(InputError):
    """Nobody has said what a subject from elsewhere was trained on."""


class ImpossibleSplitError(InputError):
    """The data leave no honest split into roles: a subject trained on nearly everything has no non-members left."""


@dataclass(frozen=True, eq=False)
class MembershipPlan(Plan):
    """Roles, subject, shadows and references of membership attacks.

    ``shadows`` is empty, ``references`` and ``rnn_tutorial`` None where no attack was asked for that needs them.
    """

    subject: Trained
    plan: SubjectPlan
    split: Split
    shadows: list[AskedTask]
    attack: ShadowAttack
    references: ReferencePlan | None = None
    improved: ImprovedPlan | None = None
    rnn_tutorial: RnnTutorialPlan | None = None
    attacks: tuple[str, ...] = ()

    @property
    def tasks(self) -> list[Task]:
        """Everything that is to be trained."""
        references = [] if self.references is None else self.references.tasks
        rnn_tutorial = [] if self.rnn_tutorial is None else self.rnn_tutorial.tasks
        return [*self.subject.tasks, *self.shadows, *references, *rnn_tutorial]

    @property
    def splits(self) -> dict[str, Split]:
        """The roles, under the subject's name."""
        return {self.plan.name: self.split}

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that the subject is attacked on and which of them it was trained on, (N,) each.

        Of an image with copies that is one row: the network answers all of them alike.
        """
        sides = [self.split.distinct(role) for role in ("target_in", "target_out")]
        return np.concatenate(sides), np.repeat([True, False], [len(side) for side in sides])


def plan_attacks(plan: SubjectPlan) -> MembershipPlan:
    """Plan membership inference as a family of the audit.

    Raises:
        NoVerdictError: the subject's answers do not fit the data, nobody knows what it was trained on, or that is so
            much that no split is left.
        InputError: as ``plan_membership``.
    """
    if plan.members is not None and plan.misfit is not None:
        raise NoVerdictError(f"membership inference on '{plan.name}' would say nothing: {plan.misfit}",
                             "its answers do not fit these images or labels, so no verdict is given")
    try:
        planned = plan_membership(plan)
    except (UnknownMembersError, ImpossibleSplitError) as error:
        if isinstance(error, ImpossibleSplitError) and not plan.is_trained:
            raise
        raise NoVerdictError(str(error)) from error
    _say_stale(planned)
    return planned


def _say_stale(planned: MembershipPlan) -> None:
    """Say that shadows, references or a subject which are there already belong to something else."""
    stale = stale_trainings([task.training for task in planned.tasks])
    if stale:
        session = planned.plan.session
        session.say(f"{len(stale)} finished trainings for attacks on '{planned.plan.name}' in {session.run_dir} are of "
                    f"another split, recipe, seed or version of the code and are not used: {stale[0]}"
                    f"{', ...' if len(stale) > 1 else ''}")


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
    improved = plan_improved(settings, plan.layers, plan.model_label, attacks)
    members = settled_members(plan)
    sizes = role_sizes(plan)
    if sizes["target_in"] != sizes["target_out"]:
        raise InputError(f"membership.target_in is {sizes['target_in']} and target_out {sizes['target_out']}; expected "
                         "one number for both, or guessing the larger side would look like an attack")
    attack = ShadowAttack(plan.dataset.num_classes, AttackTraining(**settings.attack), plan.session.seed("membership"))
    split, pairs = _roles(plan, members, sizes, settings.shadows if wants_shadows else None)
    members = split.indices["target_in"] if members is None else members
    labels = plan.dataset.y_train
    if wants_shadows:
        require_enough([(labels[rows_in], labels[rows_out]) for rows_in, rows_out in pairs], plan.dataset.num_classes)
    alike = _alike(plan, split, len(members))
    shadows = [asked_aside(alike, f"shadow{number}", rows_in, rows_out)
               for number, (rows_in, rows_out) in enumerate(pairs)]
    references = plan_references(plan, split, alike, members, attacks)
    rnn_tutorial = plan_rnn_tutorial(plan, split, alike, members, attacks)
    return MembershipPlan(in_role(plan, alike), plan, split, shadows, attack, references, improved, rnn_tutorial,
                          attacks)


def _alike(plan: SubjectPlan, split: Split, size: int) -> ModelTask:
    """Return how the subject, and all that is made like it, is made of ``size`` samples."""
    rows, settings = split.indices["target_in"], plan.config.membership
    if isinstance(plan, EstimatorPlan):
        return EstimatorTask(plan, MEMBERSHIP, rows, mirrored=settings.augment == MIRROR)
    recipe = plan.recipe(settings.training, MEMBERSHIP)
    method = METHODS[recipe.method]
    given = {} if method.section is None else settings[method.section]
    method_settings = method.resized(plan.settings(recipe, given, MEMBERSHIP), given, size, len(plan.dataset.y_train))
    return TrainingTask(plan, MEMBERSHIP, recipe, method_settings, rows, section=MEMBERSHIP)


def settled_members(plan: SubjectPlan) -> np.ndarray | None:
    """Return the rows that a subject from elsewhere was trained on; None where the run chooses them.

    Raises:
        InputError: it was trained elsewhere, and nobody has said on what.
    """
    if plan.is_trained and plan.members is None:
        raise UnknownMembersError(f"membership inference on '{plan.name}' needs to know what it was trained on: "
                                  "give the row numbers as --members indices.npy, in Python as Subject(members=...)")
    return plan.members


def warn_of_copies(plan: SubjectPlan) -> None:
    """Say how many rows outside the members of a subject from elsewhere it has seen all the same."""
    members, rows = plan.members, len(plan.dataset.y_train)
    if members is None:
        return
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
    members = settled_members(plan)
    outside = len(free_rows(plan.dataset, members))
    target = outside // 6 if members is None else min(len(members), outside // 6)
    shares = {"target_in": target, "target_out": target, "population": outside // 12}
    sizes = {role: shares[role] if given[role] is None else given[role] for role in shares}
    others = sizes["target_out"] + sizes["population"] + (sizes["target_in"] if members is None else 0)
    rest = max(outside - others, 0)
    return {**sizes, "shadow_pool": rest if given["shadow_pool"] is None else given["shadow_pool"]}


def _roles(plan: SubjectPlan, members: np.ndarray | None, sizes: dict[str, int],
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
        split = (split_roles(plan.dataset, sizes, seed) if members is None
                 else split_around_members(plan.dataset, members, sizes, seed))
        if shadows is None:
            return split, []
        # Copies may have left a role smaller than was asked for.
        size_in = len(split.indices["target_in"] if members is None else members)
        size_out = min(size_in, len(split.indices["target_out"]))
        if size_in < len(split.indices["shadow_pool"]) and len(split.indices["shadow_pool"]) < sizes["shadow_pool"]:
            size_out = min(size_out, len(split.indices["shadow_pool"]) - size_in)
        return split, shadow_splits(split, "shadow_pool", shadows, size_in, size_out, seed)
    except InputError as error:
        names = ", ".join(ROLES)
        raise ImpossibleSplitError(
            f"membership on '{plan.name}': {error}; the sizes are those of membership: {names}") from error
