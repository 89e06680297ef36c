"""Metrics with intervals: pure NumPy and SciPy, no MindSpore."""

from __future__ import annotations

from mindleak.evaluation.classification import accuracy, binary_report, format_report
from mindleak.evaluation.images import l2, l2_relative, psnr, ssim
from mindleak.evaluation.intervals import clopper_pearson, mean_metric, proportion
from mindleak.evaluation.means import mean_over_images
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.power import (
    chance_tpr_limit,
    largest_fpr_with_zero_false_positives,
    resolvable_fpr,
    smallest_detectable_auc,
    smallest_detectable_own_roc_tpr,
    smallest_detectable_tpr,
)
from mindleak.evaluation.roc import RocCurve, auc, balanced_accuracy_at, roc_curve, tpr_at_fpr
from mindleak.evaluation.signals import (
    confidence,
    entropy,
    loss,
    modified_entropy,
    phi,
    softmax,
    top_k,
)

__all__ = [
    "Metric",
    "RocCurve",
    "accuracy",
    "auc",
    "balanced_accuracy_at",
    "binary_report",
    "chance_tpr_limit",
    "clopper_pearson",
    "confidence",
    "entropy",
    "format_report",
    "l2",
    "l2_relative",
    "largest_fpr_with_zero_false_positives",
    "loss",
    "mean_metric",
    "mean_over_images",
    "modified_entropy",
    "phi",
    "proportion",
    "psnr",
    "resolvable_fpr",
    "roc_curve",
    "smallest_detectable_auc",
    "smallest_detectable_own_roc_tpr",
    "smallest_detectable_tpr",
    "softmax",
    "ssim",
    "top_k",
    "tpr_at_fpr",
    "tpr_interval_at_fpr",
]
