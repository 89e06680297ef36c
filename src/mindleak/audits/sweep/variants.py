"""One variant of a sweep: a way to make networks, its networks on halves of one pool, and what each gives away.

Every variant trains ``sweep.models`` networks on the halves that ``data.splits.halves`` deals out of one pool of
training rows. The networks of a variant are each other's shadows, the attacked one left out (docs/methods.md,
"Sweeps").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.attacks.inversion.quality import measure as measure_images
from mindleak.attacks.membership.balancing import MIN_PER_CLASS
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.names import SHADOW
from mindleak.attacks.membership.shadow import Answers, ShadowAttack, require_enough
from mindleak.attacks.membership.siblings import independent_rows
from mindleak.audits.inversion.plan import Attack, inversion_attacks
from mindleak.audits.sweep.membership import (
    by_sibling,
    flat_figures,
    planned_attacks,
    sibling_figures,
    sibling_scores,
)
from mindleak.data.copies import first_of_each
from mindleak.data.dataset import TRAINING, Dataset
from mindleak.data.samples import stratified
from mindleak.data.splits import halves, split_roles
from mindleak.errors import InputError
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.asking import ask
from mindleak.subjects.own import network_digest
from mindleak.subjects.subject import SubjectPlan
from mindleak.subjects.task import TrainingTask
from mindleak.training.loop import Predictor

# A sixth of the data is what a membership subject is trained on, so halves of a third are of that size.
POOL_SHARE = 3


@dataclass(frozen=True)
class Judge:
    """The network that says what it sees in inverted images, and what its weights are known by."""

    network: nn.Cell
    digest: str


@dataclass(frozen=True)
class NetworkFigures:
    """What one network of a variant gives away.

    Attributes:
        values: every measure by name.
        parts: for the measures of attacks whose references are the other networks, what each of these makes of it
            (``membership.by_sibling``).
    """

    values: dict[str, float]
    parts: dict[str, list[float | None]]


@dataclass(frozen=True)
class Pool:
    """The rows that a variant's networks share: ``rows`` (N,); ``keep`` bool (models, N), who is trained on which."""

    rows: np.ndarray
    keep: np.ndarray

    def inverted(self, model: int, images: int, data: Dataset, seed: int) -> np.ndarray:
        """Draw rows that a model is trained on, class by class, and then as many of these classes that it is not.

        Args:
            model: which.
            images: how many rows of either side; no image is drawn twice.
            data: what the rows belong to.
            seed: of the draw.
        """
        labels, kept = data.y_train, self.keep[model]
        inside, outside = (rows[first_of_each(data.copies.train[rows])] for rows in (self.rows[kept], self.rows[~kept]))
        members = stratified(labels, inside, images, seed)
        shuffled = np.random.default_rng(seed).permutation(outside)
        non_members = np.empty_like(members)
        for label in np.unique(labels[members]):
            of_class = labels[members] == label
            # Every class has as many images outside a half as inside.
            non_members[of_class] = shuffled[labels[shuffled] == label][:of_class.sum()]
        return np.concatenate([members, non_members])


def make_pool(data: Dataset, size: int | None, models: int, seed: int) -> Pool:
    """Draw the pool from the training split, class by class, and deal its halves out.

    Raises:
        InputError: a pool that leaves the judge nothing, or a number of models that has no halves.
    """
    available = len(data.y_train)
    size = available // POOL_SHARE if size is None else size
    if not 2 <= size < available:
        raise InputError(f"sweep.pool is {size}; expected 2 to {available - 1}, since the judge learns from the rest")
    split = split_roles(data, {"pool": size}, seed)
    return Pool(*halves(data.y_train, split.indices["pool"], models, seed, split.images))


