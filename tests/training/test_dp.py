"""DP-SGD: steps against arithmetic, sampling and noise against their laws, reproduction, resume, refusals."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy import stats

from cases import slow_but
from mindleak.errors import InputError
from mindleak.models.registry import build
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.dp import DPSettings, PoissonBatches, PrivateLoop, PrivateTraining, Promise
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.loop import LoopTotals, TrainingLoop, make_optimizer
from mindleak.training.noise import noise_blocks
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest, TrainingResult
from training_setup import CLASSES, SHAPE, Linear, Stochastic, arrays, data, quiet, same, seeded, weights

BATCH, SAMPLES = 8, 40
RECIPE = Recipe(method="dp_sgd", epochs=3, batch_size=BATCH, learning_rate=0.2)
SETTINGS = DPSettings(clip_norm=0.7, noise_multiplier=1.1, delta=1e-3, accountant="rdp")


def run(recipe: Recipe = RECIPE, settings: DPSettings = SETTINGS, folder: Path | None = None, seed: int = 5,
        resume: bool = False, network: nn.Cell | None = None, printer: EpochPrinter | None = None,
        samples: int = SAMPLES) -> TrainingResult:
    checkpoints = None if folder is None else CheckpointFolder(folder, "linear", samples // recipe.batch_size)
    return PrivateTraining.train(TrainingRequest(seeded(Linear) if network is None else network, data(samples),
                                                 recipe, seed, settings, printer=printer or quiet(recipe.epochs),
                                                 checkpoints=checkpoints, resume=resume))


def step(network: nn.Cell, recipe: Recipe, images: np.ndarray, labels: np.ndarray, order: np.ndarray,
         sizes: np.ndarray, expected: int, clip_norm: float, noise: float) -> tuple[LoopTotals, np.ndarray]:
    """Take the steps of ``order`` and return totals and, per step, the noise's normals."""
    loop = PrivateLoop(network, make_optimizer(network, recipe), images, labels, order.shape[1], expected, clip_norm,
                       noise)
    (normals,) = noise_blocks(1, 1, loop.coordinates, len(order), len(order))
    totals = LoopTotals()
    loop.run(Tensor(order.astype(np.int32)), Tensor(sizes.astype(np.int32)), Tensor(normals), 0, len(order), totals)
    return totals, normals


# --- steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1.3])
def test_the_steps_are_those_of_the_paper(noise: float) -> None:
    """Softmax regression in NumPy: clip per sample, sum, add the noise, divide by the expected size, step."""
    x, y = arrays(SAMPLES)
    network = seeded(Linear)
    weight, bias = (weights(network)[name].astype(np.float64) for name in ("dense.weight", "dense.bias"))
    order = np.array([[3, 1, 4, 15], [9, 2, 6, 5], [35, 8, 0, 0]])
    sizes = np.array([4, 3, 2])
    clip_norm, expected, rate = 1.05, 3, 0.5
    totals, normals = step(network, Recipe(learning_rate=rate), x, y, order, sizes, expected, clip_norm, noise)
    loss, clipped = 0.0, 0
    for row, size, normal in zip(order, sizes, normals):
        total = np.zeros(weight.size + bias.size)
        for sample in row[:size]:
            image = x[sample].ravel().astype(np.float64)
            logits = weight @ image + bias
            p = np.exp(logits - logits.max())
            p /= p.sum()
            loss -= math.log(p[y[sample]])
            error = p - np.eye(CLASSES)[y[sample]]
            gradient = np.concatenate([np.outer(error, image).ravel(), error])
            norm = np.linalg.norm(gradient)
            clipped += norm > clip_norm
            total += gradient * min(1, clip_norm / norm)
        total = (total + noise * clip_norm * normal) / expected
        weight -= rate * total[:weight.size].reshape(weight.shape)
        bias -= rate * total[weight.size:]
    assert 0 < clipped < sizes.sum()
    assert totals.loss == pytest.approx(loss, abs=1e-4)
    np.testing.assert_allclose(weights(network)["dense.weight"], weight, atol=1e-5)
    np.testing.assert_allclose(weights(network)["dense.bias"], bias, atol=1e-5)


