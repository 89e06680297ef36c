"""The native kernels against MindSpore's operators: values, gradients, training, and how they come to be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn, ops

from cases import slow_but
from command import SMALL, assert_refused, call, fresh
from mindleak import device, kernels
from mindleak.data import catalogue
from mindleak.errors import InputError
from mindleak.kernels import library
from mindleak.models.base import by_operators
from mindleak.models.registry import build
from mindleak.training import in_place
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop, epoch_order, make_optimizer
from mindleak.training.recipe import Recipe

device.configure("CPU")

NETWORKS: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("lenet5", (1, 32, 32), {}),
    ("lenet5", (3, 33, 17), {}),
    ("lenet5_bias", (1, 28, 28), {}),
    ("lenet5_bias", (3, 29, 31), {}),
    ("lstm_rnn", (1, 28, 28), {"hidden_size": 128}),
    ("lstm_rnn", (3, 9, 7), {"hidden_size": 21, "layers": 3}),
    ("lstm_rnn", (3, 9, 7), {"hidden_size": 70, "layers": 2, "sequence": "channels"}),
    ("recurrent", (1, 7, 9), {"cell": "gru", "hidden_size": 37}),
    ("recurrent", (3, 4, 5), {"cell": "rnn", "hidden_size": 70, "layers": 2, "bidirectional": True}),
    ("recurrent", (1, 5, 9), {"cell": "clockwork", "hidden_size": 84, "bidirectional": True}),
]


def built() -> kernels.Library:
    found = kernels.attempt()
    if not isinstance(found, kernels.Library):
        pytest.skip(found)
    return found


@pytest.fixture(autouse=True)
def _default_again() -> Iterator[None]:
    yield
    device.configure("CPU")


def made(which: str, name: str, shape: tuple[int, int, int], options: dict[str, Any]) -> Any:
    built()
    device.configure("CPU", kernels=which)
    return build(name, shape, 10, 5, options)


def same(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Close, measured by the largest of the expected numbers: float32 rounding, whatever the order of sums."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(np.abs(expected).max()) + 1e-30)


def gradients(function: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    found = ms.grad(function, tuple(range(len(inputs))))(*map(Tensor, inputs))
    return [each.asnumpy() for each in (found if isinstance(found, tuple) else (found,))]


# --- operators ---------------------------------------------------------------------------------------------


def whole(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: float32 sums of their products are exact, and many windows have equal maxima."""
    return generator.integers(-2, 3, shape).astype(np.float32)


def check_convolution(found: kernels.Library, batch: int, image: tuple[int, int, int], outputs: int, padding: int,
                      seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = (whole(generator, batch, *image), whole(generator, outputs, image[0], 5, 5), whole(generator, outputs))
    block = kernels.conv_block(found, padding)

    def expected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.MaxPool(2, 2)(ops.relu(ops.conv2d(x, weight, bias, padding=padding, pad_mode="pad")))

    pooled = expected(*map(Tensor, inputs)).asnumpy()
    assert np.array_equal(block(*map(Tensor, inputs))[0].asnumpy(), pooled)
    factor = Tensor(whole(generator, *pooled.shape))
    for ours, theirs in zip(gradients(lambda *args: (block(*args)[0] * factor).sum(), *inputs),
                            gradients(lambda *args: (expected(*args) * factor).sum(), *inputs)):
        assert np.array_equal(ours, theirs)


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 20), channels=st.integers(1, 4), height=st.integers(6, 41), width=st.integers(6, 80),
       outputs=st.integers(1, 17), padding=st.sampled_from([0, 2]), seed=st.integers(0, 99))
def test_convolution_block_and_its_gradients_are_exact(batch, channels, height, width, outputs, padding, seed):
    check_convolution(built(), batch, (channels, height, width), outputs, padding, seed)


def test_weights_that_are_not_finite_show_in_the_output():
    inputs = np.ones((1, 1, 12, 12)), np.full((2, 1, 5, 5), np.nan), np.zeros(2)
    pooled = kernels.conv_block(built(), 0)(*(Tensor(each.astype(np.float32)) for each in inputs))[0]
    assert np.isnan(pooled.asnumpy()).all()


