"""Gaussian noise that follows from a seed and an epoch alone, so that a resumed training goes on with the same bits.

MindSpore's own generators keep a state that can be neither read nor set on CPU. Made of its element-wise operators, a
transform like Box and Muller's differs in last bits from call to call: they split an array over threads by timing, and
treat the ends of the parts by other code. So the numbers come from NumPy, a block of steps at a time, and lie on the
device before the block's first step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Keeps the noise apart from what else is drawn by the same seed.
_STREAM = int.from_bytes(b"noise", "big")
# Noise is drawn in blocks of this size, so that a large network's does not fill the memory.
_BLOCK_BYTES = 32 * 2**20


def steps_per_block(size: int, at_most: int) -> int:
    """Return for how many steps to draw at a time, for ``size`` numbers a step."""
    return max(1, min(at_most, _BLOCK_BYTES // (4 * size)))


def noise_blocks(seed: int, epoch: int, size: int, steps: int, block: int) -> Iterator[np.ndarray]:
    """Yield standard normal numbers, float32 (steps of the block, size), for all ``steps`` of an epoch.

    They do not depend on the length of a block.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, _STREAM])))
    for start in range(0, steps, block):
        yield generator.standard_normal((min(block, steps - start), size), dtype=np.float32)
