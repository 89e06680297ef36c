"""Networks: sizes, names, layers, the classifier contract, the registry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindleak.errors import InputError
from mindleak.models.base import count_parameters
from mindleak.models.fcnet import FCNet
from mindleak.models.lenet5 import LeNet5, LeNet5Bias
from mindleak.models.own_file import source
from mindleak.models.registry import CLASSIFIERS, build, check_output

GREY, SMALL, COLOUR = (1, 32, 32), (1, 28, 28), (3, 32, 32)

OWN_NET = """
from mindspore import nn

class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.dense = nn.Dense({inputs}, {classes})

    def construct(self, x):
        return self.dense(self.flatten(x)){tail}
"""


def images(shape: tuple[int, ...], n: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


def weights(network: nn.Cell) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}


def own_net(path: Path, inputs: int = 784, classes: int = 10, tail: str = "") -> Path:
    path.write_text(OWN_NET.format(inputs=inputs, classes=classes, tail=tail))
    return path


# --- sizes and names ---------------------------------------------------------------------------------------


def test_lenet5_has_61684_parameters_with_the_names_the_tutorial_masks() -> None:
    network = LeNet5()
    assert count_parameters(network) == 61_684
    assert {name: value.shape for name, value in weights(network).items()} == {
        "conv1.weight": (6, 1, 5, 5), "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400), "fc1.bias": (120,), "fc2.weight": (84, 120), "fc2.bias": (84,),
        "fc3.weight": (10, 84), "fc3.bias": (10,)}
    assert [p.name for p in network.trainable_params()].index("fc3.weight") == 6


def test_lenet5_bias_has_61706_parameters() -> None:
    network = LeNet5Bias()
    assert count_parameters(network) == 61_706
    assert weights(network)["conv1.bias"].shape == (6,)
    assert weights(network)["conv2.bias"].shape == (16,)


def test_lenet5_draws_weights_and_biases_with_deviation_002() -> None:
    for name, value in weights(build("lenet5", GREY, 10, 3)).items():
        # MindSpore's TruncatedNormal cuts at ±2, not at two deviations; four standard errors of the deviation.
        assert value.std() == pytest.approx(0.02, rel=4 / np.sqrt(2 * value.size)), name


def test_lenet5_convolutions_are_valid_and_lenet5_bias_pads_the_first() -> None:
    valid, padded = LeNet5(), LeNet5Bias()
    assert valid.until("conv1")(Tensor(images(GREY))).shape == (4, 6, 28, 28)
    assert valid.until("conv2")(Tensor(images(GREY))).shape == (4, 16, 10, 10)
    assert padded.until("conv1")(Tensor(images(SMALL))).shape == (4, 6, 28, 28)
    assert padded.until("conv2")(Tensor(images(SMALL))).shape == (4, 16, 10, 10)


def test_first_convolution_equals_one_written_in_numpy() -> None:
    network = build("lenet5", COLOUR, 10, 1)
    x = images(COLOUR, 2)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (5, 5), axis=(2, 3))
    expected = np.einsum("nchwij,ocij->nohw", windows, weights(network)["conv1.weight"])
    np.testing.assert_allclose(network.until("conv1.pre")(Tensor(x)).asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_bias", "lstm_rnn"])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 32), (1, 28, 28), (3, 20, 37), (1, 16, 16)])
def test_classifiers_take_one_or_three_channels_and_other_sizes(name: str, shape: tuple[int, int, int]) -> None:
    network = build(name, shape, 7, 0)
    assert network(Tensor(images(shape, 3))).shape == (3, 7)
    assert network.input_shape == shape
    assert network.num_classes == 7


@pytest.mark.parametrize(("name", "shape"), [("lenet5", (1, 15, 32)), ("lenet5_bias", (1, 28, 11))])
def test_images_too_small_for_a_convolution_are_refused(name: str, shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least 1[26]x1[26] pixels"):
        build(name, shape, 10, 0)


def test_smallest_images_still_work() -> None:
    assert build("lenet5", (1, 16, 16), 10, 0)(Tensor(images((1, 16, 16)))).shape == (4, 10)
    assert build("lenet5_bias", (1, 12, 12), 10, 0)(Tensor(images((1, 12, 12)))).shape == (4, 10)


# --- the classifier contract -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), [("lenet5", GREY), ("lenet5_bias", SMALL), ("lstm_rnn", SMALL)])
def test_last_layer_is_the_logits_and_every_named_layer_can_be_reached(name: str, shape: tuple[int, int, int]) -> None:
    network = build(name, shape, 10, 0)
    x = Tensor(images(shape))
    assert network.layer_names[-1] == "logits"
    for layer in network.layer_names:
        assert network.until(layer)(x).shape[0] == 4
    np.testing.assert_array_equal(network.until("logits")(x).asnumpy(), network(x).asnumpy())


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1", "fc2"])
def test_a_layer_is_its_pre_activation_after_relu(layer: str) -> None:
    network = build("lenet5", GREY, 10, 0)
    x = Tensor(images(GREY, 16))
    before = network.until(f"{layer}.pre")(x).asnumpy()
    after = network.until(layer)(x).asnumpy()
    assert (before < 0).any()
    assert (after > 0).any()
    np.testing.assert_array_equal(after, np.maximum(before, 0))


def test_until_shares_parameters_without_renaming_them() -> None:
    network = build("lenet5", GREY, 10, 0)
    names = list(weights(network))
    cut = network.until("fc1")
    x = Tensor(images(GREY))
    before = cut(x).asnumpy()
    assert list(weights(network)) == names
    assert list(weights(cut)) == names
    network.fc1.weight.set_data(Tensor(weights(network)["fc1.weight"] * 2))
    network.fc1.bias.set_data(Tensor(weights(network)["fc1.bias"] * 2))
    np.testing.assert_allclose(cut(x).asnumpy(), 2 * before, rtol=1e-5, atol=1e-7)


def test_unknown_layer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"layer 'fc1.per' does not exist in LeNet5.*'fc1.pre'"):
        LeNet5().until("fc1.per")


# --- FCNet -------------------------------------------------------------------------------------------------


def test_fcnet_is_10_20_2_and_its_hidden_layer_comes_on_request() -> None:
    network = FCNet(return_hidden=True)
    assert {name: value.shape for name, value in weights(network).items()} == {
        "fc1.weight": (20, 10), "fc1.bias": (20,), "fc2.weight": (2, 20), "fc2.bias": (2,)}
    x = images((10,), 5) - 0.5
    outputs, hidden = network(Tensor(x))
    values = weights(network)
    expected = np.maximum(x @ values["fc1.weight"].T + values["fc1.bias"], 0)
    assert hidden.shape == (5, 20)
    np.testing.assert_allclose(hidden.asnumpy(), expected, atol=1e-6)
    np.testing.assert_allclose(outputs.asnumpy(), expected @ values["fc2.weight"].T + values["fc2.bias"], atol=1e-6)
    assert FCNet(7, 5, 3)(Tensor(images((7,)))).shape == (4, 3)


# --- registry ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), [("lenet5", GREY), ("lenet5_bias", SMALL), ("lstm_rnn", SMALL)])
def test_equal_seeds_give_bit_equal_weights_and_other_seeds_others(name: str, shape: tuple[int, int, int]) -> None:
    first, again, other = (weights(build(name, shape, 10, seed)) for seed in (1, 1, 2))
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
        if first[key].any():
            assert not np.array_equal(first[key], other[key]), key


def test_building_leaves_numpys_global_random_state_alone() -> None:
    np.random.seed(11)
    expected = np.random.random(3)
    np.random.seed(11)
    for name, shape in (("lenet5", GREY), ("lstm_rnn", SMALL)):
        build(name, shape, 10, 4)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_building_does_not_depend_on_what_was_drawn_before() -> None:
    first = weights(build("lstm_rnn", SMALL, 10, 4))
    np.random.random(100)
    build("lenet5", GREY, 10, 9)
    for key, value in weights(build("lstm_rnn", SMALL, 10, 4)).items():
        np.testing.assert_array_equal(first[key], value)


def test_a_built_network_is_in_evaluation_mode() -> None:
    assert build("lenet5", GREY, 10, 0).training is False


def test_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"model 'lenet' is unknown; did you mean 'lenet5.*path/to/net.py:ClassName"):
        build("lenet", GREY, 10, 0)


def test_a_cell_from_the_users_file_is_built_by_seed(tmp_path: Path) -> None:
    reference = f"{own_net(tmp_path / 'net.py')}:Net"
    first, again, other = (weights(build(reference, SMALL, 10, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["dense.weight"], again["dense.weight"])
    assert not np.array_equal(first["dense.weight"], other["dense.weight"])


def test_two_files_of_one_name_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    from mindleak.training.loop import Predictor

    for folder, tail in (("a", ""), ("b", " * 0 + 5")):
        (tmp_path / folder).mkdir()
        own_net(tmp_path / folder / "net.py", tail=tail)
    first = build(f"{tmp_path / 'a' / 'net.py'}:Net", SMALL, 10, 1)
    second = build(f"{tmp_path / 'b' / 'net.py'}:Net", SMALL, 10, 1)
    x = images(SMALL)
    # Compiled now, from source that the graph parser looks up by the module's name.
    assert not (Predictor(first)(x) == 5).any()
    assert (Predictor(second)(x) == 5).all()


def test_file_source_changes_with_the_file(tmp_path: Path) -> None:
    path = own_net(tmp_path / "net.py")
    before = source(f"{path}:Net")
    path.write_text(path.read_text() + "# changed\n")
    assert before is not None
    assert source(f"{path}:Net") != before
    assert source("lenet5") is None


@pytest.mark.parametrize(("source", "name", "message"), [
    (None, "Net", "does not exist"),
    ("import not_there_at_all", "Net", "does not import: ModuleNotFoundError"),
    ("def broken(:", "Net", "does not import: SyntaxError"),
    ("raise SystemExit(3)", "Net", "does not import: SystemExit"),
    (OWN_NET.format(inputs=784, classes=10, tail=""), "Nett", "has no class 'Nett'; did you mean 'Net'"),
    ("Net = 3", "Net", "is no mindspore.nn.Cell"),
    (OWN_NET.format(inputs=784, classes=10, tail="").replace("(self):", "(self, width):"), "Net",
     r"cannot be made by calling Net\(\): TypeError"),
    (OWN_NET.format(inputs=784, classes=3, tail=""), "Net", r"returns shape \(2, 3\).*expected \(2, 10\)"),
    (OWN_NET.format(inputs=99, classes=10, tail=""), "Net", r"fails on images of shape \(1, 28, 28\)"),
    (OWN_NET.format(inputs=784, classes=10, tail=", x"), "Net", r"returns a tuple for 2 images"),
], ids=["missing", "import", "syntax", "exit", "class", "no cell", "constructor", "classes", "input", "tuple"])
def test_an_unusable_model_file_is_refused_in_one_line(tmp_path: Path, source: str | None, name: str,
                                                       message: str) -> None:
    path = tmp_path / "net.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(InputError, match=message) as refusal:
        build(f"{path}:{name}", SMALL, 10, 0)
    assert "\n" not in str(refusal.value)


def test_a_model_of_ones_own_takes_no_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes no option 'hidden_size'"):
        build(f"{own_net(tmp_path / 'net.py')}:Net", SMALL, 10, 0, {"hidden_size": 3})


def test_checking_a_network_leaves_its_batch_statistics_alone() -> None:
    network = nn.SequentialCell(nn.BatchNorm2d(1), nn.Flatten(), nn.Dense(784, 10))
    network.set_train(True)
    before = weights(network)
    check_output(network, SMALL, 10, "normed")
    for key, value in weights(network).items():
        np.testing.assert_array_equal(value, before[key])


def test_recurrent_networks_train_twenty_epochs_by_default_and_others_ten() -> None:
    from mindleak import settings as config
    from mindleak.subjects.subject import SubjectPlan

    merged = {name: config.load(None, [f"model.name={name}"]) for name in CLASSIFIERS}
    epochs = {name: SubjectPlan(SimpleNamespace(config=own), name, own).recipe().epochs for name, own in merged.items()}
    assert epochs == {"lenet5": 10, "lenet5_bias": 10, "lstm_rnn": 20, "recurrent": 20, "lstm_rnn_centred": 20}
