"""The batched engine: held to MindArmour pixel by pixel, to its definitions, and to what it must survive."""

from __future__ import annotations

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from cases import slow_but
from mindleak import device
from mindleak.attacks.inversion.batched import ADAM, OPTIMIZERS, SIGN, BatchedInversion
from mindleak.attacks.inversion.controls import invert_identity, invert_identity_regularised
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.inversion.objective import (
    ASCEND_MEAN,
    CPU_SUM,
    ISOTROPIC,
    TV_KINDS,
    objective,
    total_variation,
    variation_with_gradient,
)
from mindleak.attacks.inversion.result import feature_distance, mean_squares, random_starts
from mindleak.data.catalogue import load
from mindleak.errors import InputError
from mindleak.evaluation.images import psnr
from mindleak.models import registry
from mindleak.quiet import import_mindarmour, mindarmour_call

WEIGHTS = (1.0, 0.1, 5.0)
NETWORKS = {"lenet5": ((1, 16, 16), "fc1"), "lstm_rnn": ((1, 12, 12), "last")}
VARIATIONS = [(tv, optimizer) for tv in TV_KINDS for optimizer in OPTIMIZERS]
INVERSIONS = {"sign": BatchedInversion("fc1"), "adam": BatchedInversion("fc1", optimizer=ADAM),
              "adam with restarts": BatchedInversion("fc1", 10, optimizer=ADAM, restarts=2, patience=20),
              "mindarmour": MindArmourInversion("fc1")}
IDENTITY = [(attack, shape) for attack in INVERSIONS for shape in ((1, 12, 12), (3, 11, 14))]


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def pictures(count: int, shape: tuple[int, int, int] = (1, 11, 13), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *shape)).astype(np.float32)


def digits(count: int, side: int) -> np.ndarray:
    return load("digits", None, side, "bilinear").x_train[:count]


class Pixels(nn.Cell):
    """Features are the pixels: what should come back is known, and every image is on its own."""

    def construct(self, x: Tensor) -> Tensor:
        return x.reshape((x.shape[0], -1))


class Dead(nn.Cell):
    """Features that are zero for images whose first pixel is below ½, and half of whose units never fire."""

    def construct(self, x: Tensor) -> Tensor:
        flat = x.reshape((x.shape[0], -1))
        alive = ops.relu(ops.sign(flat[:, :1] - 0.5))
        return ops.concat((flat * alive, ops.relu(flat - 5.0)), axis=1)


class Constant(nn.Cell):
    """Features that no pixel changes."""

    def __init__(self) -> None:
        super().__init__()
        self.value = Parameter(Tensor(np.arange(1, 6), ms.float32), name="value")

    def construct(self, x: Tensor) -> Tensor:
        return ops.zeros((x.shape[0], 5), ms.float32) * x.reshape((x.shape[0], -1))[:, :1] + self.value


class Beside(nn.Cell):
    """The pixels beside a large feature that the first of them only moves where it passes one half."""

    def construct(self, x: Tensor) -> Tensor:
        flat = x.reshape((x.shape[0], -1))
        return ops.concat((flat, 100 * ops.sign(flat[:, :1] - 0.5)), 1)


class Posterior(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return ops.softmax(x.reshape((x.shape[0], -1)), -1)


# --- total variation and objective -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 5)])
@pytest.mark.parametrize("kind", TV_KINDS)
def test_total_variation_is_one_known_by_hand(kind: str, shape: tuple[int, int, int]) -> None:
    side = shape[1]
    flat = np.full((1, *shape), 0.5)
    edge = flat.copy()
    edge[..., side // 2:] = 1.0  # one step of ½ between two columns
    lowest_row = (0.25 * (side // 2) + side - side // 2) / side**2
    known = {ISOTROPIC: (0.0, 0.5 / side), CPU_SUM: (0.0, 0.25),
             ASCEND_MEAN: (2 * 0.25 / side, 0.25 / side + lowest_row + 1 / side)}
    np.testing.assert_allclose(total_variation(np.concatenate([flat, edge]), kind), known[kind], rtol=5e-3, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 6, 6), (1, 5, 9), (3, 9, 4)])
@pytest.mark.parametrize("kind", TV_KINDS)
def test_the_devices_total_variation_and_gradient_are_the_definitions(kind: str, shape: tuple[int, int, int]) -> None:
    if kind == ASCEND_MEAN and shape[1] != shape[2]:
        pytest.skip("defined for square images only")
    images = pictures(3, shape)
    value, gradient = (part.asnumpy() for part in variation_with_gradient(kind, shape)(Tensor(images)))
    np.testing.assert_allclose(value, total_variation(images, kind), rtol=1e-5)
    step = 1e-5
    generator = np.random.default_rng(1)
    for _ in range(10):
        direction = generator.normal(size=images.shape)
        slope = (total_variation(images + step * direction, kind)
                 - total_variation(images - step * direction, kind)) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3)), slope, rtol=1e-3, atol=1e-6)


