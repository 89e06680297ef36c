"""SSIM against MindSpore's and against a direct evaluation of the paper's formula; PSNR and both L2 by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindleak.evaluation import images
from mindleak.evaluation.images import l2, l2_relative, psnr, ssim

MINDSPORE_SSIM = """
import sys
import numpy as np
import mindspore as ms
ms.set_context(mode=ms.GRAPH_MODE, device_target="CPU")
pairs = np.load(sys.argv[1])
similarity = ms.nn.SSIM(max_val=float(pairs["data_range"]))
np.save(sys.argv[2], similarity(ms.Tensor(pairs["x"]), ms.Tensor(pairs["y"])).asnumpy())
"""


def noisy_pair(shape: tuple[int, ...], noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.random(shape, dtype=np.float32)
    y = np.clip(x + noise * generator.standard_normal(shape), 0, 1).astype(np.float32)
    return x, y


def ssim_by_windows(x: np.ndarray, y: np.ndarray) -> float:
    """The paper's formula for one grey image, one window position after the other."""
    axis = np.arange(11) - 5
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (z[row : row + 11, column : column + 11].astype(np.float64) for z in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            numerator = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
            values.append(numerator / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    return float(np.mean(values))


def test_ssim_is_the_papers_formula_on_a_rectangular_image() -> None:
    x, y = noisy_pair((2, 1, 14, 19))
    expected = [ssim_by_windows(a[0], b[0]) for a, b in zip(x, y)]
    np.testing.assert_allclose(ssim(x, y), expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "data_range"), [((5, 3, 32, 28), 1.0)])
def test_ssim_is_mindspores_in_graph_mode(shape: tuple, data_range: float, tmp_path: Path) -> None:
    x, y = noisy_pair(shape)
    x[0], y[0] = x[0] * 0.01 + 0.5, y[0] * 0.01 + 0.5  # low contrast: the stabilising constants decide
    y[1] = 1 - x[1]  # negative similarity
    np.savez(tmp_path / "pairs.npz", x=x, y=y, data_range=data_range)
    # In a process of its own: MindSpore's mode is global and would leak into other tests.
    command = [sys.executable, "-c", MINDSPORE_SSIM, str(tmp_path / "pairs.npz"), str(tmp_path / "out.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load(tmp_path / "out.npy")
    assert theirs[1] < -0.5
    np.testing.assert_allclose(ssim(x, y, data_range), theirs, atol=2e-5)


def test_equal_images_are_perfectly_similar_and_order_does_not_matter() -> None:
    x, y = noisy_pair((4, 1, 28, 28))
    np.testing.assert_allclose(ssim(x, x), 1.0)
    np.testing.assert_allclose(ssim(x, y), ssim(y, x))
    assert np.all(ssim(x, y) < 0.99)


def test_ssim_falls_with_noise() -> None:
    means = [ssim(*noisy_pair((8, 1, 28, 28), noise)).mean() for noise in (0.02, 0.1, 0.4)]
    assert means[0] > means[1] + 0.02 > means[2] + 0.04


def test_scaling_pixels_and_data_range_together_changes_nothing() -> None:
    x, y = noisy_pair((3, 1, 16, 16))
    np.testing.assert_allclose(ssim(255 * x, 255 * y, 255.0), ssim(x, y), rtol=1e-6)
    np.testing.assert_allclose(psnr(255 * x, 255 * y, 255.0), psnr(x, y), rtol=1e-6)


@pytest.mark.parametrize("function", [ssim, psnr, l2, l2_relative])
def test_a_batch_gives_what_its_images_give_alone(function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = noisy_pair((7, 2, 12, 13))
    alone = np.concatenate([function(x[i : i + 1], y[i : i + 1]) for i in range(7)])  # type: ignore[operator]
    monkeypatch.setattr(images, "_BLOCK_PIXELS", 3 * 2 * 12 * 13)
    together = function(x, y)  # type: ignore[operator]
    assert together.shape == (7,)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert function(x[:0], y[:0]).shape == (0,)  # type: ignore[operator]


def test_psnr_by_hand() -> None:
    x = np.zeros((2, 1, 4, 4))
    y = np.stack([np.full((1, 4, 4), 0.1), np.zeros((1, 4, 4))])
    assert psnr(x, y)[0] == pytest.approx(20.0)
    assert math.isinf(psnr(x, y)[1])


def test_both_l2_by_hand() -> None:
    x = np.zeros((3, 2, 2, 2))
    x[0, 0, 0, 0], x[1] = 2.0, 1.0
    y = np.zeros_like(x)
    y[0, 1, 1, 1], y[2, 0, 0, 0] = 2.0, 3.0
    np.testing.assert_allclose(l2(x, y), [math.sqrt(8), math.sqrt(8), 3.0])
    np.testing.assert_allclose(l2_relative(x, y), [math.sqrt(2), 1.0, np.nan])


def test_l2_is_numpys_norm_of_the_flattened_difference() -> None:
    x, y = noisy_pair((6, 3, 9, 7))
    difference = (x.astype(np.float64) - y).reshape(6, -1)
    np.testing.assert_allclose(l2(x, y), np.linalg.norm(difference, axis=1))
    np.testing.assert_allclose(
        l2_relative(x, y), np.linalg.norm(difference, axis=1) / np.linalg.norm(x.reshape(6, -1), axis=1), rtol=1e-6
    )


def test_bytes_do_not_wrap_around() -> None:
    x, y = np.full((1, 1, 11, 11), 10, np.uint8), np.full((1, 1, 11, 11), 20, np.uint8)
    assert l2(x, y)[0] == pytest.approx(110.0)
    assert ssim(x, y, 255.0)[0] == pytest.approx((400 + 6.5025) / (500 + 6.5025))


def test_images_below_the_window_are_refused_by_ssim_only() -> None:
    x = np.zeros((2, 1, 8, 8), np.float32)
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 8x8"):
        ssim(x, x)
    assert np.all(l2(x, x) == 0)
    assert ssim(np.zeros((1, 1, 11, 11)), np.zeros((1, 1, 11, 11))).tolist() == [1.0]


@pytest.mark.parametrize("function", [ssim, psnr, l2, l2_relative])
def test_shapes_that_are_not_one_nchw_batch_are_refused(function: object) -> None:
    with pytest.raises(ValueError, match="N, C, H, W"):
        function(np.zeros((2, 28, 28)), np.zeros((2, 28, 28)))  # type: ignore[operator]
    with pytest.raises(ValueError, match="N, C, H, W"):
        function(np.zeros((2, 1, 28, 28)), np.zeros((1, 1, 28, 28)))  # type: ignore[operator]


@pytest.mark.parametrize("function", [ssim, psnr])
@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan])
def test_data_range_must_be_positive(function: object, data_range: float) -> None:
    with pytest.raises(ValueError, match="data_range"):
        function(np.zeros((1, 1, 11, 11)), np.zeros((1, 1, 11, 11)), data_range)  # type: ignore[operator]
