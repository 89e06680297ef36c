"""The noise: moments and tails, independence of steps and epochs, nothing but seed and epoch behind it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mindleak.training.noise import noise_blocks, steps_per_block

SIZE = 100001


def draw(seed: int, epoch: int, size: int, steps: int, block: int) -> np.ndarray:
    return np.concatenate(list(noise_blocks(seed, epoch, size, steps, block)))


def test_the_numbers_are_standard_normal() -> None:
    # 400,004 numbers: each bound is five standard deviations of its statistic.
    drawn = draw(7, 1, SIZE, 4, 4).ravel().astype(np.float64)
    count = len(drawn)
    assert abs(drawn.mean()) < 5 / np.sqrt(count)
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / count)
    assert abs((drawn**4).mean() - 3) < 5 * np.sqrt(96 / count)
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    for bound in (2, 3, 4):
        expected = count * 2 * stats.norm.sf(bound)
        assert abs((np.abs(drawn) > bound).sum() - expected) < 5 * np.sqrt(expected) + 1


def test_steps_epochs_and_seeds_are_uncorrelated() -> None:
    one, two = draw(3, 1, SIZE, 2, 1)
    for other in (two, draw(3, 2, SIZE, 1, 1)[0], draw(4, 1, SIZE, 1, 1)[0]):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(SIZE)


@pytest.mark.parametrize("block", [1, 3, 7, 10])
def test_the_noise_does_not_depend_on_the_blocks(block: int) -> None:
    assert np.array_equal(draw(5, 2, 33, 7, block), draw(5, 2, 33, 7, 7))


def test_blocks_are_as_long_as_asked_for_and_no_larger_than_memory_allows() -> None:
    assert steps_per_block(61_706, 100) == 100
    assert steps_per_block(10**7, 100) == 1
    assert steps_per_block(10**9, 100) == 1
