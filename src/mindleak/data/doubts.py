"""What makes images of a data set doubtful: values on another scale, a test split unlike the training split.

None of it stops a program, and all of it makes figures meaningless: images of bytes 0..16 read as 0..255 are nearly
black, a network learns nothing from them, and a report says that nothing leaks. A doubt is one or two sentences for the
user, who alone knows whether the data are meant to be so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mindleak.data.dataset import RawData
from mindleak.errors import InputError

# Images that use less than this part of the range from black to white have values on another scale.
LEAST_RANGE = 0.5
# Largest ratio of the two splits' largest values: a split with enough images has some that are white.
LARGEST_RATIO = 4 / 3
# Two distributions that differ by more than this (Kolmogorov and Smirnov's distance, 0 to 1) overlap only in part.
LARGEST_DISTANCE = 0.5
# Most images of a split whose brightness and contrast are compared, and fewest that are worth comparing.
MOST, FEWEST = 5_000, 20
# From this share on, images that have one value throughout are more than a few oddities.
MANY = 0.01
# Share of a split's images whose extreme values are ignored, so that a few odd images decide nothing.
ODD = 0.01
# Images without a value above this part of the others' largest are on another scale.
DARKER = 0.02
# Correlation of the mean images of a split's halves from which on they show what its images have in common.
CLEAR = 0.9


def doubts(raw: RawData) -> tuple[str, ...]:
    """Return what is doubtful about the values of a data set's files, one sentence or two each; mostly nothing.

    Raises:
        InputError: all images of the training split are equal, or all its labels: there is nothing to learn.
    """
    _refuse_nothing_to_learn(raw)
    train, test = _scale(raw.x_train, raw.scale), _scale(raw.x_test, raw.scale)
    found = ([f"training and test images {train}"] if train == test and train else
             [f"{name} images {text}" for name, text in (("training", train), ("test", test)) if text])
    found += [*_darker_part("training", raw.x_train), *_darker_part("test", raw.x_test)]
    # If a split's scale is in doubt already, it is no news that the other one's differs.
    return (*found, *(_of_two_splits(raw) if not found else ()), *_blank("training", raw.x_train),
            *_blank("test", raw.x_test), *_of_labels(raw))


def _refuse_nothing_to_learn(raw: RawData) -> None:
    labels = np.unique(raw.y_train)
    if len(labels) < 2:
        raise InputError(f"the training split has labels of one class only ('{raw.class_names[labels[0]]}'); expected "
                         "images of two classes or more")
    images = raw.x_train
    if len(images) > 1 and np.array_equal(images[0], images[-1]) and bool((images == images[:1]).all()):
        raise InputError(f"all {len(images):,} images of the training split are equal; expected different ones")


def _scale(images: np.ndarray, scale: float) -> str:
    """Say that values use so little of the range that they must stand on another scale; nothing where they do not."""
    flat = images.reshape(len(images), -1)
    # Quantiles, so that a few odd images neither hide what holds for all others nor speak for them.
    low, high = float(np.quantile(flat.min(axis=1), ODD)), float(np.quantile(flat.max(axis=1), 1 - ODD))
    if high - low >= LEAST_RANGE * scale:
        return ""
    return f"{_range(images, low, high, scale)}. {_advice(images, high, scale)}"


def _darker_part(name: str, images: np.ndarray) -> Iterator[str]:
    """Say how many images of a split stand on a far smaller scale than its others, where they are more than a few."""
    highest = images.reshape(len(images), -1).max(axis=1)
    usual = float(np.quantile(highest, 1 - ODD))
    darker = int(np.count_nonzero((highest > 0) & (highest < DARKER * usual)))
    if darker > MANY * len(images):
        yield (f"{darker:,} of {len(images):,} {name} images have no value above {100 * DARKER:g} % of the others' "
               f"largest, {usual:.3g}: these seem to be divided once more than the rest. Scale all images alike")


def _blank(name: str, images: np.ndarray) -> Iterator[str]:
    """Say how many images are of one colour throughout, where they are many."""
    flat = images.reshape(len(images), -1)
    blank = int(np.count_nonzero(flat.min(axis=1) == flat.max(axis=1)))
    if blank > MANY * len(images):
        yield f"{blank:,} of {len(images):,} {name} images have one value throughout and show nothing"


def _range(images: np.ndarray, low: float, high: float, scale: float) -> str:
    if images.dtype == np.uint8:
        return f"have bytes from {low:g} to {high:g} of {scale:g} (white)"
    return f"have values from {low:.3g} to {high:.3g} only; expected 0 (black) to 1 (white)"


def _advice(images: np.ndarray, high: float, scale: float) -> str:
    if images.dtype == np.uint8 and 0 < high < LEAST_RANGE * scale:
        return f"Networks see them nearly black; if {high:g} stands for white, store floating point divided by {high:g}"
    if images.dtype != np.uint8 and high <= 1.01 / 255:
        return "Networks see them black; they seem to be divided by 255 twice"
    return "If that is not meant, scale both splits alike so that black is 0 and white the largest value"


def _of_two_splits(raw: RawData) -> Iterator[str]:
    """Hold the splits against each other by a sample of each."""
    train, test = (_sample(images) for images in (raw.x_train, raw.x_test))
    if min(len(train), len(test)) < FEWEST:
        return
    advice = "Both splits must be scaled alike; if they are meant to differ, test accuracy tells of that difference too"
    highest = [float(np.quantile(part.max(axis=1), 1 - ODD)) for part in (train, test)]
    halves = train[::2].mean(axis=0), train[1::2].mean(axis=0)
    if _alike(*halves) > CLEAR and _alike(train.mean(axis=0), test.mean(axis=0)) < -LARGEST_DISTANCE:
        yield f"test images are dark where training images are bright: one of the splits seems to be inverted. {advice}"
    elif max(highest) > LARGEST_RATIO * min(highest):
        yield (f"the largest value is {highest[0]:.3g} in training and {highest[1]:.3g} in test images: the splits "
               f"seem to have different scales. {advice}")
    elif max(_distance(train.mean(axis=1), test.mean(axis=1)), _distance(train.std(axis=1), test.std(axis=1))
             ) > LARGEST_DISTANCE:
        sides = (f"{part.mean() / raw.scale:.2f} ± {part.std() / raw.scale:.2f}" for part in (train, test))
        yield (f"training images differ from test images in brightness or contrast (values of {' and '.join(sides)} of "
               f"0 to 1): the splits seem to have different scales. {advice}")


def _of_labels(raw: RawData) -> Iterator[str]:
    present = np.unique(raw.y_test)
    if len(present) == 1:
        yield (f"all {len(raw.y_test):,} test images are of class '{raw.class_names[present[0]]}': test accuracy says "
               "nothing about the others")


def _sample(images: np.ndarray) -> np.ndarray:
    """Return up to ``MOST`` images from all over a split, float32 (N, pixels)."""
    places = np.unique(np.linspace(0, len(images) - 1, MOST).astype(np.int64))
    return images[places].reshape(len(places), -1).astype(np.float32)


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference of the two distribution functions (Kolmogorov and Smirnov)."""
    values = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two images, 0 where one of them is of one value throughout."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