def test_the_isotropic_one_weighs_the_same_whatever_the_size() -> None:
    small = np.zeros((1, 1, 8, 8))
    small[..., 4:] = 1.0
    large = small.repeat(4, axis=2).repeat(4, axis=3)
    # Edges get relatively shorter: the mean gradient of a picture four times as large is a quarter.
    assert total_variation(small, ISOTROPIC)[0] == pytest.approx(4 * total_variation(large, ISOTROPIC)[0], rel=1e-2)


# --- equality with MindArmour ------------------------------------------------------------------------------------


def starts_as_mindarmour_draws(count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    generator = np.random.RandomState(seed)
    generator.random_sample((count, *shape))  # a forward pass that it makes first
    drawn = [generator.random_sample((1, *shape)).astype(np.float32) * 0.05 for _ in range(count)]
    return np.stack(drawn, axis=1)


class ByHand:
    """MindArmour's own loss, its CPU form or the other one, and its loop written out, one image at a time."""

    def __init__(self, cell: nn.Cell, shape: tuple[int, int, int], tv: str) -> None:
        import_mindarmour()
        from mindarmour.privacy.evaluation import ImageInversionAttack
        from mindarmour.utils.util import GradWrapWithLoss

        self.attack = ImageInversionAttack(cell, shape, (0, 1), list(WEIGHTS))
        self.attack._loss._device_target = "CPU" if tv == CPU_SUM else "Ascend"
        self.gradient = GradWrapWithLoss(self.attack._loss)

    def generate(self, targets: np.ndarray, iterations: int, seed: int) -> np.ndarray:
        with mindarmour_call(seed), device.graph_mode():
            found: np.ndarray = self.attack.generate(targets, iters=iterations)
        return found

    def path(self, start: np.ndarray, target: np.ndarray, iterations: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the image before every step, and the gradient there."""
        image, images, gradients = start.copy(), [], []
        with mindarmour_call(0), device.graph_mode():
            for _ in range(iterations):
                gradient = self.gradient(Tensor(image), Tensor(target)).asnumpy()
                images.append(image.copy())
                gradients.append(gradient)
                image = np.clip(image - np.sign(gradient) * 0.01, 0, 1).astype(np.float32)
        return images, gradients


@pytest.mark.parametrize("tv", [pytest.param(CPU_SUM, marks=pytest.mark.slow), ASCEND_MEAN])
@pytest.mark.parametrize("name", slow_but(NETWORKS, "lenet5"))
def test_it_is_mindarmour_image_by_image(name: str, tv: str) -> None:
    """Pixels are equal but where a gradient is zero to rounding: a sign that flips there costs .02 and spreads."""
    shape, layer = NETWORKS[name]
    images, iterations, seed = digits(3, shape[1]), 100, 11
    starts = starts_as_mindarmour_draws(3, shape, seed)
    attack = BatchedInversion(layer, iterations, WEIGHTS, tv=tv)
    ours = attack.attack(registry.build(name, shape, 10, 5), images, starts)

    cell = registry.build(name, shape, 10, 5).until(layer)
    targets = cell(Tensor(images)).asnumpy()
    by_hand = ByHand(cell, shape, tv)
    theirs = by_hand.generate(targets, iterations, seed)
    distance = feature_distance(cell(Tensor(theirs)).asnumpy(), targets)
    final = objective(theirs, distance, mean_squares(targets), tv, WEIGHTS)
    same = 0
    for index in range(3):
        equal = np.abs(ours.inversions[index] - theirs[index]) < 1e-5
        if equal.mean() >= 0.999:
            same += 1
            assert ours.objective[index] == pytest.approx(final[index], rel=1e-3)
        else:
            _assert_first_difference_is_a_tie(attack, by_hand, starts, images, index, name)
    assert same >= 2, "ties between gradient and rounding are rare"


def _assert_first_difference_is_a_tie(attack: BatchedInversion, by_hand: ByHand, starts: np.ndarray,
                                      images: np.ndarray, index: int, name: str) -> None:
    # In the same batch: a kernel's last digit may depend on its neighbours.
    network = registry.build(name, images.shape[1:], 10, 5)
    target = network.until(attack.layer)(Tensor(images[[index]])).asnumpy()[0]
    path, gradients = by_hand.path(starts[0, index:index + 1], target, attack.iterations)
    for step, before in enumerate(path[1:], 1):
        ours = replace(attack, iterations=step).attack(network, images, starts).inversions[[index]]
        differing = np.abs(ours - before) > 1e-5
        if differing.any():
            last = np.abs(gradients[step - 1])
            assert last[differing].max() < 1e-4 * np.median(last)
            return
    pytest.fail("the images differ in the end and at no step before it")


@pytest.mark.slow
def test_features_of_any_layer_and_colour_follow_mindarmour_too() -> None:
    shape = (3, 16, 16)
    starts = starts_as_mindarmour_draws(2, shape, 4)
    for layer in ("conv1", "logits"):
        network = registry.build("lenet5", shape, 10, 5)
        ours = BatchedInversion(layer, 8, WEIGHTS, tv=CPU_SUM).attack(network, pictures(2, shape), starts)
        cell = network.until(layer)
        theirs = ByHand(registry.build("lenet5", shape, 10, 5).until(layer), shape, CPU_SUM).generate(
            cell(Tensor(pictures(2, shape))).asnumpy(), 8, 4)
        np.testing.assert_allclose(ours.inversions, theirs, atol=1e-5)


# --- what it finds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attack", "shape"), slow_but(
    IDENTITY, ("sign", (1, 12, 12)), ("adam with restarts", (3, 11, 14)), ("mindarmour", (1, 12, 12))))
def test_the_identity_network_gives_the_image_back(attack: str, shape: tuple[int, int, int]) -> None:
    images = pictures(3, shape)
    found = invert_identity(INVERSIONS[attack], images)
    assert psnr(images, found.inversions).min() > 40
    assert found.feature_mse.max() < 1e-4 and not found.dead.any()
    # Under the tutorial's weights not even the pixels themselves give the image back.
    assert psnr(images, invert_identity_regularised(INVERSIONS[attack], images).inversions).max() < 30


@pytest.mark.parametrize(("name", "optimizer"), slow_but(
    [(name, optimizer) for name in NETWORKS for optimizer in OPTIMIZERS], ("lenet5", SIGN), ("lstm_rnn", ADAM)))
def test_features_come_closer_for_both_networks(name: str, optimizer: str) -> None:
    shape, layer = NETWORKS[name]
    network = registry.build(name, shape, 10, 5)
    images = digits(4, shape[1])
    attack = BatchedInversion(layer, 60, (1.0, 0.01, 0.01), optimizer=optimizer)
    found = attack.attack(network, images)
    cell = network.until(layer)
    features = cell(Tensor(images)).asnumpy()
    before = feature_distance(cell(Tensor(random_starts(images.shape, 0))).asnumpy(), features)
    assert (found.feature_mse < 0.5 * before).all()
    np.testing.assert_allclose(found.feature_mse, feature_distance(cell(Tensor(found.inversions)).asnumpy(), features),
                               rtol=1e-4)
    assert found.inversions.min() >= 0 and found.inversions.max() <= 1 and found.inversions.dtype == np.float32


@pytest.mark.parametrize(("tv", "optimizer"), slow_but(VARIATIONS, (ISOTROPIC, ADAM), (CPU_SUM, SIGN)))
def test_images_do_not_mix_and_chunks_change_nothing(tv: str, optimizer: str) -> None:
    images, network = pictures(7, (1, 12, 12)), Pixels()
    attack = BatchedInversion("logits", 12, tv=tv, optimizer=optimizer, restarts=2, patience=4)
    whole = attack.attack(network, images)
    chunked = replace(attack, batch_size=4).attack(Pixels(), images)
    np.testing.assert_allclose(whole.inversions, chunked.inversions, atol=1e-6)
    others = images.copy()
    others[1:] = 1 - others[1:]
    np.testing.assert_allclose(attack.attack(network, others).inversions[0], whole.inversions[0], atol=1e-6)


def test_more_restarts_never_end_higher() -> None:
    network, images = registry.build("lenet5", (1, 16, 16), 10, 5), digits(5, 16)
    once, often = (BatchedInversion("fc1", 15, restarts=restarts).attack(network, images) for restarts in (1, 3))
    assert (often.objective <= once.objective + 1e-9).all()
    unchanged = often.objective == once.objective
    np.testing.assert_array_equal(often.inversions[unchanged], once.inversions[unchanged])


def test_every_restart_is_an_attempt_of_its_own() -> None:
    images = pictures(2, (1, 12, 12))
    starts = np.stack([1 - images, images, np.zeros_like(images)])
    found = BatchedInversion("logits", 3, (1.0, 0.0, 0.0), restarts=3).attack(Pixels(), images, starts)
    # The middle attempt begins at the answer.
    assert psnr(images, found.inversions).min() > 35


def test_a_converged_image_is_frozen_and_the_others_go_on() -> None:
    images = np.concatenate([np.full((1, 1, 12, 12), 0.02), np.full((1, 1, 12, 12), 0.9)]).astype(np.float32)
    starts = np.zeros((1, *images.shape), np.float32)
    attack = BatchedInversion("logits", 100, (1.0, 0.0, 0.0), patience=5)
    found = attack.attack(Pixels(), images, starts)
    assert found.iterations[0] < 15 and found.iterations[1] > 85
    np.testing.assert_allclose(found.inversions, images, atol=0.011)
    assert replace(attack, patience=0).attack(Pixels(), images, starts).iterations.tolist() == [100, 100]


def test_many_small_falls_in_a_row_are_progress() -> None:
    # Each step takes less than .01 % off the objective, five together more: from .01 on, up to about .3.
    images = np.full((1, 1, 12, 12), 0.6, np.float32)
    attack = BatchedInversion("logits", 40, (1.0, 0.0, 0.0), patience=5)
    steps = attack.attack(Beside(), images, np.zeros((1, *images.shape), np.float32)).iterations[0]
    assert 20 <= steps < 40


def test_adam_decays_its_step_and_ends_closer_than_the_fixed_step() -> None:
    images = pictures(3, (1, 12, 12))
    sign, adam = (BatchedInversion("logits", 120, (1.0, 0.0, 0.0), optimizer=name).attack(Pixels(), images)
                  for name in (SIGN, ADAM))
    assert (adam.feature_mse < 0.1 * sign.feature_mse).all()


def test_it_is_compiled_once_per_network_and_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    from mindleak.attacks.inversion import batched

    made = []
    compile_loop = batched._compile_loop
    monkeypatch.setattr(batched, "_compile_loop", lambda *arguments: made.append(1) or compile_loop(*arguments))
    attack, networks = BatchedInversion("logits", 2), (Pixels(), Pixels())
    for _ in range(3):
        for network in networks:
            attack.attack(network, pictures(2))
    attack.attack(networks[0], pictures(2, (1, 12, 12)))
    assert len(made) == 3


# --- what it must survive ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tv", "optimizer"), slow_but(VARIATIONS, (ISOTROPIC, SIGN), (ASCEND_MEAN, ADAM)))
def test_dead_features_are_flagged_and_harm_no_other_image(tv: str, optimizer: str) -> None:
    images = pictures(4, (1, 12, 12))
    images[:, 0, 0, 0] = [0.9, 0.1, 0.8, 0.2]
    starts = np.repeat(np.full((1, 1, 1, 12, 12), 0.6, np.float32), 4, axis=1)
    attack = BatchedInversion("logits", 6, tv=tv, optimizer=optimizer, patience=3)
    found = attack.attack(Dead(), images, starts)
    assert found.dead.tolist() == [False, True, False, True]
    assert np.isfinite(found.inversions).all() and np.isfinite(found.feature_mse).all()
    np.testing.assert_array_equal(found.inversions[[1, 3]], starts[0, [1, 3]])
    assert np.isinf(found.objective).tolist() == [False, True, False, True]
    alone = attack.attack(Dead(), images[[0, 2]], starts[:, [0, 2]])
    np.testing.assert_allclose(found.inversions[[0, 2]], alone.inversions, atol=1e-6)


def test_features_that_no_pixel_changes_are_dead() -> None:
    found = BatchedInversion("logits", 5).attack(Constant(), pictures(3))
    assert found.dead.all() and np.isfinite(found.inversions).all() and np.isfinite(found.objective).all()


def test_black_images_have_no_gradient_trouble() -> None:
    network = registry.build("lenet5_bias", (1, 16, 16), 10, 5)
    found = BatchedInversion("fc1", 10).attack(network, np.zeros((2, 1, 16, 16), np.float32))
    assert np.isfinite(found.inversions).all() and np.isfinite(found.objective).all() and not found.dead.any()


def test_the_network_is_left_as_it_was() -> None:
    network = registry.build("lstm_rnn", (1, 12, 12), 10, 5)
    before = [(parameter.name, parameter.asnumpy().copy()) for parameter in network.get_parameters()]
    BatchedInversion("last", 3).attack(network, digits(2, 12))
    for (name, values), parameter in zip(before, network.get_parameters()):
        assert parameter.name == name
        np.testing.assert_array_equal(parameter.asnumpy(), values)
    assert ms.get_context("mode") == ms.PYNATIVE_MODE and not network.training


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings, complaint", [
    ({"iterations": 0}, "inversion.iterations is 0"),
    ({"restarts": 0}, "inversion.restarts is 0; expected at least 1"),
    ({"patience": -1}, "inversion.patience is -1"),
    ({"batch_size": 0}, "inversion.batch_size is 0"),
    ({"tv": "anisotropic"}, "inversion.tv 'anisotropic' is unknown; did you mean 'isotropic'"),
    ({"optimizer": "adamw"}, "inversion.optimizer 'adamw' is unknown; did you mean 'adam'"),
    ({"loss_weights": (0, 1, 1)}, "inversion.loss_weights"),
    ({"loss_weights": (1, float("nan"), 1)}, "inversion.loss_weights"),
    ({"loss_weights": (1, 1)}, "inversion.loss_weights"),
])
def test_parameters_out_of_range_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        BatchedInversion("fc1", **settings)  # type: ignore[arg-type]


def test_images_of_another_shape_are_refused() -> None:
    network = registry.build("lenet5", (1, 16, 16), 10, 0)
    for attack in (BatchedInversion("fc1"), MindArmourInversion("fc1")):
        with pytest.raises(InputError, match=r"shape \(2, 1, 11, 13\); LeNet5 takes \(N, 1, 16, 16\)"):
            attack.attack(network, pictures(2))
        with pytest.raises(InputError, match="at least one image"):
            attack.attack(network, pictures(0, (1, 16, 16)))
    with pytest.raises(InputError, match=r"Pixels takes \(N, channels, height, width\)"):
        BatchedInversion("logits").attack(Pixels(), pictures(2)[0])


def test_a_network_that_fails_on_the_images_is_told_in_one_line() -> None:
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(9, 4))
    with pytest.raises(InputError, match=r"SequentialCell fails on images of shape \(2, 1, 11, 13\)"):
        BatchedInversion("logits").attack(network, pictures(2))


def test_probabilities_are_no_features() -> None:
    with pytest.raises(InputError, match="gives probabilities, so it lies after the softmax"):
        BatchedInversion("logits").attack(Posterior(), pictures(2))
    with pytest.raises(InputError, match="'softmax' would come after the logits of LeNet5.*known: conv1.pre"):
        BatchedInversion("softmax").attack(registry.build("lenet5", (1, 16, 16), 10, 0), pictures(1, (1, 16, 16)))


def test_mindarmours_other_total_variation_wants_square_images() -> None:
    with pytest.raises(InputError, match="square images only .* not 11x13"):
        BatchedInversion("logits", tv=ASCEND_MEAN).attack(Pixels(), pictures(1))
    assert BatchedInversion("logits", 2, tv=CPU_SUM).attack(Pixels(), pictures(1)).inversions.shape == (1, 1, 11, 13)


def test_starts_must_fit() -> None:
    with pytest.raises(InputError, match=r"starts have shape \(1, 2, 1, 11, 13\); expected \(3, 2, 1, 11, 13\)"):
        BatchedInversion("logits", restarts=3).attack(Pixels(), pictures(2), pictures(2)[None])
