"""The record of a run: plain JSON values that the report page, report.json and the terminal share."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from typing import Any

from mindleak import settings as configuration
from mindleak.data.dataset import Dataset
from mindleak.data.splits import Split
from mindleak.reporting.html import SCHEMA
from mindleak.runs.stages import installed_versions
from mindleak.subjects.session import Session


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
