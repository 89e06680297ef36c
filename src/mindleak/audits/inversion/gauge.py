"""Inversion of networks that are compared: members and non-members of one pool, seen by one judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.attacks.inversion.controls import Attack
from mindleak.attacks.inversion.quality import measure as measure_images
from mindleak.audits.gauge import Gauge, Measure, NetworkFigures
from mindleak.audits.inversion.plan import inversion_attacks, judge_task
from mindleak.data.copies import first_of_each
from mindleak.data.dataset import Dataset
from mindleak.data.samples import stratified
from mindleak.errors import InputError
from mindleak.models import own_file
from mindleak.reporting.wording import count
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.own import network_digest
from mindleak.subjects.task import TrainingTask
from mindleak.subjects.variant import Pool, Variant
from mindleak.training.loop import Predictor

TABLE = "inversions"
CONFIDENCE, SSIM, SILENT = "confidence", "ssim", "silent"


@dataclass(frozen=True)
class _Judge:
    """The network that says what it sees in inverted images, and what its weights are known by."""

    network: nn.Cell
    digest: str


class InversionGauge(Gauge):
    """How inverted members look to a judge, beside inverted non-members. The judge learns from rows outside all pools.

    Args:
        variants: all that are compared, on the same data; inversion is enabled for one at least.

    Raises:
        InputError: images or layers that there are not, settings out of range, or pools that leave the judge too few.
    """

    def __init__(self, variants: Sequence[Variant]) -> None:
        self._inverted = {variant.name: variant for variant in variants if is_inverted(variant)}
        for variant in self._inverted.values():
            _require_images(variant)
            inversion_attacks(variant.plan, variant.plan.untrained)
        self._first = next(iter(self._inverted.values()))
        self._judge = _judge_task(self._first, variants)

    @property
    def tasks(self) -> list[TrainingTask]:
        """The judge's training."""
        return [self._judge]

    @cached_property
    def _seeing(self) -> _Judge:
        """The judge, trained where that has not been done."""
        network = self._judge.network(self._judge.run())
        return _Judge(network, network_digest(network))

    def measured(self, variant: Variant, backwards: bool = False) -> list[NetworkFigures]:
        """Invert from every network of a variant; nothing for one that is not inverted."""
        numbers = range(len(variant.tasks))
        if variant.name not in self._inverted:
            return [NetworkFigures({}) for _ in numbers]
        order = reversed(numbers) if backwards else numbers
        found = {number: self._stage(variant, number).metrics for number in order}
        return [NetworkFigures(_flat(found[number]["inversion"])) for number in numbers]

    def measure(self, name: str) -> Measure:
        """Return how a measure of one layer's inversions reads."""
        kind, _, layer = name.partition("/")
        silent = f"{SILENT}/{layer}"
        return {
            CONFIDENCE: Measure(f"Confidence, {layer}", leak=True, table=TABLE, failures=silent),
            SSIM: Measure(f"SSIM, {layer}", leak=True, table=TABLE, lowest=-1.0, failures=silent),
            f"gap_{CONFIDENCE}": Measure(f"Confidence, {layer}: members less non-members", table=TABLE, lowest=-1.0),
            f"gap_{SSIM}": Measure(f"SSIM, {layer}: members less non-members", table=TABLE, lowest=-1.0),
            SILENT: Measure(
                f"Inversions without features to follow, {layer}", table=TABLE,
                failed=f"inversions from {layer} had no features or no gradient to follow. They stay in the means, "
                       "and are a failure of the attack, not a protection; inversion.restarts of 2 or more also tries "
                       "bright starts."),
        }[kind]

    def record(self) -> dict[str, Any]:
        """Return who judged inverted images, how many, and what images that no network gave away would score."""
        images, judge = self._first.plan.config.inversion.images, self._judge.plan.config.model.name
        controls = self._controls()
        compared = "; ".join(f"{title}: confidence {controls[key][CONFIDENCE]:.3f}, SSIM {controls[key][SSIM]:.3f}"
                             for key, title in (("mean_image", "the mean image"), ("original", "the originals")))
        return {"images": images, "judge": judge,
                "judge_test_accuracy": self._judge.run().metrics["test_accuracy"], "controls": controls,
                "note": f"Inversion: {count(images)} members and as many non-members per network and layer, judged by "
                        f"a {judge} trained outside the pools. For comparison, {compared}."}

    def _stage(self, variant: Variant, number: int) -> StageResult:
        """Return how a network's inverted images look to the judge."""
        task, plan, judge = variant.tasks[number], variant.plan, self._seeing
        network = task.network(task.run())
        attacks, rows = inversion_attacks(plan, network), self._rows(variant, number)
        inputs = {"source": own_file.source(plan.config.model.name), "network": network_digest(network),
                  "judge": judge.digest, "data": plan.dataset.digest, "inverted": stable_hash(rows),
                  "attacks": [attack.settings() for attack in attacks]}

        def compute(context: StageContext) -> dict[str, Any]:
            found = {attack.layer: _invert(attack, network, plan.dataset, rows, judge.network) for attack in attacks}
            arrays = {f"{layer}_{name}": values for layer, (per_image, _) in found.items()
                      for name, values in per_image.items()}
            context.save_arrays(rows=rows, **arrays)
            return {"inversion": {layer: figures for layer, (_, figures) in found.items()}}

        return plan.session.run.stage(f"sweep-{variant.name}-inversion{number}", __name__, inputs, task.seed, compute)

    def _controls(self) -> dict[str, dict[str, float]]:
        """Return the judge's confidence and SSIM of the mean image and of the originals, offered as inversions."""
        data, rows, judge = self._first.dataset, self._rows(self._first, 0), self._seeing
        inputs = {"judge": judge.digest, "data": data.digest, "rows": stable_hash(rows)}

        def compute(context: StageContext) -> dict[str, Any]:
            images, labels = data.x_train[rows], data.y_train[rows]
            shown = {"mean_image": np.broadcast_to(data.mean_image, images.shape), "original": images}
            return {name: {kind: float(values.mean()) for kind, values in
                           measure_images(images, offered, labels, Predictor(judge.network)).values.items()
                           if kind in (CONFIDENCE, SSIM)} for name, offered in shown.items()}

        return dict(self._first.plan.session.run.stage("sweep-controls", __name__, inputs, 0, compute).metrics)

    @staticmethod
    def _rows(variant: Variant, number: int) -> np.ndarray:
        plan = variant.plan
        return inverted_rows(variant.pool, number, plan.config.inversion.images, plan.dataset,
                             plan.session.seed("inversion"))


