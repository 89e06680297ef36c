"""Feature inversion: against analytic networks, against MindArmour called by hand, and the measures of its quality."""

from __future__ import annotations

import math
from collections.abc import Callable

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from cases import slow_but
from mindleak import device
from mindleak.attacks.inversion.layers import default_layer, features_cell
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.inversion.quality import measure
from mindleak.attacks.inversion.result import random_starts
from mindleak.errors import InputError
from mindleak.evaluation.images import ssim_mindarmour
from mindleak.models import registry
from mindleak.quiet import import_mindarmour
from mindleak.runs.atomic import json_text

SIDE = 11
LAYERS = {"lenet5": ((1, 16, 16), "fc1"), "lstm_rnn": ((1, 12, 12), "last")}


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


class Mixing(nn.Cell):
    """Features are an orthogonal mixture of all pixels, so exactly one image has them."""

    layer_names = ("mixed", "logits")

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = channels * SIDE * SIDE
        mixture = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
        self.mixture = Parameter(Tensor(mixture.astype(np.float32)), name="mixture")
        self.head = nn.Dense(size, 10)
        self.size = size

    def construct(self, x: Tensor) -> Tensor:
        return self.head(ops.matmul(x.reshape((-1, self.size)), self.mixture))

    def until(self, layer: str) -> nn.Cell:
        if layer != "mixed":
            raise InputError(f"layer '{layer}' does not exist")
        return Mixed(self)


class Mixed(nn.Cell):
    def __init__(self, network: Mixing) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x: Tensor) -> Tensor:
        return ops.matmul(x.reshape((-1, self.network.size)), self.network.mixture)


class Scaled(nn.Cell):
    """A Cell without named layers; ``factor`` times the pixels."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def construct(self, x: Tensor) -> Tensor:
        return x.reshape((x.shape[0], -1)) * self.factor


def pictures(count: int, channels: int = 1, side: int = SIDE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, channels, side, side)).astype(np.float32)


def even_judge(images: np.ndarray) -> np.ndarray:
    return np.zeros((len(images), 10))


def weakly_regularised(layer: str, iterations: int) -> MindArmourInversion:
    return MindArmourInversion(layer, iterations, (1.0, 1e-6, 1e-6), seed=3)


@pytest.mark.parametrize("channels", slow_but([1, 3], 1))
def test_an_invertible_layer_gives_the_image_back(channels: int) -> None:
    images = pictures(2, channels)
    network = Mixing(channels)
    result = weakly_regularised("mixed", 130).attack(network, images)
    found = measure(images, result.inversions, np.zeros(2, np.int32), even_judge, result.feature_mse).values
    start = measure(images, random_starts(images.shape, 3), np.zeros(2, np.int32), even_judge).values
    # Steps of .01 end within .01 of the pixel: 40 dB.
    assert found["psnr"].min() > 40 > 10 > start["psnr"].max()
    assert found["ssim"].min() > 0.99 and start["ssim"].max() < 0.3
    assert found["l2_relative"].max() < 0.02 and start["l2_relative"].min() > 0.8
    assert result.feature_mse.max() < 1e-3
    assert not result.dead.any()
    assert result.inversions.dtype == np.float32
    assert result.inversions.min() >= 0 and result.inversions.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_the_call_is_mindarmours_own_to_the_last_bit(name: str) -> None:
    shape, layer = LAYERS[name]
    images = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    ours = MindArmourInversion(layer, 4, (1.0, 0.1, 5.0), seed=11).attack(registry.build(name, shape, 10, 5), images)

    import_mindarmour()
    from mindarmour.privacy.evaluation import ImageInversionAttack

    cell = registry.build(name, shape, 10, 5).until(layer)
    targets = cell(Tensor(images)).asnumpy()
    state = np.random.get_state()
    with device.graph_mode():
        np.random.seed(11)
        by_hand = ImageInversionAttack(cell, shape, (0, 1), [1.0, 0.1, 5.0]).generate(targets, iters=4)
    np.random.set_state(state)
    np.testing.assert_array_equal(ours.inversions, by_hand)


@pytest.mark.parametrize("fails", [False, True])
def test_it_leaves_no_trace_behind(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import_mindarmour()
    from mindarmour.privacy.evaluation import ImageInversionAttack

    def generate(self: ImageInversionAttack, targets: np.ndarray, iters: int) -> np.ndarray:
        assert ms.get_context("mode") == ms.GRAPH_MODE
        np.random.random(5)
        if fails:
            raise RuntimeError("broken inside")
        return np.zeros((len(targets), 1, SIDE, SIDE))

    monkeypatch.setattr(ImageInversionAttack, "generate", generate)
    network = Mixing(1)
    names = [parameter.name for parameter in network.get_parameters()]
    np.random.seed(77)
    expected = np.random.RandomState(77).random(3)
    if fails:
        with pytest.raises(RuntimeError, match="broken inside"):
            MindArmourInversion("mixed").attack(network, pictures(1))
    else:
        MindArmourInversion("mixed").attack(network, pictures(1))
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
    np.testing.assert_array_equal(np.random.random(3), expected)
    # MindArmour's loss Cell holds the network and so renames its parameters: a checkpoint saved afterwards,
    # or a digest taken, would no longer be that of this network.
    assert [parameter.name for parameter in network.get_parameters()] == names


def test_features_that_are_zero_are_flagged_and_harm_no_other_image() -> None:
    images = pictures(3)
    images[1] = 0.0
    result = weakly_regularised("mixed", 3).attack(Mixing(1), images)
    assert result.dead.tolist() == [False, True, False]
    assert np.isfinite(result.inversions).all() and np.isfinite(result.feature_mse).all()
    np.testing.assert_array_equal(result.inversions[1], random_starts(images.shape, 3)[1])


def test_features_whose_square_float32_cannot_hold_are_dead_too() -> None:
    result = MindArmourInversion("logits", 3).attack(Scaled(1e-25), pictures(2))
    assert result.dead.all() and np.isfinite(result.inversions).all()


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="'logits' of Scaled gives numbers that are not finite"):
        MindArmourInversion("logits").attack(Scaled(float("inf")), pictures(1))


def test_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="at least one image"):
        MindArmourInversion("logits").attack(Scaled(1.0), pictures(0))


def test_a_layer_that_does_not_exist_is_refused_with_the_nearest() -> None:
    network = registry.build("lenet5", (1, 16, 16), 10, 0)
    with pytest.raises(InputError, match="'fc_1' does not exist in LeNet5; did you mean 'fc1'"):
        MindArmourInversion("fc_1").attack(network, pictures(1, side=16))
    with pytest.raises(InputError, match="'fc1' does not exist in Scaled: .* offers 'logits' only"):
        features_cell(Scaled(1.0), "fc1")


def test_the_default_layer_is_the_last_before_the_logits() -> None:
    assert default_layer(registry.build("lenet5", (1, 16, 16), 10, 0)) == "fc1"
    assert default_layer(registry.build("lstm_rnn", (1, 12, 12), 10, 0)) == "last"
    assert default_layer(Mixing(1)) == "mixed"
    nameless = Scaled(1.0)
    assert default_layer(nameless) == "logits"
    assert features_cell(nameless, "logits") is nameless
    nameless.layer_names = ("hidden", "logits")
    assert default_layer(nameless) == "logits", "names without until() cannot be used"


@pytest.mark.parametrize("iterations, weights, named", [
    (0, (1, 0.1, 5), "iterations"),
    (5, (1, 0.1), "loss_weights"),
    (5, (1, 0, 5), "loss_weights"),
    (5, (1, float("nan"), 5), "loss_weights"),
    (5, (1, -1.0, 5), "loss_weights"),
])
def test_parameters_out_of_range_are_refused(iterations: int, weights: tuple[float, ...], named: str) -> None:
    with pytest.raises(InputError, match=f"inversion.{named}"):
        MindArmourInversion("fc1", iterations, weights)


def test_the_originals_themselves_are_perfect() -> None:
    images = pictures(4)
    quality = measure(images, images, np.arange(4, dtype=np.int32), even_judge, np.zeros(4))
    np.testing.assert_allclose(quality.values["ssim"], 1.0, atol=1e-12)
    np.testing.assert_allclose(quality.values["ssim_mindarmour"], 1.0, atol=1e-9)
    assert not quality.values["l2"].any() and not quality.values["l2_relative"].any()
    record = quality.as_json()
    assert record["psnr"]["value"] is None and "infinite" in record["psnr"]["reason"]
    assert record["feature_mse"]["value"] == 0
    json_text(record)


def test_an_empty_original_has_no_relative_distance_and_breaks_nothing() -> None:
    images = pictures(3)
    images[0] = 0.0
    record = measure(images, pictures(3, seed=5), np.zeros(3, np.int32), even_judge).as_json()
    assert "1 of 3 values are undefined" in record["l2_relative"]["reason"]
    json_text(record)


def certain_of(wanted: list[int], certainty: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a judge that gives class ``wanted[i]`` of ten the probability ``certainty`` on image i."""

    def judge(images: np.ndarray) -> np.ndarray:
        logits = np.full((len(images), 10), math.log((1 - certainty) / 9))
        logits[np.arange(len(images)), wanted] = math.log(certainty)
        return logits

    return judge


