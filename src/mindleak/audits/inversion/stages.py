"""The inversion stages of an audit: one attack per layer, and the controls beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.attacks.inversion.controls import Attack, invert_identity, invert_identity_regularised
from mindleak.attacks.inversion.quality import Quality, measure
from mindleak.attacks.inversion.result import random_starts
from mindleak.audits.inversion.plan import InversionPlan
from mindleak.audits.inversion.results import TRAINING_SPLIT
from mindleak.evaluation.nearest import nearest_figures, original_ranks
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.own import network_digest
from mindleak.subjects.trained import on_test_split
from mindleak.training.loop import Predictor


def inversion_results(planned: InversionPlan) -> list[dict[str, Any]]:
    """Return the results of the inversions of a subject, one per layer."""
    network, run_dir = planned.subject.network, planned.plan.session.run.run_dir
    judged = planned.judge.run()
    judge = planned.judge.network(judged)
    measured = on_test_split(judged.metrics["test_accuracy"], planned.plan.dataset, planned.judge.rows)
    results = []
    for attack in planned.attacks:
        stage = inversion_stage(planned, attack, network, judge)
        arrays = stage.path.relative_to(run_dir) / "arrays.npz"
        results.append({"subject": planned.subject.identifier, **stage.metrics, "judge_test_accuracy": measured,
                        "judge_n_train": judged.metrics["n_train"], "arrays": arrays.as_posix(),
                        "seconds": stage.seconds})
    return results


def inversion_stage(planned: InversionPlan, attack: Attack, network: nn.Cell, judge: nn.Cell) -> StageResult:
    """Invert training images of the subject's, and as many others, from one layer, and measure the result."""
    plan, others = planned.plan, planned.non_members
    compared = None if others is None else [others.source, stable_hash([others.rows, others.partners])]
    inputs = {**attack.settings(), "source": own_file.source(plan.config.model.name),
              "subject": network_digest(network),
              "judge": network_digest(judge), "judge_model": plan.config.judge.model, "data": plan.dataset.digest,
              "rows": stable_hash(planned.rows), "non_members": compared,
              "among": stable_hash(plan.trained_on)}
    name = f"inversion-{plan.name}" + (f"-{attack.layer}" if len(planned.attacks) > 1 else "")
    return plan.session.run.stage(name, __name__, inputs, attack.seed,
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
        among = self._planned.plan.trained_on
        ranks = original_ranks(found, self._data.x_train[among], np.searchsorted(among, self._planned.rows),
                               self._data.copies.train[among])
        return nearest_figures(ranks, self._labels, self._data.y_train[among])


def _median(values: np.ndarray) -> dict[str, Any]:
    """Return a median as a JSON value; infinite where half of the values are: as many images came back exactly."""
    middle = float(np.median(values))
    return {"value": middle if np.isfinite(middle) else None, "n": len(values)}
