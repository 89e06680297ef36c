"""The table of training methods, and what depends on it: configuration, stage keys, shadows, widths, weight decay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindleak import settings as config
from mindleak.audits.membership.plan import plan_membership
from mindleak.errors import InputError
from mindleak.jobs.session import open_session
from mindleak.models.base import count_parameters
from mindleak.models.registry import build
from mindleak.settings.schema import SCHEMA
from mindleak.settings.training import METHODS as NAMES
from mindleak.settings.training import OPTIMIZERS
from mindleak.subjects.session import Session
from mindleak.subjects.subject import subject_plans
from mindleak.subjects.task import headline_task
from mindleak.training.dp import DPSettings
from mindleak.training.loop import LoopTotals, TrainingLoop, make_optimizer
from mindleak.training.methods import METHODS, SECTIONS
from mindleak.training.pruning import PruneSettings
from mindleak.training.recipe import Recipe
from training_setup import Linear, arrays, seeded, weights

SMALL = ("model.name=lstm_rnn", "model.hidden_size=4", "membership.target_in=200", "membership.target_out=200",
         "membership.population=200", "membership.shadow_pool=600", "membership.shadows=2")
DP = ("training.method=dp_sgd", "dp.noise_multiplier=1.0")


def session(folder: Path, *assignments: str, base: tuple[str, ...] = SMALL) -> Session:
    return open_session(config.load(None, ["device.target=CPU", *base, *assignments]), str(folder / "run"),
                        str(folder / "ckpt"), "test")


def test_recipe_configuration_and_table_know_the_same_methods() -> None:
    assert tuple(METHODS) == NAMES
    for name, method in METHODS.items():
        assert (method.section is None) == (method.settings_type is None), name
    for section in SECTIONS:
        assert set(SCHEMA.defaults["membership"]) >= {section}
        assert section in SCHEMA.named_sections("subjects")


@pytest.mark.parametrize(("section", "settings", "given"), [
    ("dp", DPSettings, {"noise_multiplier": 1.0}), ("prune", PruneSettings, {}),
])
def test_the_configurations_defaults_are_the_settings_own(section: str, settings: type, given: dict) -> None:
    assert settings(**{**SCHEMA.defaults[section], **given}).as_dict() == settings(**given).as_dict()


@pytest.mark.parametrize(("first", "second"), [
    ((*DP,), (*DP, "dp.clip_norm=0.5")), ((*DP,), (*DP, "dp.delta=1e-6")), ((*DP,), ()),
    (("training.method=prune",), ("training.method=prune", "prune.sparsity=0.9")),
    (("training.method=prune",), ("training.method=prune", "prune.finetune_epochs=1")),
])
def test_a_stages_key_covers_the_methods_settings(tmp_path: Path, first: tuple[str, ...],
                                                  second: tuple[str, ...]) -> None:
    inputs = []
    for folder, assignments in (("a", first), ("b", second)):
        (plan,) = subject_plans(session(tmp_path / folder, *assignments))
        inputs.append(headline_task(plan)._inputs)
    assert inputs[0] != inputs[1]


def test_an_unused_section_is_no_part_of_a_key(tmp_path: Path) -> None:
    inputs = []
    both = ("subjects.plain.training.method=ordinary", "subjects.pruned.training.method=prune")
    for folder, assignments in (("a", both), ("b", (*both, "prune.sparsity=0.5"))):
        plain, pruned = subject_plans(session(tmp_path / folder, *assignments))
        inputs.append(headline_task(plain)._inputs)
        assert headline_task(pruned).settings.sparsity == (0.95 if folder == "a" else 0.5)
    assert inputs[0] == inputs[1]


def test_shadows_of_a_private_subject_are_as_private(tmp_path: Path) -> None:
    (plan,) = subject_plans(session(tmp_path, *DP, "membership.dp.noise_multiplier=2.0"))
    planned = plan_membership(plan)
    assert headline_task(plan).settings.noise_multiplier == 1.0
    assert [task.training.settings for task in planned.tasks] == [DPSettings(noise_multiplier=2.0)] * 3
    assert {task.training.recipe.method for task in planned.tasks} == {"dp_sgd"}


@pytest.mark.slow
def test_a_private_subject_and_its_shadows_are_trained_and_recorded(tmp_path: Path) -> None:
    job = session(tmp_path, *DP, "training.epochs=2", "training.batch_size=50", "dp.accountant=rdp")
    (plan,) = subject_plans(job)
    task = headline_task(plan)
    task.check()
    metrics = task.run().metrics
    assert metrics["privacy"]["epsilon"] > 0
    assert metrics["privacy"]["sampling_rate"] == pytest.approx(50 / 1297)
    shadow = plan_membership(plan).shadows[0]
    assert shadow.training.run().metrics["privacy"]["sampling_rate"] == pytest.approx(50 / 200)
    assert task.run().cached


@pytest.mark.parametrize(("width", "parameters"), [("0.5", 15_727), ("1.0", 61_684)])
def test_the_width_reaches_the_network(tmp_path: Path, width: str, parameters: int) -> None:
    base = ("model.name=lenet5", "data.image_size=32", f"model.width={width}")
    (plan,) = subject_plans(session(tmp_path, base=base))
    assert count_parameters(plan.untrained) == parameters


def test_a_width_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    (plan,) = subject_plans(session(tmp_path, "model.width=0.5"))
    with pytest.raises(InputError, match="model.width is 0.5, and lstm_rnn has no width"):
        _ = plan.untrained


@pytest.mark.parametrize("name", ["lenet5", "lenet5_bias"])
def test_lenet5_keeps_its_names_at_any_width(name: str) -> None:
    plain, given, narrow, tiny = (build(name, (1, 32, 32), 10, 1, options)
                                  for options in ({}, {"width": 1.0}, {"width": 0.5}, {"width": 0.01}))
    assert list(weights(plain)) == list(weights(given)) == list(weights(narrow)) == list(weights(tiny))
    assert all(np.array_equal(one, other) for one, other in zip(weights(plain).values(), weights(given).values()))
    assert weights(narrow)["conv1.weight"].shape[0] == 3 and weights(narrow)["fc1.weight"].shape[0] == 60
    assert weights(tiny)["fc3.weight"].shape == (10, 1)
    assert tiny(Tensor(np.zeros((2, 1, 32, 32), np.float32))).shape == (2, 10)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_a_width_out_of_range_is_refused(width: float) -> None:
    with pytest.raises(InputError, match="model.width is"):
        build("lenet5", (1, 32, 32), 10, 1, {"width": width})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_is_added_to_the_gradient(optimizer: str) -> None:
    """L2, not decoupled (Loshchilov and Hutter, arXiv 1711.05101): decay goes through the optimiser's own scaling.

    With images of zero and one class the weights have no gradient but the decay's, so a step is known: −rate·decay·w
    where the optimiser is linear, and −rate·sign(w) for Adam's first one, whatever the decay.
    """
    rate, decay = 0.01, 0.5
    network = seeded(Linear)
    x, y = arrays(8)
    before = weights(network)["dense.weight"].astype(np.float64)
    recipe = Recipe(optimizer=optimizer, learning_rate=rate, weight_decay=decay)
    loop = TrainingLoop(network, make_optimizer(network, recipe), np.zeros_like(x), y)
    loop.run(Tensor(np.arange(8, dtype=np.int32)[None]), 0, 1, LoopTotals())
    step = weights(network)["dense.weight"] - before
    first = {"sgd": 1.0, "momentum": 1.0, "nesterov": 1.0 + recipe.momentum}
    expected = -rate * np.sign(before) if optimizer == "adam" else -rate * decay * before * first[optimizer]
    np.testing.assert_allclose(step, expected, rtol=1e-2, atol=1e-7)