def test_confidence_and_accuracy_are_the_judges() -> None:
    images = pictures(4)
    labels = np.array([1, 2, 3, 4], np.int32)
    quality = measure(images, images, labels, certain_of([1, 2, 3, 9], 0.7))
    np.testing.assert_allclose(quality.values["confidence"], [0.7, 0.7, 0.7, 0.3 / 9])
    assert quality.metrics()["judge_accuracy"].value == 0.75
    assert quality.predicted.tolist() == [1, 2, 3, 9]


@pytest.mark.parametrize("channels", [1, 3])
def test_mindarmours_ssim_is_mindarmours(channels: int) -> None:
    import_mindarmour()
    from mindarmour.utils.util import compute_ssim

    first, second = pictures(3, channels), pictures(3, channels, seed=9)
    expected = [compute_ssim(one.transpose(1, 2, 0), two.transpose(1, 2, 0)) for one, two in zip(first, second)]
    np.testing.assert_allclose(ssim_mindarmour(first, second), expected, rtol=1e-12)


def test_doing_nothing_shows_in_every_measure() -> None:
    images = pictures(6, side=16)
    start = random_starts(images.shape, 0)
    assert start.min() >= 0 and start.max() < 0.05
    better = np.clip(images + 0.1, 0, 1)
    labels = np.zeros(6, np.int32)
    nothing, close = (measure(images, offered, labels, even_judge).values for offered in (start, better))
    for name in ("l2", "l2_relative"):
        assert (nothing[name] > close[name]).all()
    for name in ("ssim", "ssim_mindarmour", "psnr"):
        assert (nothing[name] < close[name]).all()