@pytest.mark.parametrize("optimizer", slow_but(["sgd", "momentum", "nesterov", "adam"], "momentum"))
def test_without_noise_and_bound_it_is_ordinary_training_on_the_same_batches(optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, learning_rate=0.02, weight_decay=0.01)
    generator = np.random.default_rng(2)
    x = generator.random((24, 1, 16, 16)).astype(np.float32)
    y = (np.arange(24) % 10).astype(np.int32)
    order = generator.permutation(24).reshape(4, 6).astype(np.int32)
    private, ordinary = (build("lenet5_bias", (1, 16, 16), 10, 3) for _ in range(2))
    totals, _ = step(private, recipe, x, y, order, np.full(4, 6), 6, 1e6, 0.0)
    expected = LoopTotals()
    TrainingLoop(ordinary, make_optimizer(ordinary, recipe), x, y).run(Tensor(order), 0, 4, expected)
    assert totals.loss / 6 == pytest.approx(expected.loss, rel=1e-4)
    assert totals.correct == expected.correct
    for found, wanted in zip(weights(private).values(), weights(ordinary).values()):
        # Adam divides by the root of tiny second moments, which magnifies rounding.
        np.testing.assert_allclose(found, wanted, atol=2e-3 if optimizer == "adam" else 1e-5)


def test_the_noise_has_the_promised_size_and_hits_every_weight() -> None:
    # An empty batch moves the weights by the noise alone: standard deviation rate·σ·C/expected on each of them.
    network = build("lenet5", (1, 32, 32), 10, 0)
    before = weights(network)
    x, y = np.zeros((2, 1, 32, 32), np.float32), np.zeros(2, np.int32)
    step(network, Recipe(learning_rate=0.5), x, y, np.zeros((1, 2)), np.zeros(1), 4, 0.8, 1.5)
    moved = {name: (value - before[name]).ravel().astype(np.float64) for name, value in weights(network).items()}
    deviation = 0.5 * 1.5 * 0.8 / 4
    drawn = np.concatenate(list(moved.values())) / deviation
    assert len(drawn) == 61_684
    assert abs(drawn.mean()) < 5 / math.sqrt(len(drawn))
    assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / len(drawn))
    for name, values in moved.items():
        assert abs(values.std() / deviation - 1) < 5 / math.sqrt(2 * len(values)), name


# --- sampling ------------------------------------------------------------------------------------------------


def test_batches_are_poisson_samples() -> None:
    samples, rate, steps, epochs = 300, 0.1, 400, 3
    batches = PoissonBatches(samples, rate, steps, epochs, seed=4)
    taken = np.zeros((steps * epochs, samples), bool)
    for epoch in range(epochs):
        order, sizes = batches.epoch(epoch + 1)
        assert order.shape == (steps, batches.width)
        for row, (entries, size) in enumerate(zip(order, sizes)):
            assert len(set(entries[:size])) == size
            taken[epoch * steps + row, entries[:size]] = True
    counts = taken.sum(axis=1)
    assert counts.max() == batches.largest <= batches.width <= batches.largest * 9 / 8
    # Sizes: binomial mean and variance; samples: each in a batch with the rate; pairs: independent.
    drawn = len(counts)
    assert abs(counts.mean() - samples * rate) < 5 * math.sqrt(samples * rate * (1 - rate) / drawn)
    assert abs(counts.var() / (samples * rate * (1 - rate)) - 1) < 5 * math.sqrt(2 / drawn)
    per_sample = taken.sum(axis=0)
    assert stats.chisquare(per_sample).pvalue > 1e-6
    together = (taken[:, 0::2] & taken[:, 1::2]).mean()
    assert abs(together - rate**2) < 5 * math.sqrt(rate**2 / (drawn * samples / 2))


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    first, again = (PoissonBatches(100, 0.2, 7, 3, 5) for _ in range(2))
    again.epoch(1)
    for one, other in zip(first.epoch(2), again.epoch(2)):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first.epoch(2)[1], first.epoch(1)[1])
    assert not np.array_equal(first.epoch(1)[1], PoissonBatches(100, 0.2, 7, 3, 6).epoch(1)[1])


# --- whole trainings -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    first = weights(run().network)
    assert same(first, weights(run().network))
    assert not same(first, weights(run(seed=6).network))


class Interrupter(EpochPrinter):
    """Ctrl-C while the second epoch's line is printed."""

    def __init__(self) -> None:
        super().__init__("", 3, enabled=False)

    def epoch(self, record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path: Path, optimizer: str) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, schedule="cosine")
    whole = run(recipe)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder=tmp_path, printer=Interrupter())
    resumed = run(recipe, folder=tmp_path, resume=True)
    assert same(weights(resumed.network), weights(whole.network))
    assert resumed.record["privacy"] == whole.record["privacy"]
    assert len(resumed.history) == 3


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training's checkpoints."""
    folder = tmp_path_factory.mktemp("kept")
    run(folder=folder)
    return folder


@pytest.mark.parametrize("change", [{"clip_norm": 0.8}, {"noise_multiplier": 1.2}, {"delta": 1e-4}])
def test_a_checkpoint_of_other_settings_is_not_continued(kept: Path, change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="comes from other data"):
        run(settings=dataclasses.replace(SETTINGS, **change), folder=kept, resume=True)


