"""Kendall's permutation test against every pairing counted by hand, with ties and without."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mindleak.evaluation.ranks import kendall


def counted_p(first: list[int], second: list[int]) -> float:
    """Return twice the smaller share of pairings at least as concordant, or at most, as the one seen."""
    def concordance(values: tuple[int, ...]) -> int:
        pairs = itertools.combinations(range(len(first)), 2)
        return sum(int(np.sign(first[i] - first[j]) * np.sign(values[i] - values[j])) for i, j in pairs)

    seen = concordance(tuple(second))
    drawn = [concordance(order) for order in itertools.permutations(second)]
    tails = sum(other >= seen for other in drawn), sum(other <= seen for other in drawn)
    return min(1.0, 2 * min(tails) / len(drawn))


@given(st.integers(2, 5).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2)))
@settings(max_examples=60, deadline=None)
def test_p_counts_every_pairing(values: tuple[list[int], list[int]]) -> None:
    ranked = kendall(*values)
    assert ranked.exact
    if min(map(len, map(set, values))) == 1:
        assert math.isnan(ranked.tau) and math.isnan(ranked.p)
        return
    assert ranked.tau == pytest.approx(stats.kendalltau(*values).statistic)
    assert ranked.p == pytest.approx(counted_p(*values))


@pytest.mark.parametrize("n", [4, 7, 12, 30])
def test_without_ties_it_is_exact_for_any_number_of_cases(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(2, n))
    ranked = kendall(*values)
    assert ranked.exact and ranked.p == pytest.approx(stats.kendalltau(*values, method="exact").pvalue)


def test_many_cases_with_ties_are_drawn_by_seed_and_near_the_truth() -> None:
    # One tie among twelve hardly matters: near the exact p without it.
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    first[1] = first[0]
    ranked = kendall(first, second)
    assert not ranked.exact
    assert ranked == kendall(first, second) and ranked.p != kendall(first, second, seed=1).p
    assert ranked.p == pytest.approx(stats.kendalltau(first, second).pvalue, abs=0.08)
    # However extreme the order, a drawn p is never below one in so many.
    rising = np.arange(30) // 2
    assert kendall(rising, rising).p == pytest.approx(2 / 40_320)


@pytest.mark.parametrize("values", [([1.0], [1.0, 2.0]), ([1.0, math.nan], [1.0, 2.0]), ([[1.0]], [[1.0]])])
def test_what_has_no_ranks_is_refused(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError):
        kendall(*values)
