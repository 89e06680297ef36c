"""How subjects, numbers and metrics are written, the same in the page, the figures and the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from mindleak.reporting.palette import Look, look

NBSP = "\u00a0"
DASH = "\u2013"

_PERCENT = {
    "accuracy",
    "precision",
    "recall",
    "f1",
    "balanced_accuracy",
    "balanced_accuracy_per_class",
    "test_accuracy",
    "train_accuracy",
    "judge_accuracy",
    "top1",
    "rank_share",
    "class_match",
    "sparsity",
}
_DIGITS = {"psnr": 2, "l2": 2}
_LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "balanced_accuracy_per_class": "Balanced accuracy, threshold per class",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc": "AUC",
    "auc_difference": "Difference of AUCs",
    "test_accuracy": "Test accuracy",
    "train_accuracy": "Training accuracy",
    "l2_relative": "Relative L2",
    "l2": "L2",
    "ssim": "SSIM",
    "ssim_mindarmour": "SSIM (MindArmour)",
    "psnr": "PSNR, dB",
    "feature_mse": "Feature MSE",
    "confidence": "Confidence",
    "judge_accuracy": "Judge accuracy",
    "top1": "Original is the nearest of all training images",
    "rank_share": "Original's mean rank, as a share of all",
    "class_match": "Nearest training image has its class",
}


@dataclass(frozen=True)
class Name:
    """A subject in words: ``recipe`` (model · training), ``role`` (headline, membership or empty)."""

    recipe: str
    role: str

    @property
    def full(self) -> str:
        """Return recipe and role on one line."""
        return f"{self.recipe} ({self.role} subject)" if self.role else self.recipe


class Subjects:
    """The names and looks of a document's subjects; a recipe keeps its look in both of its roles."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._names: dict[str, Name] = {}
        self._looks: dict[str, Look] = {}
        for subject in document["subjects"]:
            self._names[subject["id"]] = Name(_recipe(subject, document["subjects"]), subject["role"])
        for result in all_results(document):
            if "subject" in result:
                self._names.setdefault(result["subject"], Name(result["subject"], ""))
        for name in self._names.values():
            self._looks.setdefault(name.recipe, look(len(self._looks)))

    def name(self, subject_id: str) -> Name:
        """Return the subject's name; an id without an entry among the subjects stands for itself."""
        return self._names.get(subject_id, Name(subject_id, ""))

    def look(self, subject_id: str) -> Look:
        """Return the look of the subject's recipe."""
        return self._looks[self.name(subject_id).recipe]


def _recipe(subject: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Name a subject by model and training, and by its own name where that alone would be ambiguous."""
    training = "trained elsewhere" if subject["training"] == "elsewhere" else subject["training"]
    alike = {
        other.get("name")
        for other in others
        if (other["model"], other["training"]) == (subject["model"], subject["training"])
    }
    recipe = f"{subject['model']} · {training}"
    return recipe if len(alike) == 1 else f"{recipe} ({subject.get('name')})"


def metrics_of(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the metrics of a result by key; those of a nested side come as ``precision/non_member``."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and "value" in value:
            found[key] = value
        elif isinstance(value, Mapping):
            found.update({f"{inner}/{key}": metric for inner, metric in metrics_of(value).items()})
    return found


def all_results(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of all families."""
    return [result for results in document["results"].values() for result in results]


def class_names(document: Mapping[str, Any]) -> dict[int, str]:
    """Return class number → name, from the data's own list where it is given, else from the per-class rows.

    Nothing where subjects see data of other classes: a number is better than another subject's name.
    """
    data = document["provenance"].get("data", {})
    if any("class_names" in own for own in data.get("subjects", {}).values()):
        return {}
    named = {row["class"]: row["name"] for result in all_results(document) for row in result.get("per_class") or []}
    listed = data.get("class_names") or []
    return {**named, **dict(enumerate(listed))}


def percent(value: float, digits: Optional[int] = None) -> str:
    """Write a fraction as a percentage: with ``digits`` decimals, or as short as it goes."""
    number = f"{100 * value:.{digits}f}" if digits is not None else f"{100 * value:.4g}"
    return f"{_minus(number)}{NBSP}%"


def count(value: int) -> str:
    """Write a count with thousands separators."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Write a duration in the two largest units that matter: ``0.4 s``, ``3 min 20 s``, ``1 h 52 min``."""
    if seconds < 59.5:
        digits = 1 if seconds < 9.95 else 0
        return f"{seconds:.{digits}f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min"


def metric_label(key: str) -> str:
    """Return the heading of a metric; ``tpr@0.01`` becomes ``TPR at 1 % FPR``."""
    kind, _, side = key.partition("/")
    if side:
        return f"{metric_label(kind)}, {side.replace('_', '-')}s"
    kind, _, rate = key.partition("@")
    if kind == "tpr":
        return f"TPR at {percent(float(rate))} FPR"
    if kind == "tpr_own_roc":
        return f"Optimistic TPR at {percent(float(rate))} FPR: threshold from the subject's own ROC"
    if kind == "excess":
        return f"TPR − FPR at {percent(float(rate))} FPR"
    if kind == "ppv":
        return f"PPV at {percent(float(rate))} members"
    return _LABELS.get(key, key.replace("_", " "))


def number(key: str, value: float, *, unit: bool = True) -> str:
    """Write one value of the metric ``key``: rates in per cent, the rest in three decimals or digits."""
    key = key.partition("/")[0]
    if key in _PERCENT or key.partition("@")[0] in {"tpr", "fpr", "excess", "tpr_own_roc", "ppv", "silent"}:
        text = percent(value, 2)
        return text if unit else text.replace(f"{NBSP}%", "")
    if key == "feature_mse":
        return _minus(f"{value:.3g}")
    return _minus(f"{value:.{_DIGITS.get(key, 3)}f}")


def has_value(metric: Optional[Mapping[str, Any]]) -> bool:
    """Tell whether a metric was measured and has a finite value."""
    return metric is not None and metric.get("value") is not None and math.isfinite(metric["value"])


def bounds(metric: Mapping[str, Any]) -> Optional[tuple[float, float]]:
    """Return the interval of a metric for drawing, or None where it has none or one end is unbounded."""
    interval = metric.get("ci")
    if not interval or interval[0] is None or interval[1] is None:
        return None
    return float(interval[0]), float(interval[1])


def written_bounds(key: str, metric: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """Write both ends of a metric's interval without unit; null is an end without bound. None without interval."""
    interval = metric.get("ci")
    if not interval:
        return None
    low, high = interval
    return (
        "\u2212∞" if low is None else number(key, low, unit=False),
        "∞" if high is None else number(key, high, unit=False),
    )


def _minus(text: str) -> str:
    return text.replace("-", "\u2212", 1) if text.startswith("-") else text
