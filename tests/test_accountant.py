"""The accountant against closed forms and published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from mindleak.errors import InputError
from mindleak.training.accountant import ACCOUNTANTS, epsilon, noise_for, version

MNIST = 60000
DELTA = 1e-5


def gaussian_epsilon(noise: float, steps: int, delta: float) -> float:
    """ε of composed Gaussian mechanisms without sampling (Balle and Wang, arXiv 1805.06530, theorem 8)."""
    mu = math.sqrt(steps) / noise

    def surplus(eps: float) -> float:
        return float(stats.norm.cdf(mu / 2 - eps / mu) - math.exp(eps) * stats.norm.cdf(-mu / 2 - eps / mu) - delta)

    return float(optimize.brentq(surplus, 0, 100))


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (4.0, 10), (20.0, 100)])
def test_without_sampling_epsilon_is_the_gaussian_mechanisms(noise: float, steps: int) -> None:
    exact = gaussian_epsilon(noise, steps, DELTA)
    assert epsilon("pld", 1.0, noise, steps, DELTA) == pytest.approx(exact, rel=1e-3)
    assert exact < epsilon("rdp", 1.0, noise, steps, DELTA) < 1.2 * exact


@pytest.mark.parametrize(("noise", "epochs", "published"), [(1.12, 60, 2.92), (1.2, 10, 1.20), (0.6, 30, 9.74)])
def test_the_moments_accountants_published_figures_bound_ours(noise: float, epochs: int, published: float) -> None:
    # TensorFlow Privacy, tutorials/README.md, MNIST at batch 256. It converted RDP to ε by Mironov's original formula,
    # which is looser than what is used today; and a PLD is tighter than both.
    steps = epochs * MNIST // 256
    pld, rdp = (epsilon(name, 256 / MNIST, noise, steps, DELTA) for name in ("pld", "rdp"))
    assert 0.6 * published < pld < rdp < published
    assert classic_epsilon(256 / MNIST, noise, steps, DELTA) == pytest.approx(published, rel=0.005)


def classic_epsilon(rate: float, noise: float, steps: int, delta: float) -> float:
    """min over integer orders of RDP + ln(1/δ)/(α−1), with the RDP of the sampled Gaussian by its binomial sum.

    Mironov (arXiv 1702.07476, proposition 3); Mironov, Talwar, Zhang (arXiv 1908.10530, section 3.3). Nothing of the
    accountant's package is in here.
    """
    found = []
    for order in range(2, 65):
        k = np.arange(order + 1)
        terms = [math.log(math.comb(order, int(i))) for i in k]
        logs = np.array(terms) + k * math.log(rate) + (order - k) * math.log1p(-rate) + k * (k - 1) / (2 * noise**2)
        moment = float(np.logaddexp.reduce(logs)) / (order - 1)
        found.append(steps * moment + math.log(1 / delta) / (order - 1))
    return min(found)


@pytest.mark.parametrize("name", ACCOUNTANTS)
def test_no_steps_cost_nothing_and_no_noise_promises_nothing(name: str) -> None:
    assert epsilon(name, 0.01, 1.0, 0, DELTA) == 0
    assert epsilon(name, 0.01, 0.0, 1, DELTA) == math.inf


@settings(max_examples=15, deadline=None)
@given(noise=st.floats(0.8, 5), steps=st.integers(1, 500), rate=st.floats(0.001, 0.2))
def test_more_steps_and_less_noise_never_promise_more(noise: float, steps: int, rate: float) -> None:
    base = epsilon("rdp", rate, noise, steps, DELTA)
    assert epsilon("rdp", rate, noise, steps + 50, DELTA) >= base - 1e-9
    assert epsilon("rdp", rate, noise * 1.2, steps, DELTA) <= base + 1e-9


@pytest.mark.parametrize("name", ACCOUNTANTS)
@pytest.mark.parametrize(("rate", "steps", "target"), [(256 / MNIST, 1000, 2.0), (0.1, 50, 1.0)])
def test_the_noise_for_a_target_meets_it_and_hardly_more(name: str, rate: float, steps: int, target: float) -> None:
    noise = noise_for(name, rate, steps, target, DELTA)
    assert epsilon(name, rate, noise, steps, DELTA) <= target
    assert epsilon(name, rate, noise * 0.98, steps, DELTA) > target


def test_a_target_out_of_reach_is_refused() -> None:
    with pytest.raises(InputError, match=r"dp.target_epsilon 1e-05 needs a noise multiplier above 1000"):
        noise_for("rdp", 1.0, 100000, 1e-5, 1e-9)


def test_the_package_is_named_with_its_version() -> None:
    assert version().startswith("dp-accounting 0.")
