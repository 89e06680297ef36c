"""Per-sample gradients of whole batches against the gradients of one sample at a time."""

from __future__ import annotations

import threading

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from cases import slow_but
from mindleak.errors import InputError
from mindleak.models.fcnet import FCNet
from mindleak.models.registry import build
from mindleak.training.loop import Predictor
from mindleak.training.per_sample import LAYERS, PerSampleGradients, require_exact, require_separable
from mindleak.training.tapped_layers import TappedDense
from training_setup import seeded, weights

SAMPLES = 5


class Vectors(nn.Cell):
    """FCNet on (N, 6) vectors, a classifier of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = FCNet(6, 7, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.net(x)


class Strided(nn.Cell):
    """What LeNet5 does not have: 'same' padding, stride, dilation, an activation inside Dense, a 4-sided border."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, stride=2, pad_mode="same", has_bias=True)
        self.second = nn.Conv2d(3, 4, 2, dilation=2, pad_mode="pad", padding=(1, 0, 2, 1))
        self.hidden = nn.Dense(4 * 3 * 5, 6, activation="tanh")
        self.out = nn.Dense(6, 3, has_bias=False)

    def construct(self, x: Tensor) -> Tensor:
        x = ops.tanh(self.second(ops.tanh(self.first(x))))
        return self.out(self.hidden(x.reshape((x.shape[0], -1))))


