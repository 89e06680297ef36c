"""Who learns what in an audit, for every kind of request: equal classes, disjoint roles, and what was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindleak.audits.deletion.design import Dealer, Design
from mindleak.audits.deletion.requests import parse_request
from mindleak.data import catalogue
from mindleak.data.dataset import Dataset
from mindleak.errors import InputError

MEMBERS, MODELS = 400, 6
KINDS = ["0.1", "class:3", "group:10", "exposed:40", "rows"]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return catalogue.load("digits", None, image_size=8)


@pytest.fixture
def listed(digits: Dataset, tmp_path: Path) -> tuple[str, np.ndarray]:
    """A file of rows, twelve of each of four classes."""
    rows = np.concatenate([np.flatnonzero(digits.y_train == label)[5:17] for label in (0, 2, 5, 9)])
    np.save(tmp_path / "these.npy", rows)
    return str(tmp_path / "these.npy"), rows


def dealer(digits: Dataset, written: str, listed: tuple[str, np.ndarray], seed: int = 3) -> Dealer:
    return Dealer(digits, parse_request(listed[0] if written == "rows" else written), MEMBERS, seed)


def ranked(digits: Dataset) -> np.ndarray:
    """All rows as if they had been ranked by their exposure."""
    return np.random.default_rng(5).permutation(len(digits.y_train))


def require_sound(design: Design, labels: np.ndarray) -> None:
    assert not np.isin(design.pool, design.retained).any() and np.isin(design.shown, design.retained).all()
    for model, kept in enumerate(design.keep):
        members = design.members(model)
        assert len(np.unique(members)) == len(members)
        deleted, unseen = labels[design.pool[kept]], labels[design.pool[~kept]]
        assert np.bincount(deleted, minlength=10).tolist() == np.bincount(unseen, minlength=10).tolist()
    assert (design.keep.sum(axis=0) == MODELS // 2).all(), "every sample is deleted from half of the networks"


@pytest.mark.parametrize("written", KINDS)
def test_networks_have_equally_many_of_every_class_and_no_role_shares_a_sample(
        digits: Dataset, written: str, listed: tuple[str, np.ndarray]) -> None:
    dealing = dealer(digits, written, listed)
    dealing.check()
    exposed = ranked(digits) if written.startswith("exposed") else np.zeros(0, np.int64)
    design = dealing.design(MODELS, exposed)
    require_sound(design, digits.y_train)
    assert abs(len(design.members(0)) - MEMBERS) <= 10
    assert 0 <= dealing.deleted - len(design.forgotten(0)) <= 10, "but for odd classes what was asked for"
    again = dealing.design(MODELS, exposed)
    assert np.array_equal(design.pool, again.pool) and np.array_equal(design.keep, again.keep)


@pytest.mark.parametrize("written", KINDS)
def test_the_validation_request_has_no_sample_of_the_reported_one(digits: Dataset, written: str,
                                                                  listed: tuple[str, np.ndarray]) -> None:
    dealing = dealer(digits, written, listed)
    exposed = ranked(digits) if written.startswith("exposed") else np.zeros(0, np.int64)
    reported = dealing.design(MODELS, exposed)
    other = dealing.validation(2, reported, exposed)
    used = np.concatenate([other.pool, other.retained])
    assert len(other.forgotten(0)) > 0 and not np.isin(used, reported.pool).any()
    assert abs(len(other.forgotten(0)) - len(reported.forgotten(0))) <= 10


def test_a_class_is_deleted_whole(digits: Dataset, listed: tuple[str, np.ndarray]) -> None:
    design = dealer(digits, "class:3", listed).design(MODELS)
    labels = digits.y_train
    assert set(labels[design.pool]) == {3} and 3 not in labels[design.retained]
    assert set(labels[dealer(digits, "class:9", listed).validation(2, design).pool]) == {0}, "after the last, the first"


def test_a_group_is_one_of_neighbours_among_a_networks_own_rows(digits: Dataset,
                                                                listed: tuple[str, np.ndarray]) -> None:
    starts = set()
    for seed in range(8):
        design = dealer(digits, "group:10", listed, seed).design(MODELS)
        for model in range(MODELS):
            places = np.searchsorted(design.members(model), design.forgotten(model))
            assert (np.diff(places) == 1).all(), "nothing that stays lies between them"
        starts.add(int(design.pool[0]))
    assert len(starts) > 4, "which one is drawn"


def test_of_a_file_nothing_else_is_deleted(digits: Dataset, listed: tuple[str, np.ndarray]) -> None:
    design = dealer(digits, "rows", listed).design(MODELS)
    assert np.array_equal(design.pool, np.sort(listed[1]))


def test_the_most_exposed_are_those_at_the_head_of_the_ranking(digits: Dataset,
                                                               listed: tuple[str, np.ndarray]) -> None:
    order, dealing = ranked(digits), dealer(digits, "exposed:40", listed)
    design = dealing.design(MODELS, order)
    assert np.isin(design.pool, order[:80]).all() and len(design.pool) > 60
    next_ones = dealing.validation(2, design, order).pool
    assert np.isin(next_ones, order[:170]).all(), "those that come after them"


def test_scouts_are_trained_on_halves_of_as_much(digits: Dataset, listed: tuple[str, np.ndarray]) -> None:
    rows, keep = dealer(digits, "exposed:40", listed).scouts(MODELS)
    assert keep.shape == (MODELS, len(rows)) and (keep.sum(axis=1) == len(rows) // 2).all()
    assert abs(len(rows) - 2 * MEMBERS) <= 10


def test_what_leaves_too_little_is_refused(digits: Dataset, listed: tuple[str, np.ndarray]) -> None:
    large = Dealer(digits, parse_request("class:3"), 1290, 0)
    with pytest.raises(InputError, match="deletion.members is 1290; .* that is more than the 1297"):
        large.check()
    with pytest.raises(InputError, match="beside the samples of 'class:3' there are .* to be retained"):
        Dealer(digits, parse_request("class:3"), 1233, 0).design(MODELS)


def test_a_pool_of_which_too_few_can_be_learnt_and_never_seen_is_refused(digits: Dataset, tmp_path: Path) -> None:
    # Two of one class and one each of nine others: only the two can be dealt to different networks.
    rows = [int(np.flatnonzero(digits.y_train == label)[number]) for label, number in
            [(0, 0), (0, 1), *((label, 0) for label in range(1, 10))]]
    np.save(tmp_path / "few.npy", np.array(sorted(rows)))
    dealing = Dealer(digits, parse_request(str(tmp_path / "few.npy")), MEMBERS, 0)
    dealing.check()
    with pytest.raises(InputError, match="of which a network can learn 1 samples .* expected at least 5"):
        dealing.design(MODELS)


def test_hyper_parameters_are_not_chosen_on_networks_that_learn_less_than_half_as_much(digits: Dataset) -> None:
    dealing = Dealer(digits, parse_request("0.48"), 620, 0)
    with pytest.raises(InputError, match="hyper-parameters are chosen on .* or deletion.validation_models=0"):
        dealing.validation(2, dealing.design(MODELS))


def test_retained_samples_are_compared_with_never_seen_ones_only_where_both_are_drawn_alike(
        digits: Dataset, listed: tuple[str, np.ndarray]) -> None:
    assert {kind: dealer(digits, kind, listed).design(MODELS, ranked(digits)).comparable for kind in KINDS} == {
        "0.1": True, "class:3": False, "group:10": False, "exposed:40": False, "rows": False}
