"""The noise generator: published words, moments, independence of steps, reproducible states."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from scipy import stats

from mindleak.training.noise import GaussianNoise, SplitMix
from training_setup import device

assert device
SIZE = 100001


def draw(seed: int, first: int, count: int, size: int = SIZE) -> np.ndarray:
    noise = GaussianNoise(size)
    return np.stack([noise(Tensor(state)).asnumpy() for state in noise.states(seed, first, count)])


def test_splitmix_gives_its_published_words() -> None:
    # Java's SplittableRandom and the reference C code, seed 1234567.
    words = SplitMix(5)(Tensor(1234567, ms.int64)).asnumpy().view(np.uint64)
    assert words.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
                              16408922859458223821]


def test_the_numbers_are_standard_normal() -> None:
    # 400,004 numbers: each bound is beyond five standard deviations of its statistic.
    drawn = draw(7, 0, 4).ravel().astype(np.float64)
    count = len(drawn)
    assert abs(drawn.mean()) < 5 / np.sqrt(count)
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / count)
    assert abs((drawn**3).mean()) < 5 * np.sqrt(15 / count)
    assert abs((drawn**4).mean() - 3) < 5 * np.sqrt(96 / count)
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    for bound in (2, 3, 4):
        expected = count * 2 * stats.norm.sf(bound)
        assert abs((np.abs(drawn) > bound).sum() - expected) < 5 * np.sqrt(expected) + 1


@pytest.mark.parametrize("other", [1, SIZE // 2, SIZE // 2 + 1])
def test_places_and_steps_are_uncorrelated(other: int) -> None:
    one, two = draw(3, 0, 2)
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(SIZE)
    assert abs(np.corrcoef(one, np.roll(one, other))[0, 1]) < 5 / np.sqrt(SIZE)
    assert abs(np.corrcoef(one**2, np.roll(one, other)**2)[0, 1]) < 5 / np.sqrt(SIZE)


def test_the_noise_follows_from_seed_and_step_alone() -> None:
    whole = draw(5, 0, 6, 33)
    assert np.array_equal(draw(5, 4, 2, 33), whole[4:])
    assert len(np.unique(whole)) == whole.size
    assert not np.intersect1d(draw(6, 0, 6, 33), whole).size
    assert whole.shape == (6, 33)
