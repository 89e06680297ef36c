"""Which images of a data set are equal to each other: copies, within the training split and across both splits.

A copy of a training image in another role makes figures wrong without a sign: the network has seen the "unseen" image.
Images are therefore numbered once, equal images alike, and whoever deals rows out looks at these numbers.

Floating-point images are equal here where they would be once stored as bytes: one split that went through 8 bits, or
other arithmetic, still holds copies. Rows are told apart by a 64-bit hash of their pixels: two multilinear sums of
32-bit words (Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer arithmetic without
primes", 1996), each with a chance of 2⁻³² of calling two different images equal. Among 70,000 images that is one error
in 10¹⁰ data sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# So many words are hashed at once: 4 MiB as 64-bit numbers, which stay in a processor's cache.
_CHUNK_WORDS = 1 << 19
_HIGH = np.uint64(32)


@dataclass(frozen=True, eq=False)
class Copies:
    """Image numbers of the two splits, int64 (N,) and (M,): equal where images are equal, whatever their labels."""

    train: np.ndarray
    test: np.ndarray

    @cached_property
    def repeated(self) -> int:
        """How many training rows are copies of an earlier one."""
        return len(self.train) - len(np.unique(self.train))

    @cached_property
    def test_seen(self) -> np.ndarray:
        """Which test images are training images as well, bool (M,)."""
        return np.isin(self.test, self.train)

    def test_among(self, rows: np.ndarray | None) -> int:
        """Return how many test images are copies of these training rows, int (n,); None stands for all rows."""
        return int(np.count_nonzero(self.test_seen if rows is None else np.isin(self.test, self.train[rows])))

    @cached_property
    def unseen_test_rows(self) -> np.ndarray:
        """Test rows of images that are not in the training split, one row of each image, sorted int64."""
        first = first_of_each(self.test)
        return first[~self.test_seen[first]]

    def doubts(self, labels: np.ndarray) -> Iterator[str]:
        """Yield what users must know of copies before they trust a figure; ``labels`` (N,) are the training split's."""
        overlap = int(np.count_nonzero(self.test_seen))
        if overlap:
            yield (f"{overlap:,} of {len(self.test):,} test images are copies of training images. Test accuracy counts "
                   "them as unseen; no attack takes them for non-members")
        if self.repeated:
            yield (f"{self.repeated:,} of {len(self.train):,} training images are copies of others among them. Copies "
                   "share one role, so no member has a copy among the non-members, and attacks count them once")
        mixed = int(np.count_nonzero(several_labels(self.train, labels)))
        if mixed:
            yield (f"{mixed:,} of {len(self.train):,} training images have a copy under another label. Membership "
                   "attacks leave them out")


def number_images(train: np.ndarray, test: np.ndarray) -> Copies:
    """Number the images of two splits (N, ...) and (M, ...) of one shape and type, by their values."""
    return _numbered(_hashes_of_both(train, test), len(train))


def number_prepared(source: Copies, train: np.ndarray, test: np.ndarray) -> Copies:
    """Number images after a preparation that may have made different ones equal, such as shrinking.

    Equal sources stay equal: only the first image of each number is looked at.

    Args:
        source: numbers of the images before.
        train: prepared images (N, ...).
        test: prepared images (M, ...).
    """
    before = np.concatenate([source.train, source.test])
    _, first, inverse = np.unique(before, return_index=True, return_inverse=True)
    hashes = _hashes_of_both(train, test)
    return _numbered(hashes[first][inverse], len(train))


def several_labels(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which rows have a copy under another label, bool (N,); ``numbers`` and ``labels`` are (N,)."""
    pairs = np.unique(np.stack([numbers, labels.astype(numbers.dtype)]), axis=1)[0]
    return np.isin(numbers, pairs[1:][pairs[1:] == pairs[:-1]])


def first_of_each(numbers: np.ndarray) -> np.ndarray:
    """Return the position at which each distinct value of ``numbers`` (N,) first occurs, sorted int64."""
    return np.sort(np.unique(numbers, return_index=True)[1])


def _numbered(hashes: np.ndarray, train: int) -> Copies:
    numbers = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
    return Copies(numbers[:train], numbers[train:])


def _hashes_of_both(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return a hash of each image of two splits of one type, uint64 (N + M,)."""
    if not np.issubdtype(train.dtype, np.floating):
        return np.concatenate([_hashes(train), _hashes(test)])
    largest = max((float(split.max()) for split in (train, test) if split.size), default=1.0)
    # Nearly black images (divided by 255 twice, say) are stretched first, or rounding to bytes would make them equal.
    steps = 255.0 / (largest if 0.0 < largest < 0.5 else 1.0)
    return np.concatenate([_hashes(images) for split in (train, test) for images in _as_bytes(split, steps)])


def _as_bytes(images: np.ndarray, steps: float) -> Iterator[np.ndarray]:
    """Yield the images as bytes, some at a time, so that no second copy of a data set is in memory."""
    rows = max(1, _CHUNK_WORDS // max(1, images[0].size)) if len(images) else 1
    for row in range(0, len(images), rows):
        yield np.rint(images[row:row + rows] * steps).astype(np.uint8)


def _hashes(images: np.ndarray) -> np.ndarray:
    """Return a hash of each image, uint64 (N,)."""
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    words = flat.view(np.uint32 if flat.shape[1] * flat.itemsize % 4 == 0 else np.uint8)
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 1 << 64, (words.shape[1], 2), dtype=np.uint64)
    start = generator.integers(0, 1 << 64, 2, dtype=np.uint64)
    sums = np.empty((len(words), 2), np.uint64)
    step = max(1, _CHUNK_WORDS // words.shape[1])
    for row in range(0, len(words), step):
        sums[row:row + step] = words[row:row + step].astype(np.uint64) @ factors + start
    return (sums[:, 0] >> _HIGH) << _HIGH | sums[:, 1] >> _HIGH
