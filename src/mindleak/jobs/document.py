"""The audit document: plain JSON values that the report page, report.json and the terminal table share."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindleak import settings as configuration
from mindleak.data.dataset import Dataset
from mindleak.data.splits import Split
from mindleak.evaluation.answers import LOGITS
from mindleak.evaluation.metric import join_reasons
from mindleak.jobs.session import Session
from mindleak.jobs.subjects import SubjectPlan
from mindleak.jobs.training_task import TrainingTask
from mindleak.runs.stages import StageResult, installed_versions

SCHEMA = 1


def head(session: Session, data: Mapping[str, Dataset], splits: Mapping[str, Split], seconds: float) -> dict[str, Any]:
    """Return title, configuration and provenance; ``data`` and ``splits`` by subject."""
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
    return {"schema": SCHEMA, "title": f"Privacy audit: {session.config.name or next(iter(data.values())).name}",
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "config": configuration.to_plain(session.config), "provenance": provenance}


def describe_data(data: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return what identifies the data: what all subjects share, and under ``subjects`` what is each one's own.

    Subjects may differ in image size, and so in digest and preparation, or in the data set altogether.
    """
    described = {name: _describe(each) for name, each in data.items()}
    first = next(iter(described.values()))
    shared = {key: value for key, value in first.items() if all(each[key] == value for each in described.values())}
    own = {name: {key: value for key, value in each.items() if key not in shared} for name, each in described.items()}
    return {**shared, **({"subjects": own} if len(shared) < len(first) else {})}


def _describe(data: Dataset) -> dict[str, Any]:
    """Return what identifies a data set."""
    return {"name": data.name, "digest": data.digest, "n_train": len(data.y_train), "n_test": len(data.y_test),
            "image_shape": list(data.image_shape), "num_classes": data.num_classes,
            "class_names": list(data.class_names), "preparation": data.preparation}


def describe_splits(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the roles' sizes, by subject where these differ, and every subject's digest.

    A digest covers the subject's own image size; ``digest`` is that of all where they share one, otherwise None.
    """
    digests = {name: split.digest for name, split in splits.items()}
    sizes = {name: {role: len(rows) for role, rows in split.indices.items()} for name, split in splits.items()}
    first = next(iter(sizes.values()), {})
    alike = all(each == first for each in sizes.values())
    return {"digest": next(iter(digests.values())) if len(set(digests.values())) == 1 else None,
            "sizes": first if alike else sizes, "digests": digests}


def on_test_split(accuracy: dict[str, Any], data: Dataset, rows: np.ndarray | None) -> dict[str, Any]:
    """Return an accuracy on the test split, as a JSON value, saying how much of it a network has seen in training.

    Args:
        accuracy: the metric.
        data: what it was measured on.
        rows: training rows that the network was trained on, None for all.
    """
    seen = data.copies.test_among(rows)
    if not seen:
        return accuracy
    said = f"{seen:,} of {len(data.y_test):,} test images are copies of images that the network was trained on"
    return {**accuracy, "reason": join_reasons(accuracy.get("reason"), said)}


def subject(identifier: str, plan: SubjectPlan, role: str, task: TrainingTask, result: StageResult) -> dict[str, Any]:
    """Return the record of a subject that was trained here."""
    metrics = result.metrics
    return {"id": identifier, "name": plan.name, "model": plan.model_label, "training": task.recipe.method,
            "role": role, "n_train": metrics["n_train"],
            "test_accuracy": on_test_split(metrics["test_accuracy"], plan.dataset, task.rows),
            "train_accuracy": metrics["train_accuracy"], "sparsity": metrics["sparsity"],
            "privacy": metrics["privacy"],
            "history": metrics["history"], "parameters": metrics["parameters"], "seconds": result.seconds,
            "recipe": task.recipe.as_dict(), **task.method_settings(), **_answers(plan),
            **({"split_misfit": metrics["split_misfit"]} if metrics.get("split_misfit") else {}),
            "data_digest": plan.dataset.digest, "image_shape": list(plan.dataset.image_shape),
            "checkpoint": str(result.external["checkpoint"])}


def provided_subject(plan: SubjectPlan, test_accuracy: dict[str, Any], train_accuracy: dict[str, Any] | None,
                     parameters: int) -> dict[str, Any]:
    """Return the record of a subject that was trained elsewhere."""
    assert plan.provided is not None
    members = plan.provided.members
    test_accuracy = on_test_split(test_accuracy, plan.dataset, members)
    return {"id": plan.name, "name": plan.name, "model": plan.model_label, "training": "elsewhere", "role": "provided",
            "n_train": None if members is None else len(members), "test_accuracy": test_accuracy,
            "train_accuracy": train_accuracy, "sparsity": None, "privacy": None, "history": [],
            "parameters": parameters, "seconds": 0.0, "data_digest": plan.dataset.digest,
            "image_shape": list(plan.dataset.image_shape), **_answers(plan),
            "checkpoint": plan.config.model.checkpoint}


def _answers(plan: SubjectPlan) -> dict[str, Any]:
    """Return what is unusual of a subject's answers; nothing where nothing is."""
    return {**({} if plan.answers == LOGITS else {"answers": plan.answers}),
            **({} if plan.misfit is None else {"misfit": plan.misfit})}


def inversion(identifier: str, result: StageResult, run_dir: Path, judge: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an inversion attack; ``judge`` holds the figures of the judge's training."""
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"subject": identifier, **result.metrics, "judge_test_accuracy": judge["test_accuracy"],
            "judge_n_train": judge["n_train"], "arrays": arrays.as_posix(), "seconds": result.seconds}


def membership(identifier: str, result: StageResult, run_dir: Path, shadow: TrainingTask) -> dict[str, Any]:
    """Return the record of a membership attack, with the recipe that its shadows were trained by."""
    recipe = {"training": shadow.recipe.as_dict(), **shadow.method_settings()}
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"subject": identifier, **result.metrics, "shadow_recipe": recipe, "arrays": arrays.as_posix(),
            "seconds": result.seconds}


def document_attack(identifier: str, result: StageResult, run_dir: Path) -> dict[str, Any]:
    """Return the record of the document's attack, with where its data and every sample's scores lie."""
    folder = result.path.relative_to(run_dir)
    saved = {name: (folder / f"{name}.npz").as_posix() for name in ("attack_train_data", "attack_test_data")}
    return {"subject": identifier, **result.metrics, "saved": saved, "arrays": (folder / "arrays.npz").as_posix(),
            "seconds": result.seconds}


def stage_record(identifier: str, result: StageResult, run_dir: Path) -> dict[str, Any]:
    """Return the record of a subject's reference attacks or ablation, with where every sample's scores lie."""
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"subject": identifier, **result.metrics, "arrays": arrays.as_posix(), "seconds": result.seconds}