class Variant:
    """One way to make a network: its networks, and what each of them gives away.

    Variants of equal ``sweep.pool`` have the same rows and seeds, network by network.
    """

    def __init__(self, plan: SubjectPlan) -> None:
        self.plan = plan
        self.name = plan.name
        settings = plan.config.sweep
        self.attacks = planned_attacks(settings.attacks, settings.models)
        self.pool = make_pool(plan.dataset, settings.pool, settings.models, plan.session.seed("sweep"))

    @cached_property
    def tasks(self) -> list[TrainingTask]:
        """The trainings, one per model."""
        recipe = self.plan.recipe()
        settings = self.plan.settings(recipe)
        return [TrainingTask(self.plan, f"model{number}", recipe, settings, self.pool.rows[kept])
                for number, kept in enumerate(self.pool.keep)]

    def check(self) -> None:
        """Raise InputError for an attack that cannot work, before anything is trained."""
        images, numbers = self.plan.config.inversion.images, self.plan.dataset.copies.train[self.pool.rows]
        smallest = min(len(np.unique(numbers[kept])) for kept in self.pool.keep)
        if self.inverts and not 1 <= images <= smallest:
            raise InputError(f"inversion.images is {images}; a network of the sweep has {smallest} members, so right "
                             f"is 1 to {smallest}")
        self._attacks(self.plan.untrained)
        if SHADOW not in self.attacks:
            return
        labels, keep = self.plan.dataset.y_train[self.pool.rows], self.pool.keep
        shown = independent_rows(keep, 0, self.plan.session.seed("membership"))
        try:
            require_enough([(labels[kept & rows], labels[~kept & rows]) for kept, rows in zip(keep[1:], shown[1:])],
                           self.plan.dataset.num_classes)
        except InputError as error:
            raise InputError(f"sweep.pool of {len(labels)} images is too small for the shadow attack: no class has "
                             f"{MIN_PER_CLASS} members and non-members in what shadows may show; expected a larger "
                             "pool, or sweep.attacks without shadow") from error

    @property
    def inverts(self) -> bool:
        """True if inversion is asked for."""
        return bool(self.plan.config.inversion.enabled)

    def _attacks(self, network: nn.Cell) -> list[Attack]:
        return inversion_attacks(self.plan, network) if self.inverts else []

    def measures(self, judge: Judge | None, backwards: bool = False) -> list[NetworkFigures]:
        """Return, per network, every measure by name; stages that are there already are not computed again.

        ``judge`` is None where nothing is inverted.
        """
        numbers = range(len(self.tasks))
        order = reversed(numbers) if backwards else numbers
        found = {number: self._evaluation(number, judge) for number in order}
        evaluated = [found[number] for number in numbers]
        attacked = [self._membership(number, evaluated) for number in range(len(self.tasks))]
        trained = [task.run().metrics for task in self.tasks]
        return [NetworkFigures(_flat(*metrics), metrics[2]["by_sibling"])
                for metrics in zip(trained, (e.metrics for e in evaluated), (a.metrics for a in attacked))]

    def _evaluation(self, number: int, judge: Judge | None) -> StageResult:
        """Return a network's logits on the pool, and how its inverted images look to the judge."""
        task, plan = self.tasks[number], self.plan
        network = task.network(task.run())
        attacks = self._attacks(network)
        rows = self.pool.inverted(number, plan.config.inversion.images, plan.dataset,
                                  plan.session.seed("inversion")) if self.inverts else np.zeros(0, np.int64)
        inputs = {"source": own_file.source(plan.config.model.name), "network": network_digest(network),
                  "judge": None if judge is None else judge.digest, "data": plan.dataset.digest,
                  "pool": stable_hash(self.pool.rows), "inverted": stable_hash(rows),
                  "attacks": [attack.settings() for attack in attacks]}

        def compute(context: StageContext) -> dict[str, Any]:
            logits = ask(Predictor(network), plan.dataset, TRAINING, self.name, self.pool.rows)
            found = {} if judge is None else {
                attack.layer: _invert(attack, network, plan.dataset, rows, judge.network) for attack in attacks}
            arrays = {f"{layer}_{name}": values for layer, (per_image, _) in found.items()
                      for name, values in per_image.items()}
            context.save_arrays(logits=logits, rows=rows, **arrays)
            return {"inversion": {layer: figures for layer, (_, figures) in found.items()}}

        return plan.session.run.stage(f"sweep-{self.name}-model{number}", __name__, inputs, task.seed, compute)

    def _membership(self, number: int, evaluated: Sequence[StageResult]) -> StageResult:
        """Return the membership attacks against one network, the others of its variant being the shadows."""
        plan, keep = self.plan, self.pool.keep
        seed = plan.session.seed("membership")
        settings = dict(plan.config.membership.attack)
        inputs = {"source": own_file.source(plan.config.model.name), "target": number,
                  "logits": [stable_hash(result.arrays["logits"]) for result in evaluated],
                  "keep": stable_hash(keep), "attacks": list(self.attacks), "training": settings}

        def compute(context: StageContext) -> dict[str, Any]:
            labels = plan.dataset.y_train[self.pool.rows]
            answers = [Answers(result.arrays["logits"], labels, kept) for result, kept in zip(evaluated, keep)]
            shadow_attack = ShadowAttack(plan.dataset.num_classes, AttackTraining(**settings), seed)
            scores = sibling_scores(self.attacks, answers, number, shadow_attack, seed)
            context.save_arrays(**{name: each.target for name, each in scores.items()})
            return {"membership": {name: sibling_figures(each) for name, each in scores.items()},
                    "by_sibling": by_sibling(self.attacks, answers, number)}

        return plan.session.run.stage(f"sweep-{self.name}-membership{number}", __name__, inputs, seed, compute)


def _invert(attack: Any, network: nn.Cell, data: Dataset, rows: np.ndarray,
            judge: nn.Cell) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Invert ``rows``, members in the first half; return the values per image, and the means of either half."""
    images, labels = data.x_train[rows], data.y_train[rows]
    result = attack.attack(network, images)
    values = measure_images(images, result.inversions, labels, Predictor(judge), result.feature_mse).values
    values["silent"] = result.dead.astype(np.float64)
    half = len(rows) // 2
    return values, {name: {"members": float(value[:half].mean()), "non_members": float(value[half:].mean())}
                    for name, value in values.items()}


def _flat(trained: dict[str, Any], evaluated: dict[str, Any], attacked: dict[str, Any]) -> dict[str, float]:
    """Return the measures of one network by name: ``auc/shadow``, ``confidence/fc1``, ..."""
    seen, unseen = (trained[f"{side}_accuracy"]["value"] for side in ("train", "test"))
    flat = {"accuracy": unseen, "train_accuracy": seen, "gap": seen - unseen}
    if trained["sparsity"]:
        flat["sparsity"] = trained["sparsity"]["overall"]
    for attack, figures in attacked["membership"].items():
        flat.update(flat_figures(attack, figures))
    for layer, figures in evaluated["inversion"].items():
        for name in ("confidence", "ssim"):
            flat[f"{name}/{layer}"] = figures[name]["members"]
            flat[f"gap_{name}/{layer}"] = figures[name]["members"] - figures[name]["non_members"]
        flat[f"silent/{layer}"] = (figures["silent"]["members"] + figures["silent"]["non_members"]) / 2
    return flat