def reference_lstm(x: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The textbook's LSTM in float64: all hidden states (N, T, H)."""
    hidden = w_hh.shape[1]
    state, cell, states = np.zeros((len(x), hidden)), np.zeros((len(x), hidden)), []
    for step in range(x.shape[1]):
        gates = x[:, step].astype(np.float64) @ w_ih.T + state @ w_hh.T + bias
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(candidate) / (1 + np.exp(-enter))
        state = np.tanh(cell) / (1 + np.exp(-leave))
        states.append(state)
    return np.stack(states, axis=1)


def check_lstm(found: kernels.Library, batch: int, steps: int, inputs: int, hidden: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    shapes = ((batch, steps, inputs), (4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,))
    given_to = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    given_to[2] /= np.float32(np.sqrt(hidden))  # larger ones would blow up rounding errors from step to step
    layer, last = kernels.recurrent_layer(found, "lstm"), kernels.recurrent_last(found, "lstm")
    states = layer(*map(Tensor, given_to))[0].asnumpy()
    same(states, reference_lstm(*given_to))
    assert np.array_equal(last(*map(Tensor, given_to))[2].asnumpy(), states[:, -1])
    factor = generator.normal(size=states.shape).astype(np.float32)

    def theirs(every: bool) -> Any:
        cell = ops.LSTM(inputs, hidden, 1, True, False, 0.0)
        start = ops.zeros((1, batch, hidden), ms.float32)

        def function(x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor) -> Tensor:
            weights = ops.concat((w_ih.reshape(-1, 1, 1), w_hh.reshape(-1, 1, 1), bias.reshape(-1, 1, 1)))
            output = cell(x.transpose(1, 0, 2), start, start, weights)[0].transpose(1, 0, 2)
            return (output * Tensor(factor)).sum() if every else (output[:, -1] * Tensor(factor[:, -1])).sum()

        return function

    for ours, every in ((lambda *args: (layer(*args)[0] * Tensor(factor)).sum(), True),
                        (lambda *args: (last(*args)[2] * Tensor(factor[:, -1])).sum(), False)):
        for one, other in zip(gradients(ours, *given_to), gradients(theirs(every), *given_to)):
            same(one, other, 1e-4)


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 20), steps=st.integers(1, 9), inputs=st.integers(1, 90), hidden=st.integers(1, 90),
       seed=st.integers(0, 99))
@example(batch=300, steps=3, inputs=2, hidden=9, seed=0)  # more rows than a weight gradient takes at a time
@example(batch=100, steps=5, inputs=3, hidden=33, seed=0)  # two steps at a time, and one at the end
def test_lstm_layer_and_its_gradients(batch, steps, inputs, hidden, seed):
    check_lstm(built(), batch, steps, inputs, hidden, seed)


def test_lstm_functions_hold_at_the_ends_of_their_range():
    """Weights so large that the gates saturate, and so small that e^x - 1 must not lose its digits."""
    for scale in (1e-6, 1e-3, 30.0, 1e4):
        x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2, 1) * np.float32(scale)
        weights = [np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32), np.zeros(4, np.float32)]
        found = kernels.recurrent_layer(built(), "lstm")(Tensor(x), *map(Tensor, weights))[0].asnumpy()
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(found, reference_lstm(x, *weights), rtol=2e-6, atol=1e-37)


@pytest.mark.slow
@pytest.mark.parametrize("without", ["avx512f", "avx"])
def test_narrower_vectors_give_the_same(monkeypatch, without):
    built()
    if not library._abilities().count(without):
        pytest.skip(f"this CPU has no {without} to do without")
    monkeypatch.setenv("CXX", f"{library._compiler()[0]} -mno-{without}")
    found = library.attempt.__wrapped__()
    assert found.lanes < kernels.attempt().lanes or without == "avx512f"
    for batch, image, padding in ((9, (1, 32, 32), 0), (5, (3, 29, 71), 2)):
        check_convolution(found, batch, image, 6, padding, 0)
    check_lstm(found, 13, 4, 5, 21, 0)


def test_other_numbers_than_float32_are_refused():
    with pytest.raises(TypeError, match="device.kernels=mindspore"):
        kernels.conv_block(built(), 0)(*(Tensor(np.ones(shape, np.float16)) for shape in
                                          ((1, 1, 8, 8), (2, 1, 5, 5), (2,))))


