"""The audit document: plain JSON values that the report page, report.json and the terminal table share."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindleak import config as configuration
from mindleak.data.dataset import Dataset
from mindleak.data.splits import Split
from mindleak.jobs.session import Session
from mindleak.jobs.subjects import SubjectPlan, TrainingTask
from mindleak.runs.stages import StageResult, installed_versions

SCHEMA = 1


def head(session: Session, data: Dataset, splits: Mapping[str, Split], seconds: float) -> dict[str, Any]:
    """Return title, configuration and provenance."""
    import mindspore as ms

    versions = installed_versions()
    provenance = {
        **versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device_target": session.device.target,
        "processes": session.device.world_size,
        "threads": ms.get_context("runtime_num_threads"),
        "seed": session.config.seed,
        "command": session.command,
        "seconds_total": seconds,
        "data": describe_data(data),
        "split": describe_splits(splits),
        "stages": [{"name": event.name, "key": event.key, "seconds": event.seconds, "cached": event.how == "cached"}
                   for event in session.run.log],
    }
    return {"schema": SCHEMA, "title": f"Privacy audit: {session.config.name or data.name}",
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "config": configuration.to_plain(session.config), "provenance": provenance}


def describe_data(data: Dataset) -> dict[str, Any]:
    """Return what identifies a data set."""
    return {"name": data.name, "digest": data.digest, "n_train": len(data.y_train), "n_test": len(data.y_test),
            "image_shape": list(data.image_shape), "num_classes": data.num_classes,
            "class_names": list(data.class_names), "preparation": data.preparation}


def describe_splits(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the roles' sizes, and one digest per subject (it covers the subject's own image size)."""
    if not splits:
        return {"digest": None, "sizes": {}, "digests": {}}
    first = next(iter(splits.values()))
    return {"digest": first.digest, "sizes": {role: len(rows) for role, rows in first.indices.items()},
            "digests": {name: split.digest for name, split in splits.items()}}


def subject(identifier: str, plan: SubjectPlan, role: str, task: TrainingTask, result: StageResult) -> dict[str, Any]:
    """Return the record of a subject that was trained here."""
    metrics = result.metrics
    return {"id": identifier, "name": plan.name, "model": plan.model_label, "training": task.recipe.method,
            "role": role, "n_train": metrics["n_train"], "test_accuracy": metrics["test_accuracy"],
            "train_accuracy": metrics["train_accuracy"], "sparsity": metrics["suppress"],
            "history": metrics["history"], "parameters": metrics["parameters"], "seconds": result.seconds,
            "recipe": task.recipe.as_dict(), "suppress": task.suppress.as_dict() if task.suppress else None,
            "data_digest": plan.dataset.digest, "image_shape": list(plan.dataset.image_shape),
            "checkpoint": str(result.external["checkpoint"])}


def provided_subject(plan: SubjectPlan, test_accuracy: dict[str, Any], train_accuracy: dict[str, Any] | None,
                     parameters: int) -> dict[str, Any]:
    """Return the record of a subject that was trained elsewhere."""
    assert plan.provided is not None
    members = plan.provided.members
    return {"id": plan.name, "name": plan.name, "model": plan.model_label, "training": "elsewhere", "role": "provided",
            "n_train": None if members is None else len(members), "test_accuracy": test_accuracy,
            "train_accuracy": train_accuracy, "sparsity": None, "history": [], "parameters": parameters,
            "seconds": 0.0, "data_digest": plan.dataset.digest, "image_shape": list(plan.dataset.image_shape),
            "checkpoint": plan.config.model.checkpoint}


def inversion(identifier: str, result: StageResult, run_dir: Path, judge_accuracy: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an inversion attack."""
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"subject": identifier, **result.metrics, "judge_test_accuracy": judge_accuracy,
            "arrays": arrays.as_posix(), "seconds": result.seconds}


def membership(identifier: str, result: StageResult, shadow: TrainingTask) -> dict[str, Any]:
    """Return the record of a membership attack, with the recipe that its shadows were trained by."""
    recipe = {"training": shadow.recipe.as_dict(), "suppress": shadow.suppress.as_dict() if shadow.suppress else None}
    return {"subject": identifier, **result.metrics, "shadow_recipe": recipe, "seconds": result.seconds}


def reference_attacks(identifier: str, result: StageResult, run_dir: Path) -> dict[str, Any]:
    """Return the record of a subject's reference attacks, with where every sample's scores lie."""
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"subject": identifier, **result.metrics, "arrays": arrays.as_posix(), "seconds": result.seconds}
