"""The recurrent family against its equations in NumPy, forwards and, by finite differences, backwards."""

from __future__ import annotations

import json
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor, ops

from command import SMALL, assert_refused, call
from mindleak import device
from mindleak.errors import InputError
from mindleak.models.base import count_parameters
from mindleak.models.recurrent import Recurrent
from mindleak.models.registry import build, label
from records import results

SEVERAL = [
    {"cell": "rnn"}, {"cell": "gru"}, {"cell": "lstm"}, {"cell": "clockwork"},
    {"cell": "clockwork", "periods": [3, 1]},
    {"cell": "gru", "layers": 2},
    {"cell": "rnn", "bidirectional": True},
    {"cell": "lstm", "layers": 2, "bidirectional": True},
    {"cell": "clockwork", "layers": 2, "bidirectional": True, "periods": 2},
]
NAMES = ["-".join(map(str, options.values())) for options in SEVERAL]
Values = dict[str, np.ndarray]


def images(shape: tuple[int, ...], n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((n, *shape), dtype=np.float32)


def weights(network: Recurrent) -> Values:
    return {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in network.get_parameters()}


# --- the equations -----------------------------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_step(given: np.ndarray, own: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gates in the order input, forget, cell, output (Hochreiter and Schmidhuber with Gers' forget gate)."""
    enter, forget, candidate, leave = np.split(given + own, 4, axis=1)
    cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
    return sigmoid(leave) * np.tanh(cell), cell


def gru_step(given: np.ndarray, own: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gates in the order reset, update, new (Cho et al., in the variant of cuDNN: reset after the product)."""
    (r_in, z_in, n_in), (r_own, z_own, n_own) = np.split(given, 3, axis=1), np.split(own, 3, axis=1)
    update = sigmoid(z_in + z_own)
    return (1 - update) * np.tanh(n_in + sigmoid(r_in + r_own) * n_own) + update * hidden, cell


def elman_step(given: np.ndarray, own: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.tanh(given + own), cell


STEPS = {"lstm": lstm_step, "gru": gru_step, "rnn": elman_step, "clockwork": elman_step}


def periods_of(options: dict[str, Any]) -> list[int]:
    """Periods of the modules in rising order; an Elman network has one."""
    periods = options.get("periods", 4) if options["cell"] == "clockwork" else [1]
    return sorted(periods) if isinstance(periods, list) else [2**module for module in range(periods)]


def direction(options: dict[str, Any], values: Values, place: str, x: np.ndarray) -> np.ndarray:
    """States (N, T, H) of one layer in one direction."""
    cell, size = options["cell"], options["hidden_size"]
    w_in, b_in, b_hid = (values[f"{cell}.{kind}_{place}"] for kind in ("weight_ih", "bias_ih", "bias_hh"))
    periods = periods_of(options)
    clock = np.repeat(periods, size // len(periods))
    if cell == "clockwork":
        w_hid = np.zeros((size, size))
        for period in periods:
            # Units of this period hear from units of this and longer ones.
            w_hid[np.ix_(clock == period, clock >= period)] = values[f"{cell}.weight_hh_{place}_t{period}"]
    else:
        w_hid = values[f"{cell}.weight_hh_{place}"]
    hidden = memory = np.zeros((len(x), size))
    states = []
    for t in range(x.shape[1]):
        moved, memory = STEPS[cell](x[:, t] @ w_in.T + b_in, hidden @ w_hid.T + b_hid, hidden, memory)
        hidden = np.where(t % clock == 0, moved, hidden)
        states.append(hidden)
    return np.stack(states, axis=1)


def in_numpy(options: dict[str, Any], values: Values, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All states of the top layer, what is classified, and the logits, in float64."""
    sequence = x.astype(np.float64)
    if options.get("sequence", "rows") == "rows":
        sequence = sequence.transpose(0, 2, 1, 3)
    sequence = sequence.reshape(*sequence.shape[:2], -1)
    for layer in range(options.get("layers", 1)):
        forward = direction(options, values, f"l{layer}", sequence)
        last, states = forward[:, -1], forward
        if options.get("bidirectional"):
            backward = direction(options, values, f"l{layer}_reverse", sequence[:, ::-1])
            last, states = (np.concatenate(both, axis=-1)
                            for both in ((last, backward[:, -1]), (forward, backward[:, ::-1])))
        sequence = states
    return sequence, last, last @ values["fc.weight"].T + values["fc.bias"]


@pytest.mark.parametrize("sequence", ["rows", "channels"])
@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 6, 5)], ids=["grey", "colour"])
@pytest.mark.parametrize("options", SEVERAL, ids=NAMES)
def test_every_cell_is_its_equations(options: dict[str, Any], shape: tuple[int, int, int], sequence: str) -> None:
    options = {**options, "hidden_size": 8, "sequence": sequence}
    network = build("recurrent", shape, 4, 5, options)
    x = images(shape)
    states, last, logits = in_numpy(options, weights(network), x)
    for layer, expected in ((options["cell"], states), ("last", last), ("logits", logits)):
        np.testing.assert_allclose(network.until(layer)(Tensor(x)).asnumpy(), expected, atol=2e-6, err_msg=layer)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["rnn", "gru", "lstm", "clockwork"]), st.integers(1, 3), st.booleans(), st.integers(1, 5),
       st.tuples(st.sampled_from([1, 3]), st.integers(1, 7), st.integers(1, 6)), st.integers(0, 9))