class Twice(nn.Cell):
    """Uses one layer two times."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(6, 6)
        self.out = nn.Dense(6, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.out(self.dense(self.dense(x)))


class Centred(nn.Cell):
    """Lets samples see each other without a parameter that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(6, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(x - x.mean(axis=0))


class Decayed(nn.Cell):
    """Uses a layer's weight outside the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(6, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(x) * self.dense.weight.sum()


class Normed(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(6, 3)
        self.norm = nn.BatchNorm1d(3)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(self.dense(x))


class Dropped(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Dense(6, 3)
        self.drop = nn.Dropout(p=0.5)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.drop(x))


NETWORKS = {
    "lenet5": ((1, 32, 32), lambda: build("lenet5", (1, 32, 32), 10, 0)),
    "lenet5_colour": ((3, 20, 24), lambda: build("lenet5", (3, 20, 24), 10, 0)),
    "lenet5_bias": ((1, 28, 28), lambda: build("lenet5_bias", (1, 28, 28), 10, 0)),
    "lstm_rnn": ((1, 7, 5), lambda: build("lstm_rnn", (1, 7, 5), 10, 0, {"hidden_size": 9})),
    "lstm_rnn_two_layers": ((3, 6, 5), lambda: build("lstm_rnn", (3, 6, 5), 10, 0, {"hidden_size": 4, "layers": 2,
                                                                                  "sequence": "channels"})),
    **{"-".join(map(str, options.values())): (
        (1, 5, 4), lambda options=options: build("recurrent", (1, 5, 4), 10, 0, {"hidden_size": 6, **options}))
       for options in ({"cell": "rnn"}, {"cell": "gru"}, {"cell": "gru", "layers": 2, "bidirectional": True},
                       {"cell": "lstm", "bidirectional": True}, {"cell": "rnn", "layers": 2},
                       {"cell": "clockwork", "periods": 3},
                       {"cell": "clockwork", "periods": [1, 4], "bidirectional": True, "layers": 2})},
    "fcnet": ((6,), lambda: seeded(Vectors)),
    "strided": ((2, 7, 8), lambda: seeded(Strided)),
}


def batch(shape: tuple[int, ...], classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    # Of different sizes, so that some samples are clipped and some are not.
    scale = np.geomspace(0.05, 2.0, SAMPLES).reshape(-1, *[1] * len(shape))
    return ((generator.random((SAMPLES, *shape)) * scale).astype(np.float32),
            (np.arange(SAMPLES) % classes).astype(np.int32))


def one_by_one(network: nn.Cell, x: np.ndarray, y: np.ndarray) -> list[list[np.ndarray]]:
    """The plain loop: per sample, the gradient per parameter, by MindSpore's own layers."""
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="sum")

    def forward(image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(network(image), label)

    gradient = ms.grad(forward, None, network.trainable_params())
    return [[part.asnumpy().astype(np.float64) for part in gradient(Tensor(x[i:i + 1]), Tensor(y[i:i + 1]))]
            for i in range(len(x))]


def in_a_batch(network: nn.Cell, x: np.ndarray, y: np.ndarray, valid: np.ndarray,
               clip_norm: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    gradients = PerSampleGradients(network, x.shape[1:], len(x), clip_norm)
    backward, clipped_sum = gradients.backward, gradients.clipped_sum

    @ms.jit
    def run(images: Tensor, labels: Tensor, mask: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        (_, _, logits), values = backward(images, labels)
        sums, norms = clipped_sum(values, mask)
        return sums, norms, logits

    sums, norms, logits = run(Tensor(x), Tensor(y), Tensor(valid.astype(np.float32)))
    return [part.asnumpy() for part in sums], norms.asnumpy(), logits.asnumpy()


@pytest.mark.parametrize("name", slow_but(NETWORKS, "lenet5", "lstm_rnn", "gru", "fcnet", "strided"))
def test_clipped_sums_are_those_of_a_loop_over_samples(name: str) -> None:
    shape, make = NETWORKS[name]
    network = make()
    x, y = batch(shape)
    valid = np.array([1, 1, 0, 1, 1])
    alone = one_by_one(network, x, y)
    norms = np.array([np.sqrt(sum((part**2).sum() for part in sample)) for sample in alone])
    clip_norm = float(np.median(norms))
    sums, found, logits = in_a_batch(network, x, y, valid, clip_norm)
    np.testing.assert_allclose(found, norms, rtol=1e-4)
    np.testing.assert_allclose(logits, network(Tensor(x)).asnumpy(), atol=1e-5)
    factors = valid * np.minimum(1, clip_norm / norms)
    assert (factors[valid == 1] < 0.999).any() and (factors == 1).any()
    for place, parameter in enumerate(network.trainable_params()):
        expected = sum(factor * sample[place] for factor, sample in zip(factors, alone))
        assert sums[place].shape == tuple(parameter.shape)
        np.testing.assert_allclose(sums[place], expected, rtol=1e-3, atol=1e-5 * clip_norm, err_msg=parameter.name)


class Shifted(nn.Dense):
    """A dense layer of somebody's own."""


def test_a_further_kind_of_layer_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    network = seeded(lambda: nn.SequentialCell(Shifted(6, 5, activation="tanh"), nn.Dense(5, 3)))
    with pytest.raises(InputError, match="'0' is a Shifted with trainable parameters"):
        require_separable(network, (6,))
    monkeypatch.setitem(LAYERS, Shifted, TappedDense)
    require_exact(network, *batch((6,)))


def test_the_network_stays_as_it_is() -> None:
    network = build("lstm_rnn", (1, 7, 5), 10, 0, {"hidden_size": 9})
    x, y = batch((1, 7, 5))
    names, kinds, printed = list(weights(network)), [type(cell) for cell in network.cells()], str(network)
    before = Predictor(network)(x)
    in_a_batch(network, x, y, np.ones(SAMPLES), 1.0)
    assert list(weights(network)) == names
    assert [type(cell) for cell in network.cells()] == kinds
    assert str(network) == printed
    np.testing.assert_array_equal(Predictor(network)(x), before)


class RectifiedRNN(nn.Cell):
    """An Elman network with another nonlinearity than the gradients' equations assume."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(2, 4, nonlinearity="relu", batch_first=True)
        self.dense = nn.Dense(4, 3)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        _, state = self.rnn(ops.reshape(x, (x.shape[0], 3, 2)))
        return self.dense(state[0])


@pytest.mark.parametrize(("network", "reason"), [
    (Normed, "BatchNorm1d with trainable parameters"),
    (Twice, "'dense' is used 2 times"),
    (lambda: nn.SequentialCell(nn.Conv2d(1, 2, 3, group=1), nn.Conv2d(2, 2, 3, group=2), nn.Flatten(),
                               nn.Dense(32, 3)), "group 2"),
    (lambda: nn.SequentialCell(nn.Flatten(), nn.Embedding(5, 3)), "Embedding with trainable parameters"),
    (RectifiedRNN, "nonlinearity='relu'"),
], ids=["batch-norm", "twice", "grouped", "embedding", "relu-rnn"])
def test_networks_without_per_sample_gradients_are_refused(network: type[nn.Cell], reason: str) -> None:
    made = seeded(network)
    with pytest.raises(InputError, match=reason):
        require_separable(made, (1, 4, 4) if isinstance(made, nn.SequentialCell) else (6,))


@pytest.mark.parametrize("network", [Centred, Decayed])
def test_what_only_shows_in_the_gradients_is_refused(network: type[nn.Cell]) -> None:
    made = seeded(network)
    require_separable(made, (6,))
    with pytest.raises(InputError, match="not those of its samples alone"):
        require_exact(made, *batch((6,)))


class Guarded(Vectors):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(InputError, match="it cannot be copied"):
        require_separable(seeded(Guarded), (6,))


@pytest.mark.parametrize("network", [Vectors, Dropped])
def test_networks_whose_samples_are_separate_are_accepted(network: type[nn.Cell]) -> None:
    made = seeded(network)
    require_exact(made, *batch((6,)))
    assert not made.training
