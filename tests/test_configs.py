"""The recipes in configs/: each names what exists, and its network takes the images of its data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from mindspore import nn

from mindleak import settings as config
from mindleak.data import catalogue
from mindleak.models import registry
from mindleak.subjects.subject import model_options
from mindleak.training.recipe import Recipe
from paths import ROOT

CONFIGS = ROOT / "configs"
# (steps, numbers a step) of each data set's images read row by row.
STEPS = {
    "mnist": (28, 28), "kmnist": (28, 28), "fashion_mnist": (28, 28),
    "cifar10": (32, 96), "svhn": (32, 96), "stl10": (96, 288),
}


def subjects(path: Path) -> list:
    merged = config.load(str(path))
    variants = [config.for_variant(merged, name) for name in merged.sweep.variants]
    return [config.for_subject(merged, name) for name in merged.subjects] + variants or [merged]


def built(recipe) -> tuple[nn.Cell, tuple[int, int, int]]:
    """The recipe's network, which has answered for one image of the data set's shape."""
    entry = catalogue.entry(recipe.data.name)
    channels, height, width = entry.shape
    size = recipe.data.image_size
    shape = (channels, height, width) if size is None else (channels, size, size)
    network = registry.build(recipe.model.name, shape, len(entry.class_names), 0, model_options(recipe.model))
    return network, shape


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_names_what_there_is(path):
    for recipe in subjects(path):
        network, _ = built(recipe)
        named = recipe.inversion.layer or []
        assert set([named] if isinstance(named, str) else named) <= set(network.layer_names)
        Recipe(**{**recipe.training, "epochs": recipe.training.epochs or 1})


@pytest.mark.parametrize("name", sorted(STEPS))
def test_the_six_data_sets_of_the_document_read_by_rows(name):
    (recipe,) = subjects(CONFIGS / f"lstm_rnn_{name}.yaml")
    assert (recipe.data.name, recipe.training.epochs) == (name, 20)
    network, shape = built(recipe)
    assert shape == catalogue.entry(name).shape
    assert (network.steps, network.step_size) == STEPS[name]
