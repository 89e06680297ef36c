"""Which images are inverted, who judges, and one attack per layer: all that can be known before any training."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from easydict import EasyDict
from mindspore import nn

from mindleak.attacks.inversion.batched import SIGN, BatchedInversion
from mindleak.attacks.inversion.controls import Attack
from mindleak.attacks.inversion.layers import default_layer, features_cell
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.inversion.objective import check_tv_shape
from mindleak.audits.family import Plan
from mindleak.audits.inversion.results import TEST_SPLIT, TRAINING_SPLIT
from mindleak.data.copies import first_of_each
from mindleak.data.samples import stratified
from mindleak.errors import InputError, nearest
from mindleak.evaluation.images import WINDOW
from mindleak.runs.digest import stable_hash
from mindleak.settings.model import Model
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.subject import SubjectPlan
from mindleak.subjects.task import TrainingTask
from mindleak.subjects.trained import Trained, headline
from mindleak.training.recipe import Recipe

JUDGE = "judge"
ENGINES = (BatchedInversion.engine, MindArmourInversion.engine)


@dataclass(frozen=True)
class NonMembers:
    """Images that the subject was not trained on, each of the class of one inverted member.

    Attributes:
        source: the split that they come from.
        rows: rows of that split (M,).
        partners: which inverted member each is matched with (M,).
        copies: how many rows of that split were left out, being copies of images that the subject was trained on.
    """

    source: str
    rows: np.ndarray
    partners: np.ndarray
    copies: int = 0


@dataclass(frozen=True, eq=False)
class InversionPlan(Plan):
    """One subject's inversion: the images, the judge, and an attack per layer."""

    subject: Trained
    plan: SubjectPlan
    rows: np.ndarray
    non_members: NonMembers | None
    judge: TrainingTask
    attacks: list[Attack]

    @property
    def tasks(self) -> list[ModelTask]:
        """The subject's training, if it takes one, and the judge's."""
        return [*self.subject.tasks, self.judge]


def plan_inversion(plan: SubjectPlan) -> InversionPlan:
    """Choose the images and plan judge and attacks, checking everything that can be known to fail.

    Raises:
        InputError: layers that the network does not have, parameters out of range, more images than there are, or
            images too small for SSIM.
    """
    rows, attacks = inverted_rows(plan), inversion_attacks(plan, plan.example)
    non_members, copies = matched_non_members(plan, rows), plan.dataset.copies
    inverted = [copies.train[rows]]
    if non_members is not None:
        numbers = copies.train if non_members.source == TRAINING_SPLIT else copies.test
        inverted.append(numbers[non_members.rows])
    return InversionPlan(headline(plan), plan, rows, non_members, judge_task(plan, np.concatenate(inverted)), attacks)


def inversion_attacks(plan: SubjectPlan, network: nn.Cell) -> list[Attack]:
    """Return the configured attacks, one per layer.

    Raises:
        InputError: layers that the network does not have, parameters out of range, or images too small for SSIM.
    """
    height, width = plan.dataset.image_shape[1:]
    if min(height, width) < WINDOW:
        raise InputError(f"inversion is judged by SSIM, which needs images of at least {WINDOW}x{WINDOW} pixels, not "
                         f"{height}x{width}; set data.image_size=28 or inversion.enabled=false")
    attacks = [_attack(plan, layer) for layer in _layers(plan, network)]
    for attack in attacks:
        check_tv_shape(attack.tv, plan.dataset.image_shape)
        features_cell(network, attack.layer)
    return attacks


def judge_task(plan: SubjectPlan, inverted: np.ndarray) -> TrainingTask:
    """Return the training of the judge: independent of the subject by seed and recipe, and without inverted images.

    A judge that had learned these very images by heart would recognise what no stranger would. Subjects on the same
    data and images share it, so it takes nothing from their own sections.

    Args:
        plan: the subject's.
        inverted: numbers of the images that it must not see, copies of them included (``Dataset.copies``).

    Raises:
        InputError: too few rows are left for it.
    """
    judge = plan.config.judge
    config = EasyDict(plan.config)
    config.model = EasyDict(asdict(Model(name=judge.model)))
    with plan.key_names(JUDGE).in_messages():
        recipe = Recipe(epochs=judge.epochs, batch_size=judge.batch_size, optimizer=judge.optimizer,
                        learning_rate=judge.learning_rate, momentum=judge.momentum)
    rows = np.flatnonzero(~np.isin(plan.dataset.copies.train, inverted))
    if len(rows) < judge.batch_size <= len(plan.dataset.y_train):
        raise InputError(f"inversion of {len(inverted)} images leaves the judge {len(rows)} to learn from, fewer than "
                         f"its batch_size {judge.batch_size}; expected a smaller inversion.images")
    name = f"judge-{plan.dataset.name}-{stable_hash([plan.dataset.digest, rows])[:6]}"
    return TrainingTask(SubjectPlan(plan.session, name, config), "judge", recipe, None, rows, section=JUDGE)


