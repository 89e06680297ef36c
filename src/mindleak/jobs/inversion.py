"""The inversion stages of an audit: which images, which judge, one attack per layer, and the controls beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from easydict import EasyDict
from mindspore import nn

from mindleak.attacks.inversion.batched import SIGN, BatchedInversion
from mindleak.attacks.inversion.controls import Attack, invert_identity, invert_identity_regularised
from mindleak.attacks.inversion.layers import default_layer, features_cell
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.inversion.objective import check_tv_shape
from mindleak.attacks.inversion.quality import Quality, measure
from mindleak.attacks.inversion.result import random_starts
from mindleak.data.copies import first_of_each
from mindleak.data.samples import stratified
from mindleak.errors import InputError, nearest
from mindleak.evaluation.images import WINDOW
from mindleak.evaluation.nearest import nearest_figures, original_ranks
from mindleak.jobs.attacks import code_digest
from mindleak.jobs.inversion_findings import TEST_SPLIT
from mindleak.jobs.own_model import network_digest
from mindleak.jobs.subjects import JUDGE, SubjectPlan
from mindleak.jobs.training_task import TrainingTask
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.settings.model import Model
from mindleak.training.loop import Predictor
from mindleak.training.recipe import Recipe

ENGINES = (BatchedInversion.engine, MindArmourInversion.engine)
TRAINING_SPLIT = "training split"


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


@dataclass(frozen=True)
class InversionPlan:
    """One subject's inversion: the images, the judge, and an attack per layer."""

    plan: SubjectPlan
    rows: np.ndarray
    non_members: NonMembers | None
    judge: TrainingTask
    attacks: list[Attack]


def plan_inversion(plan: SubjectPlan, network: nn.Cell) -> InversionPlan:
    """Choose the images and plan judge and attacks, checking everything that can be known to fail.

    Args:
        plan: the subject.
        network: one of its architecture, to be asked for its layers.

    Raises:
        InputError: layers that the network does not have, parameters out of range, more images than there are, or
            images too small for SSIM.
    """
    rows, attacks = inverted_rows(plan), inversion_attacks(plan, network)
    non_members, copies = matched_non_members(plan, rows), plan.dataset.copies
    inverted = [copies.train[rows]]
    if non_members is not None:
        numbers = copies.train if non_members.source == TRAINING_SPLIT else copies.test
        inverted.append(numbers[non_members.rows])
    return InversionPlan(plan, rows, non_members, judge_task(plan, np.concatenate(inverted)), attacks)


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
    rows, wanted = _trained_on(plan), plan.config.inversion.images
    rows = rows[first_of_each(plan.dataset.copies.train[rows])]
    if not 1 <= wanted <= len(rows):
        raise InputError(f"inversion.images is {wanted}; expected 1 to {len(rows)}")
    return stratified(plan.dataset.y_train, rows, wanted, plan.session.seed("inversion", "images"))


def _trained_on(plan: SubjectPlan) -> np.ndarray:
    """Return the rows that the subject was trained on, as far as anybody knows, sorted."""
    members = plan.provided.members if plan.provided is not None else None
    return np.arange(len(plan.dataset.y_train)) if members is None else np.sort(np.asarray(members))


def matched_non_members(plan: SubjectPlan, rows: np.ndarray) -> NonMembers | None:
    """Match inverted members one to one with non-members of their classes; None where nobody knows the members.

    They come from the training split where the subject left enough of it, otherwise from the test split, which may
    differ from the training split by more than membership. Copies of members are none, and no image is drawn twice. A
    member without a partner left stays unmatched.
    """
    data, trained_on = plan.dataset, _trained_on(plan)
    sources = [(TEST_SPLIT, np.arange(len(data.y_test)), data.y_test, data.copies.test)]
    if plan.provided is not None:
        if plan.provided.members is None:
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


def inversion_stage(planned: InversionPlan, attack: Attack, network: nn.Cell, judge: nn.Cell) -> StageResult:
    """Invert training images of the subject's, and as many others, from one layer, and measure the result."""
    plan, others = planned.plan, planned.non_members
    compared = None if others is None else [others.source, stable_hash([others.rows, others.partners])]
    inputs = {**attack.settings(), "code": code_digest(plan, "inversion.py"), "subject": network_digest(network),
              "judge": network_digest(judge), "judge_model": plan.config.judge.model, "data": plan.dataset.digest,
              "rows": stable_hash(planned.rows), "non_members": compared}
    name = f"inversion-{plan.name}" + (f"-{attack.layer}" if len(planned.attacks) > 1 else "")
    return plan.session.run.stage(name, "attacks", inputs, attack.seed,
                                  lambda context: _Measurement(planned, attack, network, judge).run(context))


