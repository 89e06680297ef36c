"""The diagonal of the Fisher information: sums of squares of single samples' gradients."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindleak.models.base import by_operators
from mindleak.models.registry import build
from mindleak.training.unlearning import fisher
from mindleak.training.unlearning.fisher import FisherDiagonal
from training_setup import Linear, Stochastic, arrays, seeded, weights
from unlearning_setup import Affine, one_hot


def test_a_linear_networks_is_worked_out_by_hand() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    rows = np.array([1, 4, 9], np.int32)
    errors = np.square(Affine(network).errors(x[rows], one_hot(y[rows])))
    weight, bias = FisherDiagonal(network, x)(y, rows)
    np.testing.assert_allclose(weight, errors.T @ np.square(x[rows].reshape(3, -1)), rtol=1e-5)
    np.testing.assert_allclose(bias, errors.sum(axis=0), rtol=1e-5)


def test_asked_again_it_starts_from_zero() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    ask = FisherDiagonal(network, x)
    first, other, again = (ask(y, np.array(rows, np.int32)) for rows in ([1, 2], [3, 4, 5], [1, 2]))
    assert all(np.array_equal(one, two) for one, two in zip(first, again))
    assert not np.allclose(first[0], other[0])


def test_samples_do_not_see_each_other_and_statistics_stay() -> None:
    network, (x, y) = seeded(Stochastic), arrays(40)
    before = weights(network)
    ask = FisherDiagonal(network, x)
    together = ask(y, np.arange(4, dtype=np.int32))
    alone = [ask(y, np.array([row], np.int32)) for row in range(4)]
    for place, total in enumerate(together):
        np.testing.assert_allclose(total, sum(part[place] for part in alone), rtol=1e-5, atol=1e-12)
    assert all(np.array_equal(before[name], value) for name, value in weights(network).items())


@pytest.mark.parametrize(("name", "options", "shape"), [
    ("lenet5", {"width": 0.5}, (1, 32, 32)),
    pytest.param("lstm_rnn", {"hidden_size": 8}, (1, 8, 8), marks=pytest.mark.slow),
    pytest.param("lenet5_bias", {"width": 0.5}, (1, 28, 28), marks=pytest.mark.slow),
    pytest.param("lstm_rnn_centred", {"hidden_size": 4}, (1, 8, 8), marks=pytest.mark.slow),
    pytest.param("recurrent", {"hidden_size": 4, "cell": "gru", "layers": 2}, (1, 8, 8), marks=pytest.mark.slow),
    pytest.param("recurrent", {"hidden_size": 4, "cell": "rnn", "bidirectional": True}, (1, 8, 8),
                 marks=pytest.mark.slow),
    pytest.param("recurrent", {"hidden_size": 8, "cell": "clockwork"}, (1, 8, 8), marks=pytest.mark.slow),
])
def test_it_is_that_of_mindspores_operators(monkeypatch: pytest.MonkeyPatch, name: str, options: dict,
                                            shape: tuple[int, int, int]) -> None:
    monkeypatch.setattr(fisher, "_WIDEST", 4)
    network = build(name, shape, 10, 0, options)
    generator = np.random.default_rng(0)
    x, y = generator.random((6, *shape)).astype(np.float32), np.arange(6, dtype=np.int32)
    found = FisherDiagonal(network, x)(y, np.arange(6, dtype=np.int32))
    plain = by_operators(network)
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="sum")

    def forward(image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(plain(image), label)

    gradient = ms.grad(forward, None, ms.ParameterTuple(network.trainable_params()))
    rows = [gradient(Tensor(x[row:row + 1]), Tensor(y[row:row + 1])) for row in range(6)]
    for place, total in enumerate(found):
        expected = sum(np.square(row[place].asnumpy().astype(np.float64)) for row in rows)
        np.testing.assert_allclose(total, expected, rtol=1e-3, atol=1e-6 * expected.max())