def inverted_rows(plan: SubjectPlan) -> np.ndarray:
    """Draw the rows of the training split to invert, class by class, from those that the subject was trained on.

    No image is drawn twice. Subjects of a run that share their data share the draw.

    Raises:
        InputError: fewer than one image is asked for, or more than there are.
    """
    rows, wanted = plan.trained_on, plan.config.inversion.images
    rows = rows[first_of_each(plan.dataset.copies.train[rows])]
    if not 1 <= wanted <= len(rows):
        raise InputError(f"inversion.images is {wanted}; expected 1 to {len(rows)}")
    return stratified(plan.dataset.y_train, rows, wanted, plan.session.seed("inversion", "images"))


def matched_non_members(plan: SubjectPlan, rows: np.ndarray) -> NonMembers | None:
    """Match inverted members one to one with non-members of their classes; None where nobody knows the members.

    They come from the training split where the subject left enough of it, otherwise from the test split, which may
    differ from the training split by more than membership. Copies of members are none, and no image is drawn twice. A
    member without a partner left stays unmatched.
    """
    data, trained_on = plan.dataset, plan.trained_on
    sources = [(TEST_SPLIT, np.arange(len(data.y_test)), data.y_test, data.copies.test)]
    if plan.is_trained:
        if plan.members is None:
            return None
        outside = np.setdiff1d(np.arange(len(data.y_train)), trained_on)
        sources.insert(0, (TRAINING_SPLIT, outside, data.y_train, data.copies.train))
    generator = np.random.default_rng(plan.session.seed("inversion", "non-members"))
    found = []
    for source, candidates, labels, images in sources:
        unseen = candidates[~np.isin(images[candidates], data.copies.train[trained_on])]
        drawn = generator.permutation(unseen[first_of_each(images[unseen])])
        matched, copies = _match(data.y_train[rows], drawn, labels[drawn]), len(candidates) - len(unseen)
        found.append(NonMembers(source, *matched, copies))
    return max(found, key=lambda match: len(match.rows))


def _match(wanted: np.ndarray, candidates: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first candidates of each class wanted, and the index into ``wanted`` that each is matched with."""
    chosen, partners = [], []
    for label in np.unique(wanted):
        those, free = np.flatnonzero(wanted == label), candidates[labels == label]
        pairs = min(len(those), len(free))
        chosen.append(free[:pairs])
        partners.append(those[:pairs])
    order = np.argsort(np.concatenate(partners), kind="stable")
    return np.concatenate(chosen)[order], np.concatenate(partners)[order]


def _layers(plan: SubjectPlan, network: nn.Cell) -> list[str]:
    """Return the layers to invert: ``inversion.layer`` is one name or a list of them."""
    given = plan.config.inversion.layer
    layers = [default_layer(network)] if given is None else [given] if isinstance(given, str) else list(given)
    if not layers or not all(isinstance(layer, str) for layer in layers) or len(set(layers)) != len(layers):
        raise InputError(f"inversion.layer is {given!r}; expected a layer's name or a list of different ones")
    return layers


def _attack(plan: SubjectPlan, layer: str) -> Attack:
    """Return the configured attack on one layer.

    Raises:
        InputError: an unknown engine, or settings that are out of range or not MindArmour's.
    """
    settings, seed = plan.config.inversion, plan.session.seed("inversion")
    if settings.engine not in ENGINES:
        raise InputError(f"inversion.engine '{settings.engine}' is unknown{nearest(settings.engine, ENGINES)}")
    if settings.engine == BatchedInversion.engine:
        given = {key: settings[key] for key in ("tv", "optimizer", "batch_size") if settings[key] is not None}
        return BatchedInversion(layer, settings.iterations, settings.loss_weights, seed, restarts=settings.restarts,
                                patience=settings.patience, **given)
    attack = MindArmourInversion(layer, settings.iterations, settings.loss_weights, seed)
    own = {"tv": attack.tv, "optimizer": SIGN, "restarts": 1, "patience": 0, "batch_size": None}
    for name, value in own.items():
        if settings[name] not in (None, value):
            raise InputError(f"inversion.{name} is {settings[name]!r}, which inversion.engine '{attack.engine}' does "
                             f"not offer (its own is {'one image at a time' if value is None else repr(value)}); right "
                             f"is engine '{BatchedInversion.engine}'")
    return attack
