"""Roles and shadows: disjoint, stratified, matched, reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.data.dataset import Dataset
from mindleak.data.splits import Split, check_rows, deal, halves, shadow_splits, split_around_members, split_roles
from mindleak.errors import InputError

MNIST_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_ROLES = {"target_in": 10_000, "target_out": 10_000, "population": 5_000, "shadow_pool": 35_000}


def dataset_of(counts, digest: str = "d") -> Dataset:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    images = np.zeros((len(labels), 1, 1, 1), np.float32)
    names = tuple(str(number) for number in range(len(counts)))
    return Dataset("made", images, labels, images[:1], labels[:1], names, {}, digest)


def classes_of(split: Split, role: str, classes: int) -> np.ndarray:
    return np.bincount(split.labels[split.indices[role]], minlength=classes)


def test_roles_of_full_mnist_use_every_row_once_with_equal_target_classes():
    split = split_roles(dataset_of(MNIST_COUNTS), MNIST_ROLES, 1)
    assert split.sizes == MNIST_ROLES
    everything = np.concatenate(list(split.indices.values()))
    np.testing.assert_array_equal(np.sort(everything), np.arange(60_000))
    np.testing.assert_array_equal(classes_of(split, "target_in", 10), classes_of(split, "target_out", 10))
    for role, size in MNIST_ROLES.items():
        share = np.array(MNIST_COUNTS) * size / 60_000
        assert np.abs(classes_of(split, role, 10) - share).max() < 2.5


@st.composite
def problems(draw):
    counts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    total = sum(counts)
    roles = draw(st.integers(1, min(4, total)))
    sizes = {}
    left = total
    for number in range(roles):
        size = draw(st.integers(1, left - (roles - number - 1)))
        sizes[f"role{number}"] = size
        left -= size
    return counts, sizes, draw(st.integers(0, 5))


@given(problems())
def test_roles_are_disjoint_sorted_and_of_the_size_asked_for(problem):
    counts, sizes, seed = problem
    split = split_roles(dataset_of(counts), sizes, seed)
    assert split.sizes == sizes
    rows = np.concatenate(list(split.indices.values()))
    assert len(np.unique(rows)) == len(rows)
    for indices in split.indices.values():
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), part=st.floats(0, 1), seed=st.integers(0, 5))
def test_equal_roles_get_equal_classes_or_differ_by_one(counts, part, seed):
    size = max(1, int(part * (sum(counts) // 2)))
    if 2 * size > sum(counts):
        return
    split = split_roles(dataset_of(counts), {"target_in": size, "target_out": size}, seed)
    assert split.sizes == {"target_in": size, "target_out": size}
    inside, outside = (classes_of(split, role, len(counts)) for role in ("target_in", "target_out"))
    assert np.abs(inside - outside).max() <= 1
    if sum(count // 2 for count in counts) >= size:
        np.testing.assert_array_equal(inside, outside)


def test_odd_leftovers_are_dealt_round_when_equal_roles_use_everything():
    split = split_roles(dataset_of((5, 5, 5)), {"a": 5, "b": 5, "c": 5}, 0)
    counts = np.array([classes_of(split, role, 3) for role in "abc"])
    assert counts.sum(axis=1).tolist() == [5, 5, 5]
    assert counts.sum(axis=0).tolist() == [5, 5, 5]
    assert counts.max() - counts.min() == 1


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), part=st.floats(0.01, 1), seed=st.integers(0, 3))
def test_one_role_has_the_proportions_of_the_data_to_within_one(counts, part, seed):
    size = max(1, int(part * sum(counts)))
    split = split_roles(dataset_of(counts), {"only": size}, seed)
    share = np.array(counts) * size / sum(counts)
    assert np.abs(classes_of(split, "only", len(counts)) - share).max() < 1


def test_roles_depend_on_seed_and_sizes_but_not_on_their_order():
    data = dataset_of((40, 30, 50))
    sizes = {"target_in": 20, "target_out": 20, "population": 7}
    first = split_roles(data, sizes, 3)
    turned = split_roles(data, dict(reversed(sizes.items())), 3)
    assert first.digest == turned.digest
    assert first.digest != split_roles(data, sizes, 4).digest
    assert first.digest != split_roles(data, {**sizes, "population": 8}, 3).digest


def test_digest_covers_data_and_role_names():
    split = split_roles(dataset_of((10, 10)), {"a": 5, "b": 6}, 0)
    again = Split(split.indices, split.labels, 0, "other data")
    renamed = Split({"a": split.indices["a"], "c": split.indices["b"]}, split.labels, 0, split.data_digest)
    assert len({split.digest, again.digest, renamed.digest}) == 3


def test_split_leaves_the_global_random_state_alone_and_ignores_it():
    data = dataset_of((20, 20))
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = split_roles(data, {"a": 10}, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    assert split_roles(data, {"a": 10}, 0).digest == first.digest


def test_indices_are_read_only():
    split = split_roles(dataset_of((20, 20)), {"a": 10}, 0)
    with pytest.raises(ValueError, match="read-only"):
        split.indices["a"][0] = 5


def test_overlapping_roles_cannot_be_constructed():
    labels = np.zeros(5, np.int32)
    with pytest.raises(ValueError, match="share samples"):
        Split({"a": np.array([0, 1]), "b": np.array([1, 2])}, labels, 0, "d")


def test_asking_for_too_much_names_asked_and_available():
    with pytest.raises(InputError) as error:
        split_roles(dataset_of((10, 12)), {"target_in": 10, "target_out": 13}, 0)
    message = str(error.value)
    assert "23 samples" in message
    assert "target_out 13" in message
    assert "the training split of made has 22" in message


@pytest.mark.parametrize("size", [0, -3, 2.0, True, "7"])
def test_sizes_must_be_positive_whole_numbers(size):
    with pytest.raises(InputError, match="size of 'a'"):
        split_roles(dataset_of((10, 12)), {"a": size}, 0)


def test_no_roles_and_negative_seeds_are_refused():
    with pytest.raises(InputError, match="at least one role"):
        split_roles(dataset_of((10,)), {}, 0)
    with pytest.raises(InputError, match="seed -1"):
        split_roles(dataset_of((10,)), {"a": 1}, -1)


# --- shadows ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist_split() -> Split:
    return split_roles(dataset_of(MNIST_COUNTS), MNIST_ROLES, 1)


def test_shadows_draw_disjoint_balanced_halves_from_the_pool_only(mnist_split):
    for inside, outside in shadow_splits(mnist_split, "shadow_pool", 3, 10_000, 10_000, 7):
        assert len(inside) == len(outside) == 10_000
        assert not np.intersect1d(inside, outside).size
        assert np.isin(inside, mnist_split.indices["shadow_pool"]).all()
        assert np.isin(outside, mnist_split.indices["shadow_pool"]).all()
        classes = [np.bincount(mnist_split.labels[half], minlength=10) for half in (inside, outside)]
        np.testing.assert_array_equal(*classes)
        assert np.abs(classes[0] - classes_of(mnist_split, "target_in", 10)).max() <= 2


def test_shadow_k_is_the_same_whatever_the_number_of_shadows(mnist_split):
    few = shadow_splits(mnist_split, "shadow_pool", 2, 500, 400, 7)
    many = shadow_splits(mnist_split, "shadow_pool", 5, 500, 400, 7)
    for one, other in zip(few, many):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_shadows_differ_from_each_other_and_between_seeds(mnist_split):
    drawn = shadow_splits(mnist_split, "shadow_pool", 3, 500, 500, 7)
    drawn += shadow_splits(mnist_split, "shadow_pool", 1, 500, 500, 8)
    assert len({inside.tobytes() for inside, _ in drawn}) == 4


def test_shadow_draws_are_uniform_over_the_pool(mnist_split):
    """Every pool row must be used about as often as any other: 64 shadows of 20,000 out of 35,000."""
    used = np.zeros(60_000, int)
    for inside, outside in shadow_splits(mnist_split, "shadow_pool", 64, 10_000, 10_000, 0):
        used[inside] += 1
        used[outside] += 1
    used = used[mnist_split.indices["shadow_pool"]]
    p = 20 / 35
    assert abs(used.mean() - 64 * p) < 1e-9
    assert used.std() == pytest.approx(np.sqrt(64 * p * (1 - p)), rel=0.03)


def test_shadows_ask_for_more_than_the_pool_has(mnist_split):
    with pytest.raises(InputError, match=r"36000 samples \(in 18000 \+ out 18000\).*'shadow_pool' has 35000"):
        shadow_splits(mnist_split, "shadow_pool", 1, 18_000, 18_000, 0)
    with pytest.raises(InputError, match="no role 'pool'"):
        shadow_splits(mnist_split, "pool", 1, 1, 1, 0)
    with pytest.raises(InputError, match="size of 'shadows' is 0"):
        shadow_splits(mnist_split, "shadow_pool", 0, 1, 1, 0)


# --- a model of one's own --------------------------------------------------------------------------------


def test_roles_around_given_members():
    data = dataset_of((60, 40, 50))
    members = np.random.default_rng(2).permutation(150)[:70]
    sizes = {"target_in": 20, "target_out": 20, "shadow_pool": 40}
    split = split_around_members(data, members, sizes, 0)
    assert split.sizes == sizes
    assert np.isin(split.indices["target_in"], members).all()
    for role in ("target_out", "shadow_pool"):
        assert not np.isin(split.indices[role], members).any()
    np.testing.assert_array_equal(classes_of(split, "target_in", 3), classes_of(split, "target_out", 3))


@pytest.mark.parametrize(
    ("members", "sizes", "words"),
    [
        (np.array([1, 2, 2]), {"target_in": 1, "target_out": 1}, "row 2 is listed more than once"),
        (np.array([1, 20]), {"target_in": 1, "target_out": 1}, "row 20 is outside the training split"),
        (np.array([-1, 3]), {"target_in": 1, "target_out": 1}, "row -1 is outside"),
        (np.array([0.5]), {"target_in": 1, "target_out": 1}, "expected row numbers"),
        (np.arange(5), {"target_in": 6, "target_out": 6}, "only 5 members"),
        (np.arange(5), {"target_in": 2, "target_out": 3}, "with one size"),
        (np.arange(5), {"target_in": 2}, "with one size"),
        (np.arange(5), {"target_in": 2, "target_out": 2, "shadow_pool": 14}, "outside the members has 15"),
    ],
)
def test_impossible_members_are_refused(members, sizes, words):
    with pytest.raises(InputError) as error:
        split_around_members(dataset_of((20,)), members, sizes, 0)
    assert words in str(error.value)


@pytest.mark.parametrize("kind", [bool, int, np.uint8, float])
@pytest.mark.parametrize(("rows", "fits"), [(20, True), (25, False), (3, False)])
def test_a_mask_in_place_of_row_numbers_is_called_one_and_turned_into_rows(kind, rows, fits):
    mask = (np.arange(rows) % 3 > 0).astype(kind)
    with pytest.raises(InputError, match=r"looks? like a mask.*np\.flatnonzero\(mask\)") as error:
        check_rows(mask, 20, "members file 'm.npy'")
    assert str(error.value).startswith("members file 'm.npy': ")
    assert ("the training split has 20 rows" in str(error.value)) != fits


@pytest.mark.parametrize("rows", [[0, 1], [1, 0], [1], [0], [0, 1, 2]])
def test_few_small_row_numbers_are_no_mask(rows):
    assert check_rows(np.array(rows), 20, "members").tolist() == sorted(rows)


def test_deal_does_not_depend_on_the_order_of_the_rows():
    labels = np.repeat([0, 1], 10)
    rows = np.arange(4, 18)
    one = deal(labels, rows, {"a": 5, "b": 4}, np.random.SeedSequence(1))
    other = deal(labels, rows[::-1], {"a": 5, "b": 4}, np.random.SeedSequence(1))
    np.testing.assert_array_equal(one["a"], other["a"])


@given(st.integers(1, 4), st.lists(st.integers(0, 4), min_size=10, max_size=120), st.integers(0, 5))
def test_halves_give_every_model_half_of_every_class_and_every_row_half_of_the_models(
        pairs: int, classes: list[int], seed: int) -> None:
    labels = np.array(classes, np.int32)
    kept, keep = halves(labels, np.arange(len(labels)), 2 * pairs, seed)
    assert keep.shape == (2 * pairs, len(kept))
    assert (keep.sum(axis=0) == pairs).all()
    assert len(kept) == sum(count // 2 * 2 for count in np.bincount(labels))
    for model in keep:
        np.testing.assert_array_equal(np.bincount(labels[kept[model]], minlength=5),
                                      np.bincount(labels[kept[~model]], minlength=5))
    np.testing.assert_array_equal(kept, np.unique(kept))


def test_halves_follow_from_the_seed_and_differ_between_seeds_and_models() -> None:
    labels = np.tile(np.arange(10), 40)
    rows = np.arange(400)
    kept, keep = halves(labels, rows, 4, 0)
    again = halves(labels, rows[::-1], 4, 0)
    np.testing.assert_array_equal(keep, again[1])
    np.testing.assert_array_equal(kept, again[0])
    assert not np.array_equal(keep, halves(labels, rows, 4, 1)[1])
    assert len(np.unique(keep, axis=0)) == 4
    # Independent of the class: of 6 ways to be in two of four models each is as likely.
    patterns = np.bincount((keep * np.array([[1], [2], [4], [8]])).sum(axis=0), minlength=16)
    assert (patterns[[3, 5, 6, 9, 10, 12]] > 30).all() and patterns.sum() == 400


@pytest.mark.parametrize("models", [0, 1, 3])
def test_halves_of_an_odd_number_of_models_are_refused(models: int) -> None:
    with pytest.raises(InputError, match=f"{models} models cannot each have half"):
        halves(np.zeros(10, np.int32), np.arange(10), models, 0)


def test_halves_of_classes_of_one_are_refused() -> None:
    with pytest.raises(InputError, match="no class has two samples"):
        halves(np.arange(5), np.arange(5), 2, 0)


@pytest.mark.parametrize("values, shown", [((-1, 1), "-1, 1"), ((0, 1, 2), "0, 1, 2"), ((3.0, 0.5), "0.5, 3")])
def test_one_of_a_few_numbers_for_every_row_is_taken_for_a_mask_too(values, shown):
    column = np.array(values)[np.arange(20) % len(values)]
    with pytest.raises(InputError, match=rf"{len(values)} different numbers \({shown}\) for 20 rows look like a mask"):
        check_rows(column, 20, "members file 'm.npy'")