def test_the_equations_hold_for_any_size(cell: str, layers: int, both: bool, units: int, shape: tuple[int, int, int],
                                         seed: int) -> None:
    options = {"cell": cell, "layers": layers, "bidirectional": both,
               "hidden_size": 4 * units if cell == "clockwork" else units}
    network = build("recurrent", shape, 3, seed, options)
    x = images(shape, 2)
    np.testing.assert_allclose(network(Tensor(x)).asnumpy(), in_numpy(options, weights(network), x)[2], atol=5e-6)


@pytest.mark.parametrize("options", SEVERAL, ids=NAMES)
def test_gradients_are_the_finite_differences_of_the_equations(options: dict[str, Any]) -> None:
    options = {**options, "hidden_size": 8}
    network = build("recurrent", (1, 6, 5), 4, 5, options)
    x, truth = images((1, 6, 5)), np.array([0, 3, 1])

    def of_network(batch: Tensor) -> Tensor:
        return ops.cross_entropy(network(batch), Tensor(truth.astype(np.int32)), reduction="sum")

    def of_equations(pixels: np.ndarray, values: Values) -> float:
        logits = in_numpy(options, values, pixels)[2]
        shifted = logits - logits.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(3), truth]).sum())

    of_pixels, of_weights = ms.grad(of_network, 0, network.trainable_params())(Tensor(x))
    values, generator, step = weights(network), np.random.default_rng(1), 1e-5

    def slope(ahead: float, behind: float) -> float:
        return (ahead - behind) / (2 * step)

    towards = generator.normal(size=x.shape)
    wanted = slope(of_equations(x + step * towards, values), of_equations(x - step * towards, values))
    assert (of_pixels.asnumpy() * towards).sum() == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    for parameter, gradient in zip(network.trainable_params(), of_weights):
        name, towards = parameter.name, generator.normal(size=parameter.shape)
        ahead, behind = ({**values, name: values[name] + sign * step * towards} for sign in (1, -1))
        wanted = slope(of_equations(x, ahead), of_equations(x, behind))
        assert (gradient.asnumpy() * towards).sum() == pytest.approx(wanted, rel=1e-3, abs=1e-5), name


# --- the clockwork -----------------------------------------------------------------------------------------


def test_a_clockworks_modules_hold_between_ticks_and_hear_from_slower_ones_only() -> None:
    network = build("recurrent", (1, 9, 5), 4, 5, {"hidden_size": 8, "cell": "clockwork"})
    x = Tensor(images((1, 9, 5)))
    states = network.until("clockwork")(x).asnumpy()
    for step in range(1, 9):
        for module, period in enumerate((1, 2, 4, 8)):
            own = states[:, step - 1:step + 1, 2 * module:2 * module + 2]
            assert np.array_equal(own[:, 0], own[:, 1]) == (step % period != 0), (step, period)
    fast = network.clockwork.w_ih_list[0]
    fast.set_data(Tensor(fast.asnumpy() * np.float32([9] * 2 + [1] * 6)[:, None]))
    changed = network.until("clockwork")(x).asnumpy()
    assert not np.array_equal(changed[..., :2], states[..., :2])
    np.testing.assert_array_equal(changed[..., 2:], states[..., 2:])


def test_a_clockwork_of_equal_periods_is_the_elman_network() -> None:
    x = Tensor(images((1, 6, 5)))
    elman = build("recurrent", (1, 6, 5), 4, 5, {"hidden_size": 8, "cell": "rnn"})
    clockwork = build("recurrent", (1, 6, 5), 4, 5, {"hidden_size": 8, "cell": "clockwork", "periods": [1, 1]})
    np.testing.assert_allclose(clockwork(x).asnumpy(), elman(x).asnumpy(), atol=1e-6)
    assert count_parameters(clockwork) == count_parameters(elman)


# --- names and options -------------------------------------------------------------------------------------


