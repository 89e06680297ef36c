"""Paired differences of areas: by hand, against a jackknife, and by coverage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from cases import slow_but
from mindleak.evaluation.intervals import difference_of_independent, proportion
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Members 3, 1 then 3, 2 against non-members 2, 0 then 1, 0. Placements of the members 1, 1/2 then 1, 1;
    # of the non-members 1/2, 1 then 1, 1. Differences 0, 1/2 and 1/2, 0: variance 1/8 each, over 2 each.
    monkeypatch.setattr("mindleak.evaluation.roc.FEW_DECIDING", 0)
    found = auc_difference([3, 1, 2, 0], [3, 2, 1, 0], [1, 1, 0, 0])
    half = 1.959963984540054 * math.sqrt(0.125 / 2 + 0.125 / 2)
    assert found.value == 0.25 and found.n == 4 and found.ci_method == "delong-paired"
    assert found.ci == pytest.approx((0.25 - half, 0.25 + half))


def test_ties_count_half() -> None:
    assert auc_difference([0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]).value == 0.5


SCORES = arrays.arrays(np.float64, 40, elements=st.integers(-5, 5).map(float))
MEMBERS = np.arange(40) % 3 == 0


@given(SCORES, SCORES)
def test_the_value_is_the_difference_of_the_areas_and_changes_sign_with_the_order(
        first: np.ndarray, second: np.ndarray) -> None:
    found, turned = auc_difference(first, second, MEMBERS), auc_difference(second, first, MEMBERS)
    assert found.value == pytest.approx(auc(second, MEMBERS).value - auc(first, MEMBERS).value, abs=1e-12)
    assert turned.value == pytest.approx(-found.value, abs=1e-12)
    if found.ci is not None and turned.ci is not None:
        assert turned.ci == pytest.approx((-found.ci[1], -found.ci[0]), abs=1e-12)


def test_the_width_is_that_of_a_two_sample_jackknife() -> None:
    # DeLong's variance is the jackknife's, samples left out of each side in turn.
    generator = np.random.default_rng(0)
    members = np.arange(120) < 50
    shared = generator.normal(size=120)
    first, second = (shared + generator.normal(size=120) + lift * members for lift in (0.5, 1.0))
    variance = 0.0
    for side in (members, ~members):
        left_out = [auc_difference(np.delete(first, row), np.delete(second, row), np.delete(members, row)).value
                    for row in np.flatnonzero(side)]
        n = int(side.sum())
        variance += (n - 1) / n * float(np.sum((left_out - np.mean(left_out)) ** 2))
    found = auc_difference(first, second, members)
    assert found.ci is not None
    assert (found.ci[1] - found.ci[0]) / 2 == pytest.approx(1.959963984540054 * math.sqrt(variance), rel=1e-9)


def test_the_interval_covers_and_is_narrower_than_that_of_unpaired_areas() -> None:
    generator = np.random.default_rng(3)
    members = np.arange(200) < 100
    covered, narrower = 0, 0
    for _ in range(400):
        shared = generator.normal(size=200)
        first, second = (shared + 0.7 * generator.normal(size=200) + 1.0 * members for _ in range(2))
        found = auc_difference(first, second, members)
        assert found.ci is not None
        covered += found.ci[0] <= 0 <= found.ci[1]
        unpaired = difference_of_independent(auc(second, members), auc(first, members))
        assert unpaired.ci is not None
        narrower += found.ci[1] - found.ci[0] < unpaired.ci[1] - unpaired.ci[0]
    # Binomial(400, .95) lies in 363 to 395 with all but .1 %.
    assert 360 <= covered <= 397 and narrower == 400


@pytest.mark.parametrize(("areas", "sizes"), slow_but(
    [((0.9, 0.95), (100, 100)), ((0.97, 0.99), (100, 100)), ((0.9, 0.9), (20, 200))], ((0.97, 0.99), (100, 100))))
def test_the_interval_covers_where_few_samples_decide(areas: tuple[float, float], sizes: tuple[int, int]) -> None:
    # The plain interval of the difference covers 92 % here.
    generator = np.random.default_rng(5)
    members = np.arange(sum(sizes)) < sizes[0]
    lifts = [math.sqrt(2) * stats.norm.ppf(area) for area in areas]
    covered, by_mover = 0, 0
    for _ in range(200):
        shared = generator.normal(size=members.size)
        first, second = (math.sqrt(0.5) * (shared + generator.normal(size=members.size)) + lift * members
                         for lift in lifts)
        found = auc_difference(first, second, members)
        assert found.ci is not None and found.p is not None
        by_mover += found.ci_method == "mover of paired areas"
        assert found.ci[0] <= found.value <= found.ci[1]
        assert (found.p < 0.05) == (found.ci[0] > 0 or found.ci[1] < 0)
        covered += found.ci[0] <= areas[1] - areas[0] <= found.ci[1]
    assert covered >= 184 and by_mover > 180


@pytest.mark.parametrize("first, second, members, reason", [
    ([1, 0], [0, 1], [1, 0], "a single sample"),
    ([1, 2, 0, 3], [1, 2, 0, 3], [1, 1, 0, 0], "rank every pair alike"),
    ([1, 2], [1, 2], [1, 1], "no non-members"),
    ([1, 2], [1, 2], [0, 0], "no members"),
])
def test_what_has_no_variance_has_no_interval(
        first: list[int], second: list[int], members: list[int], reason: str) -> None:
    found = auc_difference(first, second, members)
    assert found.ci is None and found.reason is not None and reason in found.reason


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        auc_difference([1, 0], [1, 0], [1, 0], level=1.0)
    with pytest.raises(ValueError, match="samples"):
        auc_difference([1, 0], [1, 0, 2], [1, 0])


def test_difference_of_independent_proportions_by_hand() -> None:
    one, other = proportion(8, 10), proportion(3, 10)
    found = difference_of_independent(one, other)
    assert one.ci is not None and other.ci is not None and found.ci is not None
    assert found.value == pytest.approx(0.5) and found.n == 20
    assert found.ci[0] == pytest.approx(0.5 - math.hypot(0.8 - one.ci[0], other.ci[1] - 0.3))
    assert found.ci[1] == pytest.approx(0.5 + math.hypot(one.ci[1] - 0.8, 0.3 - other.ci[0]))
    # Newcombe's method 10 with Wilson's ends gives 56/70 - 48/80: .0524 to .3339 (Statistics in Medicine 17, 1998).
    from scipy import stats

    ends = [stats.binomtest(k, n).proportion_ci(method="wilson") for k, n in ((56, 70), (48, 80))]
    wilson = [replace(proportion(k, n), ci=(end.low, end.high)) for (k, n), end in zip(((56, 70), (48, 80)), ends)]
    assert difference_of_independent(*wilson).ci == pytest.approx((0.0524, 0.3339), abs=5e-5)