# --- networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape", "options"), slow_but(NETWORKS, NETWORKS[1], NETWORKS[5]))
def test_every_layer_has_the_same_output(name, shape, options):
    x = np.random.default_rng(0).random((7, *shape), dtype=np.float32)
    ours, theirs = made("native", name, shape, options), made("mindspore", name, shape, options)
    assert [each.name for each in ours.get_parameters()] == [each.name for each in theirs.get_parameters()]
    for layer in ours.layer_names:
        same(Predictor(ours.until(layer))(x), Predictor(theirs.until(layer))(x))


@pytest.mark.parametrize(("name", "shape", "options"), slow_but(NETWORKS, NETWORKS[0], NETWORKS[7]))
def test_a_twin_by_operators_shares_parameters_and_computes_as_a_network_made_without_kernels(name, shape, options):
    x = np.random.default_rng(0).random((7, *shape), dtype=np.float32)
    ours, theirs = made("native", name, shape, options), made("mindspore", name, shape, options)
    found = by_operators(ours)
    assert all(one is other for one, other in zip(ours.get_parameters(), found.get_parameters()))
    assert np.array_equal(Predictor(found)(x), Predictor(theirs)(x))
    before = Predictor(ours)(x)
    for one, other in zip(ours.trainable_params(), theirs.trainable_params()):
        for parameter in (one, other):
            in_place.write(parameter, 1.5 * parameter.asnumpy())
    assert not np.array_equal(Predictor(ours)(x), before)
    assert np.array_equal(Predictor(found)(x), Predictor(theirs)(x))


def loss_gradient(network: nn.Cell) -> Any:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return ops.cross_entropy(network(x), y)

    return ms.grad(loss, 0, network.trainable_params())


# 30: a recurrent weight gradient takes eight steps at a time, then four.
GRADIENTS = [(compiled, batch, *network) for compiled in (True, False) for batch in (1, 30) for network in NETWORKS]


@pytest.mark.parametrize(("compiled", "batch", "name", "shape", "options"), slow_but(
    GRADIENTS, *(case for case in GRADIENTS if not case[0]), *((True, 30, *NETWORKS[kind]) for kind in (0, 5, 7))))
def test_gradients_of_images_and_weights_are_the_same(name, shape, options, batch, compiled):
    generator = np.random.default_rng(1)
    x = Tensor(generator.random((batch, *shape), dtype=np.float32))
    y = Tensor(generator.integers(0, 10, batch).astype(np.int32))
    found = []
    for which in ("native", "mindspore"):
        gradient = loss_gradient(made(which, name, shape, options))
        images, weights = (ms.jit(gradient) if compiled else gradient)(x, y)
        found.append([images.asnumpy(), *(each.asnumpy() for each in weights)])
    for ours, theirs in zip(*found):
        same(ours, theirs, 1e-4)