def inverted_rows(pool: Pool, model: int, images: int, data: Dataset, seed: int) -> np.ndarray:
    """Draw rows that a model is trained on, class by class, and then as many of these classes that it is not.

    Args:
        pool: of the model's variant.
        model: which.
        images: how many rows of either side; no image is drawn twice.
        data: what the rows belong to.
        seed: of the draw.
    """
    labels, kept = data.y_train, pool.keep[model]
    inside, outside = (rows[first_of_each(data.copies.train[rows])] for rows in (pool.rows[kept], pool.rows[~kept]))
    members = stratified(labels, inside, images, seed)
    shuffled = np.random.default_rng(seed).permutation(outside)
    non_members = np.empty_like(members)
    for label in np.unique(labels[members]):
        of_class = labels[members] == label
        # Every class has as many images outside a half as inside.
        non_members[of_class] = shuffled[labels[shuffled] == label][:of_class.sum()]
    return np.concatenate([members, non_members])


def is_inverted(variant: Variant) -> bool:
    """Return whether a variant's networks are inverted."""
    return bool(variant.plan.config.inversion.enabled)


def _judge_task(first: Variant, variants: Sequence[Variant]) -> TrainingTask:
    """Return the training of the judge, on the rows outside every pool."""
    pooled = reduce(np.union1d, [variant.pool.rows for variant in variants])
    left, needed = len(first.dataset.y_train) - len(pooled), first.plan.config.judge.batch_size
    if left < needed:
        raise InputError(f"sweep.pool: {len(pooled)} of {len(first.dataset.y_train)} training images are in pools, "
                         f"which leave the judge {left}, less than its batch_size {needed}; take a smaller pool")
    return judge_task(first.plan, first.dataset.copies.train[pooled])


def _require_images(variant: Variant) -> None:
    """Raise InputError for more images than a network has members, or none."""
    images, numbers = variant.plan.config.inversion.images, variant.dataset.copies.train[variant.pool.rows]
    smallest = min(len(np.unique(numbers[kept])) for kept in variant.pool.keep)
    if not 1 <= images <= smallest:
        raise InputError(f"inversion.images is {images}; a network of the sweep has {smallest} members, so right is 1 "
                         f"to {smallest}")


def _invert(attack: Attack, network: nn.Cell, data: Dataset, rows: np.ndarray,
            judge: nn.Cell) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Invert ``rows``, members in the first half; return the values per image, and the means of either half."""
    images, labels = data.x_train[rows], data.y_train[rows]
    result = attack.attack(network, images)
    values = measure_images(images, result.inversions, labels, Predictor(judge), result.feature_mse).values
    values[SILENT] = result.dead.astype(np.float64)
    half = len(rows) // 2
    return values, {name: {"members": float(value[:half].mean()), "non_members": float(value[half:].mean())}
                    for name, value in values.items()}


def _flat(layers: dict[str, Any]) -> dict[str, float]:
    """Return the measures of one network by name: ``confidence/fc1``, ..."""
    flat = {}
    for layer, figures in layers.items():
        for name in (CONFIDENCE, SSIM):
            flat[f"{name}/{layer}"] = figures[name]["members"]
            flat[f"gap_{name}/{layer}"] = figures[name]["members"] - figures[name]["non_members"]
        flat[f"{SILENT}/{layer}"] = (figures[SILENT]["members"] + figures[SILENT]["non_members"]) / 2
    return flat
