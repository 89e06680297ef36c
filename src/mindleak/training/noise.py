"""Gaussian noise on the device that depends on a seed, a step and a place, and on nothing that came before.

MindSpore's own generators keep a state that can be neither read nor set on CPU, so a training that draws from them
cannot be resumed to the same bits. Here the state is a counter: the generator is SplitMix64 (Steele, Lea, Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014, figure 17), whose n-th number is a function of n, and the
transform is Box and Muller's. Ten rounds of Philox would cost as much as a training step in MindSpore's element-wise
operators.
"""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

_GAMMA = 0x9E3779B97F4A7C15
_SHIFTS = (30, 27, 31)
# Keeps the noise apart from what else is drawn by the same seed.
_STREAM = int.from_bytes(b"noise", "big")
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _signed(word: int) -> int:
    """Return a 64-bit word as the signed number that MindSpore's int64 holds; products are equal modulo 2⁶⁴."""
    word %= 1 << 64
    return word - (1 << 64) if word >> 63 else word


class SplitMix(nn.Cell):
    """SplitMix64's numbers number 1 to ``count`` from any state."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.offsets = Tensor((np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)).view(np.int64))
        self.shifts = tuple(Tensor(shift, ms.int64) for shift in _SHIFTS)
        self.masks = tuple(Tensor((1 << (64 - shift)) - 1, ms.int64) for shift in _SHIFTS)
        self.factors = tuple(Tensor(_signed(factor), ms.int64) for factor in _FACTORS)

    def construct(self, state: Tensor) -> Tensor:
        """Return 64-bit words (count,), as int64, for a state int64 ()."""
        word = self.offsets + state
        word = self.folded(word, 0) * self.factors[0]
        word = self.folded(word, 1) * self.factors[1]
        return self.folded(word, 2)

    def folded(self, word: Tensor, place: int) -> Tensor:
        """Return word ^ (word >>> shift); the shift is arithmetic, so what it brings in is masked off."""
        shifted = ops.bitwise_and(ops.bitwise_right_shift(word, self.shifts[place]), self.masks[place])
        return ops.bitwise_xor(word, shifted)


class GaussianNoise(nn.Cell):
    """Standard normal numbers, as many as asked for, equal for equal states.

    Float32 uniforms of 32 bits end the tails at 6.8 standard deviations.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.words = SplitMix(-(-size // 2))
        self.half = Tensor(32, ms.int64)
        self.low = Tensor(0xFFFFFFFF, ms.int64)

    def construct(self, state: Tensor) -> Tensor:
        """Return float32 (size,) for a state int64 ()."""
        words = self.words(state)
        # Upper halves from −2³¹ to 2³¹ − 1, lower ones from 0 to 2³² − 1.
        upper = ops.bitwise_right_shift(words, self.half).astype(ms.float32) * (1.0 / 2**32)
        lower = (ops.bitwise_and(words, self.low).astype(ms.float32) + 0.5) * (1.0 / 2**32)
        radius, angle = ops.sqrt(-2.0 * ops.log(lower)), (2.0 * math.pi) * upper
        return ops.concat((radius * ops.cos(angle), radius * ops.sin(angle)))[:self.size]

    def states(self, seed: int, first: int, count: int) -> np.ndarray:
        """Return the states of the steps ``first`` to ``first + count - 1`` of a training, int64 (count,).

        Step after step they go through one sequence of 2⁶⁴ words, which the seed says where to enter.
        """
        (begin,) = np.random.SeedSequence([seed, _STREAM]).generate_state(1, np.uint64)
        jump = -(-self.size // 2) * _GAMMA % (1 << 64)
        return (begin + np.arange(first, first + count, dtype=np.uint64) * np.uint64(jump)).view(np.int64)