class _Measurement:
    """One attack with everything that is measured beside it."""

    def __init__(self, planned: InversionPlan, attack: Attack, network: nn.Cell, judge: nn.Cell) -> None:
        self._planned = planned
        self._attack = attack
        self._network = network
        data, rows, others = planned.plan.dataset, planned.rows, planned.non_members
        self._data = data
        self._images, self._labels = data.x_train[rows], data.y_train[rows]
        self._judge: Callable[[np.ndarray], np.ndarray] = Predictor(judge, batch_size=len(rows))
        self._others = self._images[:0]
        if others is not None:
            self._others = (data.x_train if others.source == TRAINING_SPLIT else data.x_test)[others.rows]

    def run(self, context: StageContext) -> dict[str, Any]:
        """Attack members and non-members in one go, measure them and the controls."""
        count = len(self._images)
        result = self._attack.attack(self._network, np.concatenate([self._images, self._others]))
        found, dead = result.inversions[:count], result.dead[:count]
        quality = self._measured(found, result.feature_mse[:count])
        controls = self._controls()
        differences = {"mean_image": quality.minus(controls["mean_image"])}
        record = {"attack": self._attack.engine, **self._attack.settings(), "n": count,
                  "judge": self._planned.plan.config.judge.model, "metrics": quality.as_json(),
                  "dead": int(dead.sum()), "frozen": int((result.iterations[:count] < self._attack.iterations).sum()),
                  "controls": {name: control.as_json() for name, control in controls.items()},
                  "identity_psnr": _median(controls["identity"].values["psnr"]),
                  "nearest": self._nearest(found), "labels": self._labels.tolist(),
                  "predicted": quality.predicted.tolist(), "non_members": None}
        others = self._planned.non_members
        if others is not None and len(others.rows):
            strangers = measure(self._others, result.inversions[count:], self._labels[others.partners], self._judge,
                                result.feature_mse[count:])
            record["non_members"] = {"source": others.source, "n": len(others.rows), "copies_left_out": others.copies,
                                     "metrics": strangers.as_json(), "dead": int(result.dead[count:].sum())}
            differences["non_members"] = quality.of(others.partners).minus(strangers)
        record["differences"] = {name: {measure_: metric.to_json() for measure_, metric in metrics.items()}
                                 for name, metrics in differences.items()}
        context.save_arrays(originals=self._images, inversions=found, rows=self._planned.rows, dead=dead,
                            objective=result.objective[:count], iterations=result.iterations[:count], **quality.values)
        return record

    def _measured(self, images: np.ndarray, feature_mse: np.ndarray | None = None) -> Quality:
        return measure(self._images, images, self._labels, self._judge, feature_mse)

    def _controls(self) -> dict[str, Quality]:
        """Measure what needs no layer: the mean image, the start, the originals, and the identity network."""
        offered = {"mean_image": np.broadcast_to(self._data.mean_image, self._images.shape),
                   "random_start": random_starts(self._images.shape, self._attack.seed),
                   "original": self._images,
                   "identity": invert_identity(self._attack, self._images).inversions,
                   "identity_regularised": invert_identity_regularised(self._attack, self._images).inversions}
        return {name: self._measured(images) for name, images in offered.items()}

    def _nearest(self, found: np.ndarray) -> dict[str, Any]:
        """Rank each original among the images that the subject was trained on."""
        among = _trained_on(self._planned.plan)
        ranks = original_ranks(found, self._data.x_train[among], np.searchsorted(among, self._planned.rows),
                               self._data.copies.train[among])
        return nearest_figures(ranks, self._labels, self._data.y_train[among])


def _median(values: np.ndarray) -> dict[str, Any]:
    """Return a median as a JSON value; infinite where half of the values are: as many images came back exactly."""
    middle = float(np.median(values))
    return {"value": middle if np.isfinite(middle) else None, "n": len(values)}