def test_what_is_promised_stands_in_the_result_and_in_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    privacy = run(printer=EpochPrinter("", 3)).record["privacy"]
    assert privacy is not None
    promise = Promise.of(RECIPE, SETTINGS, SAMPLES)
    assert privacy["epsilon"] == promise.epsilon(3) > promise.epsilon(1) > 0
    assert (privacy["steps"], privacy["sampling_rate"], privacy["delta"]) == (15, 0.2, 1e-3)
    assert privacy["accountant"].startswith("rdp of dp-accounting 0.")
    assert any("Poisson" in line for line in privacy["assumptions"])
    printed = capsys.readouterr().out.splitlines()
    assert "noise multiplier 1.1, clipping norm 0.7, sampling rate 0.2, 5 steps an epoch" in printed[0]
    assert [f"epsilon {promise.epsilon(epoch):.3f} at delta 0.001" in printed[2 * epoch] for epoch in (1, 2, 3)] == [
        True] * 3


def test_a_target_epsilon_is_met() -> None:
    settings = DPSettings(target_epsilon=2.0, delta=1e-3, accountant="rdp")
    privacy = run(settings=settings).record["privacy"]
    assert privacy is not None
    assert 1.9 < privacy["epsilon"] <= 2.0
    assert privacy["noise_multiplier"] > 0.5


def test_without_noise_nothing_is_promised() -> None:
    privacy = run(settings=DPSettings(noise_multiplier=0.0, delta=1e-3)).record["privacy"]
    assert privacy is not None
    assert (privacy["epsilon"], privacy["reason"]) == (None, "no noise was added")


def test_it_learns() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=20, batch_size=40, learning_rate=1.0)
    history = run(recipe, DPSettings(noise_multiplier=0.5, delta=1e-3, accountant="rdp"), samples=400).history
    assert history[-1].val_accuracy > 0.6
    assert history[-1].train_loss < history[0].train_loss


def test_every_sample_counts_no_more_than_the_bound() -> None:
    """Neighbouring data sets, the same noise: one sample more moves the weights by rate·C/expected at most."""
    x, y = arrays(SAMPLES)
    moved = []
    for size in (4, 5):
        network = seeded(Linear)
        step(network, Recipe(learning_rate=1.0), x, y, np.arange(5)[None], np.array([size]), 1, 0.1, 1.0)
        moved.append(np.concatenate([value.ravel() for value in weights(network).values()]))
    assert np.linalg.norm(moved[1] - moved[0]) == pytest.approx(0.1, rel=1e-3)


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "message"), [
    ({"noise_multiplier": None}, "either dp.noise_multiplier or dp.target_epsilon"),
    ({"target_epsilon": 1.0}, "either dp.noise_multiplier or dp.target_epsilon"),
    ({"noise_multiplier": -1.0}, "dp.noise_multiplier is -1"), ({"noise_multiplier": math.nan}, "dp.noise_multiplier"),
    ({"clip_norm": 0.0}, "dp.clip_norm is 0"), ({"clip_norm": math.inf}, "dp.clip_norm is inf"),
    ({"noise_multiplier": None, "target_epsilon": 0.0}, "dp.target_epsilon is 0"),
    ({"delta": 1e-20, "accountant": "pld"}, "dp.delta is 1e-20; expected at least 1e-10 with dp.accountant pld"),
    ({"delta": 0.0}, "dp.delta is 0"), ({"delta": 1.0}, "dp.delta is 1"),
    ({"accountant": "moments"}, "dp.accountant 'moments' is unknown; one of pld, rdp"),
])
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SETTINGS, **change)


@pytest.mark.parametrize(("recipe", "settings", "message"), [
    ({"schedule": "plateau"}, {}, "'plateau', which follows the training loss"),
    ({}, {"delta": 0.025}, "dp.delta 0.025 is no promise for 40 training samples"),
    ({"batch_size": 41}, {}, "training.batch_size 41 is larger than the 40"),
])
def test_bad_combinations_are_refused_before_training(recipe: dict[str, object], settings: dict[str, object],
                                                      message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrivateTraining.check(seeded(Linear), SHAPE, dataclasses.replace(RECIPE, **recipe),
                              dataclasses.replace(SETTINGS, **settings), SAMPLES)


def test_batch_statistics_are_refused() -> None:
    with pytest.raises(InputError, match="BatchNorm1d with trainable parameters"):
        run(network=seeded(Stochastic))


def test_a_diverging_training_says_so() -> None:
    with pytest.raises(InputError, match="dp_sgd training diverged in epoch"):
        run(dataclasses.replace(RECIPE, learning_rate=1e38), dataclasses.replace(SETTINGS, noise_multiplier=100.0))
