"""The accountant against closed forms and published figures."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from cases import slow_but, with_slow
from mindleak.errors import InputError
from mindleak.settings.dp import ACCOUNTANTS
from mindleak.training import accountant
from mindleak.training.accountant import epsilon, noise_for, version

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


@pytest.mark.parametrize(("noise", "epochs", "published"), slow_but(
    [(1.12, 60, 2.92), (1.2, 10, 1.20), (0.6, 30, 9.74)], (1.12, 60, 2.92), (0.6, 30, 9.74)))
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


TARGETS = [(name, *target) for name in ACCOUNTANTS for target in ((256 / MNIST, 1000, 2.0), (0.1, 50, 1.0))]


@pytest.mark.parametrize(("name", "rate", "steps", "target"), with_slow(
    TARGETS, ("pld", 256 / MNIST, 1000, 2.0)))
def test_the_noise_for_a_target_meets_it_and_hardly_more(name: str, rate: float, steps: int, target: float) -> None:
    noise = noise_for(name, rate, steps, target, DELTA)
    assert epsilon(name, rate, noise, steps, DELTA) <= target
    assert epsilon(name, rate, noise * 0.98, steps, DELTA) > target


@pytest.mark.parametrize(("target", "name"), [(1000.0, "pld"), (300.0, "pld"), (100.0, "rdp"), (30.0, "pld"),
                                              (0.1, "rdp"), (0.01, "pld")])
def test_targets_far_from_the_usual_are_met_as_closely_as_others(name: str, target: float) -> None:
    noise = noise_for(name, 0.064, 150, target, DELTA)
    assert 0.97 * target < epsilon(name, 0.064, noise, 150, DELTA) <= target


def test_a_tiny_target_is_searched_on_a_grid_that_is_small_beside_it() -> None:
    noise = noise_for("pld", 0.001, 100, 0.001, DELTA)
    assert 0.00098 < epsilon("pld", 0.001, noise, 100, DELTA) <= 0.001


@pytest.mark.parametrize("target", slow_but([1000.0, 8.0, 0.3], 1000.0, 0.3))
def test_the_search_takes_little_longer_than_the_figure_that_it_ends_with(target: float) -> None:
    # Processor time, and as a ratio: a machine that has other work to do is slow at both.
    begun = time.process_time()
    noise = noise_for("pld", 0.0501, 150, target, DELTA)
    searched = time.process_time()
    epsilon.cache_clear()
    epsilon("pld", 0.0501, noise, 150, DELTA)
    assert searched - begun < 4 * (time.process_time() - searched) + 1


@pytest.mark.parametrize(("name", "rate", "steps", "target", "said"), [
    ("rdp", 1.0, 100000, 1e-5, "1e-05; expected at least 1.308, which a noise multiplier of 1000 promises"),
    ("pld", 1.0, 100, 1e-3, "0.001; expected at least 0.02722, which a noise multiplier of 1000 promises"),
    ("pld", 0.064, 150, 1e6, r"1e\+06; expected at most 1.242e\+05, which a noise multiplier of 0.01 promises"),
])
def test_a_target_out_of_reach_is_refused_with_what_can_be_had(name: str, rate: float, steps: int, target: float,
                                                               said: str) -> None:
    with pytest.raises(InputError, match=f"dp.target_epsilon is {said}"):
        noise_for(name, rate, steps, target, DELTA)


def test_the_package_is_named_with_its_version() -> None:
    assert version().startswith("dp-accounting 0.")


def test_a_search_that_ends_at_a_limit_is_refused_by_that_limit() -> None:
    # So many steps over the whole data set want more noise than is searched, for a target of 1 as for smaller ones.
    with pytest.raises(InputError, match="expected at least .* which a noise multiplier of 1000 promises"):
        noise_for("rdp", 1.0, 100_000_000, 1.0, 1e-5)


def test_a_promise_of_zero_ends_the_search_for_finer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    grids: list[float] = []
    computed = accountant._Training.epsilon

    def watched(training: accountant._Training, noise: float, grid: float) -> float:
        grids.append(grid)
        return computed(training, noise, grid)

    monkeypatch.setattr(accountant._Training, "epsilon", watched)
    # δ covers all that a sample could change; the finest grid would take minutes and promise less.
    assert accountant.epsilon("pld", 0.1, 1000.0, 101, 1e-3) == 0.0
    assert accountant.noise_for("pld", 0.1, 101, 0.02, 1e-3) == pytest.approx(59, rel=0.1)
    assert min(grids) > 1e-7
