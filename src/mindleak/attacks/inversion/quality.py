"""How good inverted images are: pixels, structure, features, and an independent network's opinion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindleak.evaluation.images import l2, l2_relative, psnr, ssim, ssim_mindarmour
from mindleak.evaluation.intervals import proportion
from mindleak.evaluation.means import UNBOUNDED, mean_over_images
from mindleak.evaluation.metric import Metric, join_reasons
from mindleak.evaluation.signals import confidence

# What single values can be; distances are at least 0, PSNR knows no bounds.
RANGES = {"confidence": (0.0, 1.0), "ssim": (-1.0, 1.0), "ssim_mindarmour": (-1.0, 1.0), "l2": (0.0, math.inf),
          "l2_relative": (0.0, math.inf), "feature_mse": (0.0, math.inf)}
# What differences can be, where the bound says anything: SSIM could differ by 2, and in truth never does.
DIFFERENCE_RANGES = {"confidence": (-1.0, 1.0)}

# Log-normal values of σ 1 are covered 92 % of the time by the best interval of 30 that needs no bound.
NO_INTERVAL = {"feature_mse": "no interval: single values span orders of magnitude and have no bound"}


@dataclass(frozen=True)
class Quality:
    """Per-image values (N,) of every measure, and what the judge made of the images."""

    values: dict[str, np.ndarray]
    predicted: np.ndarray
    labels: np.ndarray

    def metrics(self) -> dict[str, Metric]:
        """Return the mean of every measure with its interval, and the judge's accuracy."""
        means = {name: _covering(name, mean_over_images(values, bounds=RANGES.get(name, UNBOUNDED)))
                 for name, values in self.values.items()}
        right = int((self.predicted == self.labels).sum())
        return means | {"judge_accuracy": proportion(right, len(self.labels), of="images")}

    def of(self, chosen: np.ndarray) -> Quality:
        """Return the quality of some of the images, given by index."""
        return Quality({name: values[chosen] for name, values in self.values.items()}, self.predicted[chosen],
                       self.labels[chosen])

    def minus(self, other: Quality) -> dict[str, Metric]:
        """Return the mean difference to another offer for each image, or to each image's matched partner.

        Paired, so that what images have in common does not widen the interval.
        """
        shared = [name for name in self.values if name in other.values]
        with np.errstate(invalid="ignore"):  # two infinite PSNR have no difference
            return {name: _covering(name, mean_over_images(self.values[name] - other.values[name], null=0.0,
                                                           bounds=DIFFERENCE_RANGES.get(name, UNBOUNDED)))
                    for name in shared}

    def as_json(self) -> dict[str, Any]:
        """Return ``metrics`` as plain JSON values."""
        return {name: metric.to_json() for name, metric in self.metrics().items()}


def _covering(name: str, mean: Metric) -> Metric:
    """Return a mean as it is, but without its interval where none was shown to cover."""
    if name not in NO_INTERVAL:
        return mean
    return replace(mean, ci=None, ci_method=None, p=None, reason=join_reasons(mean.reason, NO_INTERVAL[name]))


def measure(originals: np.ndarray, images: np.ndarray, labels: np.ndarray,
            judge: Callable[[np.ndarray], np.ndarray], feature_mse: np.ndarray | None = None) -> Quality:
    """Compare ``images`` with ``originals``, both float32 (N, C, H, W) in [0, 1].

    Args:
        originals: what was to be reconstructed.
        images: what an attack, or a control, offers instead.
        labels: true labels of the originals, int32 (N,).
        judge: from images to logits (N, classes), by a classifier that was trained independently of the attacked
            one; its confidence in the true label stands for a person who recognises the image.
        feature_mse: per image, where the attacked layer's outputs are known.

    ``l2_relative`` is ‖x − x'‖/‖x‖ (MindArmour's and the tutorial's "L2"), ``l2`` is ‖x − x'‖, ``ssim`` has a
    Gaussian 11x11 window, σ 1.5 and data range 1, ``ssim_mindarmour`` is MindArmour's.
    """
    logits = judge(images)
    values = {
        "l2_relative": l2_relative(originals, images),
        "l2": l2(originals, images),
        "ssim": ssim(originals, images),
        "ssim_mindarmour": ssim_mindarmour(originals, images),
        "psnr": psnr(originals, images),
        "confidence": confidence(logits, labels),
    }
    if feature_mse is not None:
        values["feature_mse"] = feature_mse
    return Quality(values, logits.argmax(axis=1), labels)
