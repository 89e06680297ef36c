"""Which rows lie in which shard and slice, and what a deletion costs: the figures of arXiv 1912.03817 by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.audits.deletion.sharding import deal_shards
from mindleak.errors import InputError

NONE = np.zeros(0, np.int64)


@given(st.integers(1, 8), st.integers(1, 6), st.integers(48, 200), st.integers(0, 2**31))
def test_every_row_lies_in_one_slice_of_one_shard(shards: int, slices: int, samples: int, seed: int) -> None:
    sharding = deal_shards(np.arange(samples), shards, slices, 4, seed)
    parts = [rows for shard in sharding.parts for rows in shard]
    assert len(parts) == shards * slices
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(samples))
    sizes = [len(rows) for rows in parts]
    # Shards differ by at most one sample, and so do a shard's slices.
    assert max(sizes) - min(sizes) <= 2


@given(st.integers(0, 2**31))
def test_the_order_in_which_rows_are_given_has_no_say(seed: int) -> None:
    one = deal_shards(np.arange(60), 3, 2, 4, seed)
    other = deal_shards(np.random.default_rng(seed).permutation(60), 3, 2, 4, seed)
    for first, second in zip(one.parts, other.parts):
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a, b)


@given(st.integers(0, 59), st.integers(0, 1000))
def test_a_deletion_touches_the_slice_that_holds_it_and_leaves_all_others(row: int, seed: int) -> None:
    sharding = deal_shards(np.arange(60), 3, 4, 4, seed)
    ((shard, first),) = sharding.touched(np.array([row])).items()
    assert row in sharding.parts[shard][first]
    for number in range(3):
        for stop in range(1, 5):
            before, after = (sharding.rows(number, stop, gone) for gone in (NONE, np.array([row])))
            if number != shard or stop <= first:
                np.testing.assert_array_equal(before, after)
            else:
                # What stays, stays in its order.
                np.testing.assert_array_equal(before[before != row], after)
                assert len(after) == len(before) - 1


def test_the_first_slice_counts_where_several_hold_deleted_rows() -> None:
    sharding = deal_shards(np.arange(24), 2, 3, 4, 0)
    gone = np.array([sharding.parts[1][2][0], sharding.parts[1][1][0], sharding.parts[0][2][1]])
    assert sharding.touched(gone) == {0: 2, 1: 1}


@pytest.mark.parametrize(("epochs", "slices", "expected"), [(20, 1, 20), (15, 5, 5), (20, 5, 7), (6, 3, 3), (1, 9, 1)])
def test_slices_together_cost_as_much_as_the_whole(epochs: int, slices: int, expected: int) -> None:
    assert deal_shards(np.arange(90), 2, slices, epochs, 0).slice_epochs == expected


def test_one_deletion_of_ten_shards_of_five_slices_costs_13_6_times_less_on_average() -> None:
    # 3SR / (2R + 1) sample-epochs of a full training, S 10 and R 5; every slice of a shard is as likely.
    sharding = deal_shards(np.arange(50_000), 10, 5, 15, 0)
    full = 50_000 * 15
    costs = [sharding.cost(shard, step, NONE) for shard in range(10) for step in range(5)]
    assert full / np.mean(costs) == pytest.approx(3 * 10 * 5 / 11)
    assert sharding.total_cost(NONE) == full


def test_more_slices_than_samples_are_refused() -> None:
    with pytest.raises(InputError, match="no more slices in all than the 10 samples"):
        deal_shards(np.arange(10), 4, 3, 1, 0)


def test_passes_that_the_method_adds_to_every_training_count_in_every_slice() -> None:
    plain, pruned = (deal_shards(np.arange(12), 2, 3, 4, 0, further) for further in (0, 5))
    assert pruned.slice_epochs == plain.slice_epochs == 2
    assert plain.total_cost(NONE) == 2 * (2 + 4 + 6) * 2 and pruned.total_cost(NONE) == 2 * (2 + 4 + 6) * 7