def test_initialisation_is_uniform_within_the_inverse_root_of_hidden_size() -> None:
    values = weights(build("lstm_rnn", (1, 28, 28), 10, 0))
    largest = np.abs(values["lstm.weight_hh_l0"]).max()
    assert 0.95 / np.sqrt(128) < largest <= 1 / np.sqrt(128)


@pytest.mark.parametrize(("options", "message"), [
    ({"sequence": "columns"}, "known: channels, rows"),
    ({"hidden_size": 0}, "model.hidden_size is 0"),
    ({"layers": -1}, "model.layers is -1"),
    ({"cell": "gruu"}, "model.cell '.*' is unknown; did you mean 'gru'"),
    ({"cell": "gru", "periods": 2}, "the gru cell has no clock"),
    ({"cell": "clockwork", "periods": [1, 0]}, "whole numbers from 1 on"),
    ({"cell": "clockwork", "periods": 0}, "model.periods is 0"),
    ({"cell": "clockwork", "hidden_size": 10}, "expected a multiple of 4"),
    ({"hiden_size": 64}, "takes no option 'hiden_size'; did you mean 'hidden_size'"),
])
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("lstm_rnn", (1, 28, 28), 10, 0, options)


@pytest.mark.parametrize(("cell", "both", "expected"), [
    ("lstm", False, "lstm_rnn"), ("rnn", False, "rnn"), ("gru", True, "bidirectional_gru_rnn"),
    ("clockwork", False, "clockwork_rnn"),
])
def test_a_network_is_called_what_it_is(cell: str, both: bool, expected: str) -> None:
    assert label("recurrent", {"cell": cell, "bidirectional": both}) == expected
    assert label("lenet5", {"cell": cell, "bidirectional": both}) == "lenet5"


# --- through the command line ------------------------------------------------------------------------------


def test_a_trained_network_of_another_cell_predicts_and_an_unknown_cell_is_refused(
        capfd, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (*SMALL, "--model", "recurrent", "--set", "model.cell=gru", "--set", "model.hidden_size=16",
             "--set", "model.bidirectional=true")
    trained = call(capfd, "train", *words)
    assert trained.code == 0 and "bidirectional_gru_rnn with " in trained.out
    predicted = call(capfd, "predict", *words, "-n", "20")
    assert predicted.code == 0 and predicted.out.count("  predicted ") == 20
    misspelt = ["model.cell=gruu" if word == "model.cell=gru" else word for word in words]
    assert_refused(call(capfd, "train", *misspelt, "--run_dir", tmp_path / "other"), "did you mean 'gru'")


@pytest.mark.slow
def test_every_attack_takes_every_cell(capfd, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "cells.yaml"
    recipe.write_text("""
model: {name: recurrent, hidden_size: 16}
training: {epochs: 4, batch_size: 16, optimizer: adam, learning_rate: 0.01}
judge: {model: lenet5_bias, epochs: 2, batch_size: 16}
inversion: {layer: last, images: 4, iterations: 20}
membership: {attacks: [shadow, improved, lira_online], shadows: 2, references: 4, target_in: 200, target_out: 200}
data: {name: digits, image_size: 28}
subjects:
  gru: {model: {cell: gru, bidirectional: true}}
  elman: {model: {cell: rnn, layers: 2}}
  clockwork:
    model: {cell: clockwork}
    training: {method: suppress, optimizer: sgd, learning_rate: 0.2}
    suppress: {sparse_end: 0.5, start_epoch: 2, mask_times: 20}
""")
    outcome = call(capfd, "audit", "--config", recipe, "--run_dir", tmp_path / "run", "--ckpt_dir", tmp_path / "ckpt")
    assert outcome.code == 0, outcome.err
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    cells = {"gru", "elman", "clockwork"}

    def subjects(records: list[dict[str, Any]]) -> set[str]:
        return {record["subject"].rpartition("-")[0] for record in records}

    for attack in ("shadow", "improved"):
        found = results(document, "membership", "shadows")
        assert subjects([record for record in found if record["attack"] == attack]) == cells
    assert subjects(results(document, "membership", "references")) == subjects(results(document, "inversion")) == cells


def test_a_gru_that_ascend_cannot_run_is_refused_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "current", lambda: device.Device("Ascend", 0, 0, 1))
    with pytest.raises(InputError, match="model.hidden_size is 40; MindSpore's GRU on Ascend takes multiples of 16 "
                                         "only; nearest are 32 and 48"):
        Recurrent(cell="gru", hidden_size=40)
    with pytest.raises(InputError, match="nearest are 16 and 32"):
        Recurrent(cell="gru", hidden_size=20, bidirectional=True)
    Recurrent(cell="gru", hidden_size=32)
    Recurrent(cell="lstm", hidden_size=40)
