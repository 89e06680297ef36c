"""Resizing: the convention of OpenCV's INTER_LINEAR, and padding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.data.resize import bilinear_matrix, pad_centre, resize_bilinear
from mindleak.errors import InputError

sides = st.integers(1, 40)


@given(rows=sides, columns=sides, height=sides, width=sides, channels=st.sampled_from([1, 3]), seed=st.integers(0, 9))
def test_bilinear_agrees_with_opencv(rows, columns, height, width, channels, seed):
    images = np.random.default_rng(seed).random((2, channels, rows, columns), dtype=np.float32)
    ours = resize_bilinear(images, height, width)
    for image, mine in zip(images, ours):
        for plane, my_plane in zip(image, mine):
            theirs = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(my_plane, theirs, atol=1e-5)


def test_bilinear_of_bytes_in_several_chunks_equals_opencv(monkeypatch):
    monkeypatch.setattr("mindleak.data.resize._CHUNK_PIXELS", 3 * 32 * 32)
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28), dtype=np.uint8)
    ours = resize_bilinear(images, 32, 32, scale=255.0)
    for image, mine in zip(images, ours):
        theirs = cv2.resize(image[0].astype(np.float32) / 255, (32, 32), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(mine[0], theirs, atol=1e-5)


def test_bilinear_known_answer_for_doubling():
    """Half-pixel centres: a step 0, 1 doubled samples at -1/4, 1/4, 3/4, 5/4."""
    np.testing.assert_allclose(bilinear_matrix(2, 4) @ [0.0, 1.0], [0, 0.25, 0.75, 1], atol=1e-7)


@given(n_in=sides, n_out=sides)
def test_bilinear_keeps_constant_images(n_in, n_out):
    np.testing.assert_allclose(bilinear_matrix(n_in, n_out).sum(axis=1), 1, atol=1e-6)


def test_bilinear_stays_inside_the_unit_range():
    images = np.full((4, 1, 28, 28), 255, np.uint8)
    resized = resize_bilinear(images, 33, 31, scale=255.0)
    assert resized.max() <= 1
    assert resized.min() > 0.999


def test_pad_centres_with_the_odd_line_below_and_right():
    images = np.full((1, 1, 2, 3), 255, np.uint8)
    padded = pad_centre(images, 5, 6, scale=255.0)
    expected = np.zeros((5, 6), np.float32)
    expected[1:3, 1:4] = 1
    np.testing.assert_array_equal(padded[0, 0], expected)


def test_pad_cannot_shrink():
    with pytest.raises(InputError, match="28x28 is smaller than the images .32x32."):
        pad_centre(np.zeros((1, 3, 32, 32), np.uint8), 28, 28)
