"""Recipes and the documented commands, made small enough for a test: few rows, epochs, images and networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_files import idx_bytes, write_cifar, write_idx_set, write_stl10, write_svhn
from mindleak import settings as config
from mindleak.data import catalogue

ROWS = (1297, 200)

SMALL = {
    "training.epochs": 2, "training.batch_size": 16, "judge.epochs": 1,
    "inversion.images": 2, "inversion.iterations": 2,
    "membership.target_in": 200, "membership.target_out": 200, "membership.population": 97,
    "membership.shadow_pool": 600, "membership.shadows": 3, "membership.references": 4, "membership.attack.epochs": 2,
    "membership.improved.epochs": 2,
    "membership.rnn_tutorial.shadows": 2, "membership.rnn_tutorial.train_size": 200,
    "membership.rnn_tutorial.test_size": 50,
    "membership.rnn_tutorial.shadow_test_size": 60, "membership.rnn_tutorial.epochs": 1,
    "sweep.models": 6, "sweep.pool": 400,
}
# Refused where nothing is trained in the way that they are for.
SMALL_METHODS = {
    "suppress": {"suppress.start_epoch": 1, "suppress.mask_times": 10, "membership.suppress.start_epoch": 1,
                 "membership.suppress.mask_times": 10},
    "prune": {"prune.finetune_epochs": 1},
}


def settings(recipe: Path | None) -> list[str]:
    """What makes a recipe small, as words of the command line."""
    merged = config.load(None if recipe is None else str(recipe))
    own = [*merged.subjects.values(), *merged.sweep.variants.values(), merged]
    small = dict(SMALL)
    for method, keys in SMALL_METHODS.items():
        if any(section.get("training", {}).get("method") == method for section in own):
            small.update(keys)
    if any("epochs" in section.get("membership", {}).get("training", {}) for section in own):
        small["membership.training.epochs"] = 2
    return [word for key, value in small.items() for word in ("--set", f"{key}={value}")]


def write_data(folder: Path, real: Path | None) -> Path:
    """Every data set in its own file format: the first rows of the real one where there is one, noise elsewhere."""
    for name in ("mnist", "fashion_mnist", "kmnist"):
        write_idx_set(folder / name, ROWS)
        if real is not None and (real / name).is_dir():
            data = catalogue.load(name, str(real))
            for half, images, labels, rows in (("train", data.x_train, data.y_train, ROWS[0]),
                                               ("t10k", data.x_test, data.y_test, ROWS[1])):
                pixels = np.rint(images[:rows, 0] * 255).astype(np.uint8)
                (folder / name / f"{half}-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
                (folder / name / f"{half}-labels-idx1-ubyte").write_bytes(idx_bytes(labels[:rows].astype(np.uint8)))
    write_cifar(folder / "cifar10" / "cifar-10-batches-bin", ROWS[0] // 5 + 1)
    write_svhn(folder / "svhn", ROWS)
    write_stl10(folder / "stl10", ROWS)
    return folder