def trained(which: str, name: str, epochs: int, threads: int) -> tuple[float, list[np.ndarray]]:
    """Return the last epoch's loss and the weights after training on the digits."""
    size = 32 if name == "lenet5" else 28
    data = catalogue.load("digits", None, image_size=size)
    network = made(which, name, (1, size, size), {"hidden_size": 32} if name == "lstm_rnn" else {})
    built().set_threads(threads)
    recipe = Recipe(optimizer="momentum", learning_rate=0.02)
    loop = TrainingLoop(network, make_optimizer(network, recipe), data.x_train, data.y_train)
    for epoch in range(epochs):
        totals = LoopTotals()
        order = epoch_order(len(data.y_train), 32, 0, epoch)
        loop.run(Tensor(order), 0, len(order), totals)
    return totals.loss / totals.steps, [each.asnumpy() for each in network.get_parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5_bias", "lstm_rnn"])
def test_training_ends_at_nearly_the_same_loss(name):
    ours, theirs = trained("native", name, 5, 1)[0], trained("mindspore", name, 5, 1)[0]
    assert theirs < 1.5
    assert ours == pytest.approx(theirs, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5_bias", "lstm_rnn"])
def test_weights_are_bit_identical_in_every_run_and_at_any_number_of_threads(name):
    first = trained("native", name, 2, 1)[1]
    for threads in (1, 2, 3):
        assert all(map(np.array_equal, first, trained("native", name, 2, threads)[1]))


# --- where they come from ----------------------------------------------------------------------------------


def attempted(monkeypatch: pytest.MonkeyPatch, cache: Path, compiler: str | None = None) -> kernels.Library | str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    if compiler is not None:
        monkeypatch.setenv("CXX", compiler)
    return library.attempt.__wrapped__()


@pytest.mark.slow
def test_the_second_process_finds_the_library_compiled(monkeypatch, tmp_path):
    built()
    first = attempted(monkeypatch, tmp_path)
    assert first.path.parent == tmp_path / "mindleak"
    monkeypatch.setattr(library, "_compile", None)
    assert attempted(monkeypatch, tmp_path) == first


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_disturb_each_other(monkeypatch, tmp_path):
    built()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = "from mindleak.kernels import attempt; print(attempt().lanes)"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {each.communicate(timeout=300)[0] for each in started} == {f"{built().lanes}\n"}
    assert [path.suffix for path in (tmp_path / "mindleak").iterdir()] == [".so"]


def test_without_a_compiler_there_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler" in attempted(monkeypatch, tmp_path)
    assert "no C++ compiler" in attempted(monkeypatch, tmp_path, "no-such-compiler -O1")


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\ntest $# = 1 && echo one && exit 0\necho 'kernels.h: too new for me' >&2\nexit 1\n")
    compiler.chmod(0o755)
    assert "too new for me" in attempted(monkeypatch, tmp_path / "cache", str(compiler))
    assert list((tmp_path / "cache" / "mindleak").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_reason(monkeypatch, tmp_path):
    built()
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in attempted(monkeypatch, tmp_path / "file")


# --- what lies in the cache ------------------------------------------------------------------------------


def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> kernels.Library:
    """The kernels in a cache of their own, by a compiler that has them ready."""
    compiler = tmp_path / "c++"
    compiler.write_text(f'#!/bin/sh\ntest $# = 1 && exit 0\nfor last; do :; done\ncp "{built().path}" "$last"\n')
    compiler.chmod(0o755)
    found = attempted(monkeypatch, tmp_path, str(compiler))
    assert isinstance(found, kernels.Library)
    return found


def replaced(path: Path, content: bytes) -> None:
    """Put another file in its place; cutting the very file that this process has loaded would end it."""
    path.unlink()
    path.write_bytes(content)


def a_link(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    (path.parent.parent / "elsewhere").write_bytes(content)
    path.symlink_to(path.parent.parent / "elsewhere")


def of_another(path: Path) -> None:
    os.chown(path, 12345, 12345)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: replaced(path, path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: replaced(path, b""),
    "another's program": lambda path: replaced(path, b"#!/bin/sh\n"),
    "flipped": lambda path: replaced(path, path.read_bytes()[:-900] + b"\xff" * 900),
    "a link": a_link,
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "writable by all": lambda path: path.chmod(0o777),
    **({"another user's": of_another} if os.geteuid() == 0 else {}),
}


@pytest.mark.parametrize("harm", DAMAGE)
def test_a_library_that_is_not_what_was_compiled_is_never_loaded_but_compiled_again(harm, monkeypatch, tmp_path):
    path = compiled(monkeypatch, tmp_path).path
    sound = path.read_bytes()
    DAMAGE[harm](path)
    assert attempted(monkeypatch, tmp_path) == kernels.Library(path, built().lanes)
    assert path.read_bytes() == sound and not path.is_symlink()
    assert list(path.parent.iterdir()) == [path]


def test_a_library_cut_in_half_ends_no_process(monkeypatch, tmp_path):
    path = compiled(monkeypatch, tmp_path).path
    replaced(path, path.read_bytes()[: path.stat().st_size // 2])
    code = "from mindleak.kernels import attempt; found = attempt(); print(found.lanes, found.path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, f"{built().lanes} {path}\n"), done.stderr


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777])
def test_a_cache_that_others_may_enter_is_closed_and_what_may_be_theirs_removed(mode, monkeypatch, tmp_path):
    path = compiled(monkeypatch, tmp_path).path
    planted = path.with_name(path.name.replace("kernels-", "kernels-0"))
    planted.write_bytes(b"planted")
    path.parent.chmod(mode)
    written = path.stat().st_mtime_ns
    assert attempted(monkeypatch, tmp_path).path == path
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert planted.exists() == (mode == 0o755)
    assert (path.stat().st_mtime_ns == written) == (mode == 0o755)


def a_linked_folder(folder: Path) -> None:
    (folder.parent / "theirs").mkdir()
    folder.symlink_to(folder.parent / "theirs")


def a_folder_of_another(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)


UNSAFE: dict[str, Callable[[Path], object]] = {
    "a symbolic link": a_linked_folder,
    "no folder": lambda folder: folder.write_text(""),
    "everybody can write": lambda folder: folder.parent.chmod(0o777),
    **({"belongs to user 12345": a_folder_of_another} if os.geteuid() == 0 else {}),
}


@pytest.mark.parametrize("reason", UNSAFE)
def test_a_cache_that_others_could_fill_is_not_used_and_that_is_said_once(reason, monkeypatch, tmp_path, capsys):
    built()
    monkeypatch.setattr(library, "_compile", None)
    cache = tmp_path / "cache"
    cache.mkdir()
    UNSAFE[reason](cache / "mindleak")
    found = attempted(monkeypatch, cache)
    assert reason in found and str(cache / "mindleak") in found and "expected a folder that only this user" in found
    monkeypatch.setattr(library, "attempt", lambda: found)
    for _ in range(2):
        assert kernels.for_device() is None
    assert capsys.readouterr().err == f"mindleak: computing without native kernels, which is slower: {found}\n"
    assert reason in call_for_native(found)


def call_for_native(reason: str) -> str:
    device.configure("CPU", kernels="native")
    with pytest.raises(InputError) as error:
        kernels.for_device()
    return str(error.value)


def test_what_a_killed_compilation_left_is_swept_and_one_at_work_is_left_alone(monkeypatch, tmp_path):
    folder = compiled(monkeypatch, tmp_path).path.parent
    left, at_work = folder / "kernels-abc-1.part", folder / "kernels-abc-2.part"
    for path in (left, at_work):
        path.write_bytes(b"half")
    os.utime(left, (1, 1))
    attempted(monkeypatch, tmp_path)
    assert not left.exists() and at_work.exists()


def test_a_compiler_with_an_open_quotation_is_a_reason(monkeypatch, tmp_path):
    assert "CXX is \"g++ 'x\": no closing quotation" in attempted(monkeypatch, tmp_path, "g++ 'x")


def test_auto_does_without_and_native_refuses(monkeypatch):
    monkeypatch.setattr(library, "attempt", lambda: "no C++ compiler")
    device.configure("CPU", kernels="auto")
    assert kernels.for_device() is None
    device.configure("CPU", kernels="native")
    with pytest.raises(InputError, match="device.kernels=native: .*no C\\+\\+ compiler"):
        kernels.for_device()


def test_other_devices_keep_mindspores_operators(monkeypatch):
    monkeypatch.setattr(device, "_current", device.Device("Ascend", 0, 0, 1, "auto"))
    assert kernels.for_device() is None
    monkeypatch.setattr(device, "_current", device.Device("Ascend", 0, 0, 1, "native"))
    with pytest.raises(InputError, match="for CPU, and the device is Ascend"):
        kernels.for_device()


def test_an_unknown_choice_is_refused():
    with pytest.raises(InputError, match="device.kernels 'nativ' is unknown; one of auto, mindspore, native"):
        device.configure("CPU", kernels="nativ")


@pytest.mark.slow
def test_the_command_line_takes_the_choice(tmp_path):
    nothing = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": "no-such-compiler"}
    train = ("train", *SMALL)
    assert_refused(fresh(*train, "--set", "device.kernels=native", cwd=tmp_path, environment=nothing),
                   "device.kernels=native", "no C++ compiler")
    assert_refused(fresh(*train, "--set", "device.kernels=fast", cwd=tmp_path), "'fast' is unknown")
    assert fresh(*train, cwd=tmp_path, environment=nothing).code == 0
    assert not (tmp_path / "cache" / "mindleak").exists()


def test_the_doctor_names_the_kernels(capfd, monkeypatch):
    assert f"kernels       native, vectors of {built().lanes} floats: {built().path}" in call(capfd, "doctor").out
    monkeypatch.setattr(kernels, "attempt", lambda: "no C++ compiler")
    assert "kernels       MindSpore's; no native ones: no C++ compiler" in call(capfd, "doctor").out
