"""Recipes and the documented commands, made small enough for a test: few rows, epochs, images and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from command import call
from data_files import idx_bytes, write_cifar, write_idx_set, write_stl10, write_svhn
from mindleak import settings as config
from mindleak.data import catalogue
from mindleak.settings.estimator import ESTIMATORS
from paths import ROOT

ROWS = (1297, 200)
# The same recipe on other data, which the file format alone tells apart.
TWINS = {"audit_fashion_mnist": "audit_mnist", "deletion_lenet5_mnist": "deletion_lenet5_fashion_mnist",
         "deletion_lstm_rnn_fashion_mnist": "deletion_lstm_rnn_mnist", "sweep_fashion_mnist": "sweep_mnist"}

SMALL = {
    "training.epochs": 2, "training.batch_size": 16, "judge.epochs": 1,
    "inversion.images": 2, "inversion.iterations": 2,
    "membership.target_in": 200, "membership.target_out": 200, "membership.population": 97,
    "membership.shadow_pool": 600, "membership.shadows": 2, "membership.references": 4, "membership.attack.epochs": 2,
    "membership.improved.epochs": 2,
    "membership.rnn_tutorial.shadows": 2, "membership.rnn_tutorial.train_size": 200,
    "membership.rnn_tutorial.test_size": 50,
    "membership.rnn_tutorial.shadow_test_size": 60, "membership.rnn_tutorial.epochs": 1,
    "sweep.models": 6, "sweep.pool": 400,
}
# Only where there is an audit of deletions: a request makes one.
SMALL_DELETION = {
    "deletion.models": 6, "deletion.members": 200, "deletion.shards": 2, "deletion.slices": 2,
    "deletion.requests": "[0.05]", "deletion.methods": "[full, drop_group, sharded, fine_tune]",
}
# Refused where nothing is trained in the way that they are for.
SMALL_METHODS = {
    "suppress": {"suppress.start_epoch": 1, "suppress.mask_times": 10, "membership.suppress.start_epoch": 1,
                 "membership.suppress.mask_times": 10},
    "prune": {"prune.finetune_epochs": 1},
}
# The commands that work in a run directory.
ON_A_RUN = ("audit", "attack", "train", "predict", "delete")


def run(capfd: pytest.CaptureFixture[str], words: list[str], data: Path) -> None:
    """Run one command as it is written, but small; it must end well."""
    if words[0] in ON_A_RUN:
        recipe = Path(words[words.index("--config") + 1]) if "--config" in words else None
        known = [] if "--data_dir" in words else ["--data_dir", "DATA"]
        # What the page sets itself stays.
        small = [word for pair in zip(*[iter(settings(recipe))] * 2) for word in pair
                 if not any(pair[1].partition("=")[0] + "=" in given for given in words)
                 # Refused for what is no network.
                 and not (set(words) & set(ESTIMATORS) and pair[1].startswith("training."))]
        words = [*words, *known, *small]
    outcome = call(capfd, *[str(data) if word == "DATA" else word for word in words])
    assert outcome.code == 0, f"mindleak {' '.join(words)}: {outcome.err[-2000:]}"
    assert "Traceback" not in outcome.out + outcome.err


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a reader's folder, with the recipes, the one to work in."""
    (folder / "configs").mkdir(parents=True)
    for recipe in (ROOT / "configs").glob("*.yaml"):
        write_recipe(recipe, folder / "configs")
    monkeypatch.chdir(folder)
    return folder


def settings(recipe: Path | None) -> list[str]:
    """What makes a recipe small, as words of the command line."""
    merged = config.load(None if recipe is None else str(recipe))
    sections = {"": merged, **{f"subjects.{name}.": section for name, section in merged.subjects.items()},
                **{f"sweep.variants.{name}.": section for name, section in merged.sweep.variants.items()}}
    small = {**SMALL, **(SMALL_DELETION if merged.deletion.requests else {})}
    for method, keys in SMALL_METHODS.items():
        if any(section.get("training", {}).get("method") == method for section in sections.values()):
            small.update(keys)
    if any("epochs" in section.get("membership", {}).get("training", {}) for section in sections.values()):
        small["membership.training.epochs"] = 2
    # Where a subject or a variant has a value of its own, it takes the same small one.
    own = {prefix + key: value for key, value in small.items() for prefix, section in sections.items()
           if prefix and _has(section, key)}
    layers = merged.inversion.layer
    if isinstance(layers, list):
        small["inversion.layer"] = layers[-1]
    return [word for key, value in {**small, **own}.items() for word in ("--set", f"{key}={value}")]


def _has(section: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(section, dict) or part not in section:
            return False
        section = section[part]
    return True


def write_recipe(recipe: Path, folder: Path) -> None:
    """Copy a recipe; of a sweep's variants that set the same keys, by the same method and network, only the first."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    sweep = content.get("sweep", {})
    if "variants" in sweep:
        first = {_kind(changes): name for name, changes in reversed(sweep["variants"].items())}
        sweep["variants"] = {name: sweep["variants"][name] for name in sweep["variants"] if name in first.values()}
        sweep["pairs"] = [pair for pair in sweep.get("pairs", []) if set(pair) <= set(sweep["variants"])]
    (folder / recipe.name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _kind(variant: dict[str, Any]) -> frozenset[tuple[str, ...]]:
    return frozenset((section, key, str(value) if key in ("name", "method") else "")
                     for section, changes in variant.items() for key, value in changes.items())


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
