"""Reference models: planned as trainings like the subject's, each on half of a pool that holds the subject's samples.

One set serves every reference attack. The subject is a model of its own and in no way one of them; every reference
plays the target in its turn, left out of its own references, and thresholds are fixed on those. The population z is
the split's role of that name, which nobody is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindleak.attacks.membership.names import REFERENCE_ATTACKS
from mindleak.attacks.membership.reference_attack import RmiaSettings
from mindleak.data.reference_pool import in_pool_order, reference_pool
from mindleak.data.splits import Split, halves
from mindleak.errors import InputError, nearest
from mindleak.runs.stages import StageResult
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.asked import AskedTask, asked_aside
from mindleak.subjects.subject import SubjectPlan

# With fewer, a reference that plays the target has a side without any reference left.
FEWEST = 4
MIRROR = "mirror"
AUGMENTATIONS = ("none", MIRROR)


@dataclass(frozen=True, eq=False)
class ReferencePlan:
    """The reference models of one subject and what they are asked.

    Attributes:
        attacks: names, in the order asked for.
        rows: rows of the pool, sorted (N,); every one is in half of the models.
        keep: (models, N), True where a model is trained on a row.
        population: rows that no model is trained on, the subject included.
        left_out: number of the pool's rows that could not be dealt out evenly and are in no model.
        tasks: the trainings, one per model.
        rmia: settings of RMIA.
    """

    attacks: tuple[str, ...]
    rows: np.ndarray
    keep: np.ndarray
    population: np.ndarray
    left_out: int
    tasks: list[AskedTask]
    rmia: RmiaSettings

    @property
    def mirrored(self) -> bool:
        """True if every image is asked in its mirror as well."""
        return self.tasks[0].mirrored

    def logits(self, number: int, result: StageResult) -> tuple[np.ndarray, np.ndarray]:
        """Return a model's logits on pool, (queries, N, classes), and on population, (population, classes)."""
        names = ("logits", "mirrored") if self.mirrored else ("logits",)
        answers = np.stack([result.arrays[name] for name in names])
        size = len(self.rows)
        sides = [self.rows[self.keep[number]], self.rows[~self.keep[number]]]
        return in_pool_order(sides, answers[:, :size]), answers[0, size:]


def plan_references(plan: SubjectPlan, split: Split, alike: ModelTask, members: np.ndarray,
                    attacks: Sequence[str]) -> ReferencePlan | None:
    """Return the references that the configured attacks need, or None where none of them needs any.

    Args:
        plan: the subject's.
        split: its roles.
        alike: what is made by the subject's recipe, in any role.
        members: rows that the subject is trained on.
        attacks: names that have been checked.

    Raises:
        InputError: a number of references that is odd or below 4, an unknown augmentation, or settings of RMIA out
            of range.
    """
    wanted = tuple(name for name in attacks if name in REFERENCE_ATTACKS)
    settings = plan.config.membership
    rmia = RmiaSettings(**settings.rmia)
    if settings.augment not in AUGMENTATIONS:
        raise InputError(f"membership.augment '{settings.augment}' is unknown"
                         + nearest(str(settings.augment), AUGMENTATIONS))
    if not wanted:
        return None
    if settings.references < FEWEST or settings.references % 2:
        raise InputError(f"membership.references is {settings.references}; expected an even number from {FEWEST} on: "
                         "every sample is in half of them, and each is left out once")
    pool = _pool(plan, split, members)
    rows, keep = halves(split.labels, pool, settings.references, plan.session.seed("references"), split.images)
    population = split.indices["population"]
    tasks = [asked_aside(alike, f"reference{number}", rows[inside], np.concatenate([rows[~inside], population]),
                         mirrored=settings.augment == MIRROR)
             for number, inside in enumerate(keep)]
    return ReferencePlan(wanted, rows, keep, population, len(pool) - len(rows), tasks, rmia)


def _pool(plan: SubjectPlan, split: Split, members: np.ndarray) -> np.ndarray:
    """Return the pool around the subject's members: filled from rows that have no part in attacking it."""
    taken = np.concatenate([members, split.indices["target_out"], split.indices["population"]])
    more = split.apart(np.arange(len(split.labels)), taken)
    return reference_pool(split.labels, members, split.indices["target_out"], more, plan.session.seed("references"))
