"""What images that no network gave away would score in a sweep: the mean image, and the originals."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindleak.attacks.inversion.quality import measure as measure_images
from mindleak.audits.sweep.variants import Judge
from mindleak.data.dataset import Dataset
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext
from mindleak.subjects.session import Session
from mindleak.training.loop import Predictor


def controls(session: Session, data: Dataset, rows: np.ndarray, judge: Judge) -> dict[str, dict[str, float]]:
    """Return the judge's confidence and SSIM, by image offered in place of an inversion.

    Args:
        session: of the run.
        data: that all variants share.
        rows: of the training split.
        judge: of all inversions.
    """
    inputs = {"judge": judge.digest, "data": data.digest, "rows": stable_hash(rows)}

    def compute(context: StageContext) -> dict[str, Any]:
        images, labels = data.x_train[rows], data.y_train[rows]
        shown = {"mean_image": np.broadcast_to(data.mean_image, images.shape), "original": images}
        return {name: {measure: float(values.mean()) for measure, values in
                       measure_images(images, offered, labels, Predictor(judge.network)).values.items()
                       if measure in ("confidence", "ssim")} for name, offered in shown.items()}

    return dict(session.run.stage("sweep-controls", __name__, inputs, 0, compute).metrics)
