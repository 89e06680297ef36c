"""Copies of an image never lie on both sides of a boundary, and nothing changes where there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import nn
from sklearn.datasets import load_digits

from command import SMALL, assert_refused, call
from mindleak import settings as config
from mindleak.audits.inversion.gauge import inverted_rows
from mindleak.audits.inversion.plan import plan_inversion
from mindleak.audits.membership.plan import plan_membership
from mindleak.audits.sweep.variants import make_pool
from mindleak.data import catalogue
from mindleak.data.copies import Copies, number_images, number_prepared, several_labels
from mindleak.data.dataset import Dataset
from mindleak.data.piles import take
from mindleak.data.rnn_tutorial_rows import rnn_tutorial_rows
from mindleak.data.splits import (
    LEAST_SHARE,
    deal,
    free_rows,
    halves,
    shadow_splits,
    split_around_members,
    split_roles,
)
from mindleak.errors import InputError
from mindleak.evaluation.nearest import nearest_figures, original_ranks
from mindleak.jobs.session import open_session
from mindleak.subjects.own import Subject
from mindleak.subjects.subject import SubjectPlan, subject_plans


def made(train: np.ndarray, test: np.ndarray, y_train: np.ndarray) -> Dataset:
    """A data set with images of these numbers."""
    y_test = np.zeros(len(test), np.int32)
    images = [numbers[:, None, None, None].astype(np.float32) for numbers in (train, test)]
    return Dataset("made", images[0], y_train.astype(np.int32), images[1], y_test, ("0", "1", "2"), {}, "d", (),
                   number_images(train[:, None], test[:, None]))


def repeated(copies: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of images that occur so often, mixed, and labels that are equal for copies."""
    numbers = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(copies)), copies))
    return numbers, numbers % 3


def shared(numbers: np.ndarray, *roles: np.ndarray) -> set[int]:
    """Numbers of images that occur in more than one role."""
    seen = np.concatenate([np.unique(numbers[rows]) for rows in roles])
    return set(seen[np.flatnonzero(np.bincount(seen)[seen] > 1)].tolist())


# --- numbering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 7), (3, 4, 4), (1, 28, 28)])
def test_equal_images_get_equal_numbers_and_no_others(kind: Any, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    different = np.unique(generator.integers(0, 256, (40, int(np.prod(shape)))), axis=0).reshape(-1, *shape)
    different = (different / (1 if kind is np.uint8 else 255)).astype(kind)
    rows = generator.integers(0, len(different), 130)
    copies = number_images(different[rows[:100]], different[rows[100:]])
    numbers = np.concatenate([copies.train, copies.test])
    np.testing.assert_array_equal(numbers[:, None] == numbers, rows[:, None] == rows)
    assert copies.repeated == 100 - len(set(rows[:100]))
    assert np.array_equal(copies.test_seen, np.isin(rows[100:], rows[:100]))
    assert sorted(rows[100:][copies.unseen_test_rows]) == sorted(set(rows[100:]) - set(rows[:100]))


def test_images_that_differ_in_one_bit_differ() -> None:
    image = np.zeros((1, 28, 28), np.uint32)
    flipped = np.repeat(image.reshape(1, -1), 784 * 32, axis=0).view(np.uint32)
    flipped[np.arange(784 * 32), np.repeat(np.arange(784), 32)] = np.tile(1 << np.arange(32, dtype=np.uint32), 784)
    assert number_images(flipped.reshape(-1, 1, 28, 28), image[None]).repeated == 0


@pytest.mark.parametrize("largest", [1.0, 1 / 255])
@pytest.mark.parametrize("change", ["negative zero", "through 8 bits", "one rounding", "half precision"])
def test_images_that_are_equal_as_bytes_are_copies(change: str, largest: float) -> None:
    generator = np.random.default_rng(0)
    images = np.rint(255 * generator.random((40, 1, 8, 8)) * (generator.random((40, 1, 8, 8)) > 0.5)) / 255 * largest
    images[0, 0, 0, 0] = largest
    if change == "through 8 bits" and largest == 1.0:
        images[1:] += generator.uniform(-0.4, 0.4, (39, 1, 8, 8)) / 255
        images = np.clip(images, 0, 1)
    images = images.astype(np.float32)
    other = {"negative zero": np.where(images == 0, np.float32(-0.0), images),
             "through 8 bits": (np.rint(images * 255 / largest) / 255 * largest).astype(np.float32),
             "one rounding": np.nextafter(images, np.float32(1)),
             "half precision": images.astype(np.float16).astype(np.float32)}[change]
    copies = number_images(images, other)
    assert np.array_equal(copies.train, copies.test) and copies.repeated == 0


@pytest.mark.parametrize("size", [4, 8, 28])
def test_images_that_resizing_makes_equal_are_copies_and_copies_stay_such(tmp_path: Path, size: int) -> None:
    generator = np.random.default_rng(0)
    images = generator.random((60, 8, 8)).astype(np.float32)
    other = images.copy()
    other[:, 0, 0] = 1 - other[:, 0, 0]  # bilinear shrinking to a quarter of the side does not look at the corner
    np.savez(tmp_path / "own.npz", x_train=np.concatenate([images, images]), y_train=np.arange(120) % 3,
             x_test=np.concatenate([other, images])[::-1], y_test=np.arange(120) % 3)
    copies = catalogue.load("custom", tmp_path / "own.npz", size).copies
    assert np.array_equal(copies.train[:60], copies.train[60:]) and copies.repeated == 60
    assert copies.test_seen[:60].all()
    shrunk = catalogue.load("custom", tmp_path / "own.npz", 2).copies
    assert np.array_equal(shrunk.train[:60], shrunk.train[60:]) and shrunk.test_seen.sum() == 120


def test_equal_sources_stay_equal_whatever_the_preparation_makes_of_them() -> None:
    source = Copies(np.array([5, 5, 6]), np.array([6, 7]))
    prepared = number_prepared(source, np.array([[1.0], [2], [3]]), np.array([[4.0], [1]]))
    assert prepared.train[0] == prepared.train[1] == prepared.test[1] and prepared.train[2] == prepared.test[0]


# --- dealing --------------------------------------------------------------------------------------------------------


problems = st.tuples(st.lists(st.integers(1, 4), min_size=60, max_size=120), st.integers(0, 2**32))


@settings(max_examples=60, deadline=None)
@given(problems)
def test_roles_shadows_pools_and_halves_share_no_image(problem: tuple[list[int], int]) -> None:
    numbers, labels = repeated(*problem)
    data = made(numbers, numbers[:3], labels)
    sixth = len(numbers) // 6
    split = split_roles(data, {"target_in": sixth, "target_out": sixth, "population": sixth // 2, "pool": 2 * sixth}, 1)
    assert shared(numbers, *split.indices.values()) == set()
    assert len(split.indices["target_in"]) == len(split.indices["target_out"]) >= min(LEAST_SHARE * sixth, sixth - 3)
    for side in ("target_in", "target_out"):
        assert len(split.distinct(side)) == len(set(numbers[split.indices[side]]))
    for inside, outside in shadow_splits(split, "pool", 3, sixth // 2, sixth // 2, 2):
        assert shared(numbers, inside, outside) == set()
    rows, keep = halves(labels, np.arange(len(labels)), 4, 3, data.copies.train)
    assert np.array_equal(keep.sum(axis=0), np.full(len(rows), 2))
    for kept in keep:
        assert shared(numbers, rows[kept], rows[~kept]) == set()
        assert np.array_equal(*(np.bincount(labels[side], minlength=3) for side in (rows[kept], rows[~kept])))
    pool = make_pool(data, len(numbers) // 2, 4, 5)
    for kept in pool.keep:
        assert shared(numbers, pool.rows[kept], pool.rows[~kept]) == set()
    drawn = inverted_rows(pool, 0, 3, data, 6)
    assert len(set(numbers[drawn])) == 6 and np.array_equal(labels[drawn[:3]], labels[drawn[3:]])


@settings(max_examples=60, deadline=None)
@given(problems)
def test_no_role_around_members_has_a_copy_of_one(problem: tuple[list[int], int]) -> None:
    numbers, labels = repeated(*problem)
    members = np.random.default_rng(1).permutation(len(numbers))[:len(numbers) // 4]
    data, outside = made(numbers, numbers[:3], labels), ~np.isin(numbers, numbers[members])
    assert free_rows(data, members).tolist() == np.flatnonzero(outside).tolist()
    per_class = [np.bincount(labels[rows], minlength=3) for rows in (members, np.flatnonzero(outside))]
    size = int(np.minimum(*per_class).sum()) // 2
    if size < 1:
        return
    split = split_around_members(data, members, {"target_in": size, "target_out": size, "pool": size}, 2)
    assert set(split.indices["target_in"]) <= set(members)
    assert shared(numbers, members, split.indices["target_out"], split.indices["pool"]) == set()
    assert len(split.indices["target_in"]) == len(split.indices["target_out"]) == size


def test_where_there_are_images_enough_none_is_dealt_twice() -> None:
    numbers = np.repeat(np.arange(90), 2)
    data = made(numbers, numbers[:1], numbers % 3)
    members = np.arange(0, 60, 2)
    for pool, twice in ((30, False), (60, True)):
        sizes = {"target_in": 30, "target_out": 30, "pool": pool}
        roles = split_around_members(data, members, sizes, 0).indices
        assert (len(set(numbers[roles["target_out"]])) < 30) == twice == (len(set(numbers[roles["pool"]])) < pool)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(0, 60))
def test_what_is_taken_from_a_pile_is_as_much_as_asked_for_and_shares_no_image_with_the_rest(
        copies: list[int], count: int) -> None:
    images = np.repeat(np.arange(len(copies)), copies)
    pile = np.random.default_rng(0).permutation(len(images))
    part, rest = take(pile, count, images)
    assert len(part) == min(count, len(pile)) and shared(images, part, rest) == set()
    assert len(pile) - len(part) - len(rest) < max(copies)


def test_images_under_two_labels_get_no_role() -> None:
    numbers, labels = np.repeat(np.arange(60), 2), np.repeat(np.arange(60) % 3, 2)
    labels[1] = 2
    assert np.flatnonzero(several_labels(numbers, labels)).tolist() == [0, 1]
    data = made(numbers, numbers[:1], labels)
    assert free_rows(data).tolist() == list(range(2, 120))
    roles = split_roles(data, {"a": 59, "b": 59}, 0).indices
    assert not np.isin([0, 1], np.concatenate(list(roles.values()))).any()
    assert "2 of 120 training images have a copy under another label" in " ".join(data.copies.doubts(labels))


def test_roles_that_copies_leave_too_small_are_refused() -> None:
    numbers = np.concatenate([np.zeros(90, int), np.arange(1, 31)])
    with pytest.raises(InputError, match=r"gets \d+ of \d+ samples, since copies share one role and 120 samples "):
        deal(np.zeros(120, int), np.arange(120), {"a": 30, "b": 30, "c": 60}, np.random.SeedSequence(0), numbers)




@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "cifar10"])
def test_public_data_sets_have_no_copies_so_their_splits_are_those_without_numbers(data_dir: Path, name: str) -> None:
    data = catalogue.load(name, data_dir)
    assert data.copies.repeated == 0 and not data.copies.test_seen.any() and data.doubts == ()
    sixth = len(data.y_train) // 6
    split = split_roles(data, {"target_in": sixth, "target_out": sixth}, 0)
    assert split.images is None


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_numbers_of_different_images_change_nothing(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, 200)
    rows, images = np.arange(10, 190), np.random.default_rng(seed).permutation(200)
    sizes = {"a": 30, "b": 30, "c": 45}
    plain, numbered = (deal(labels, rows, sizes, np.random.SeedSequence(seed), each) for each in (None, images))
    assert all(np.array_equal(plain[role], numbered[role]) for role in sizes)
    for one, other in zip(halves(labels, rows, 4, seed), halves(labels, rows, 4, seed, images)):
        np.testing.assert_array_equal(one, other)


def test_the_documents_non_members_are_no_training_images() -> None:
    copies = number_images(np.arange(50.0)[:, None], np.array([3.0, 60, 61, 61, 62, 4, 63, 64, 65])[:, None])
    rows = rnn_tutorial_rows(np.arange(50), copies.unseen_test_rows, 2, 20, 2, 2, seed=0)
    drawn = np.concatenate([rows.target_test, *(tested for _, tested in rows.shadows)])
    assert set(drawn) <= {1, 2, 4, 6, 7, 8}


# --- ranks ----------------------------------------------------------------------------------------------------------


def test_copies_are_one_candidate_and_chance_knows() -> None:
    different = np.random.default_rng(0).random((20, 1, 4, 4)).astype(np.float32)
    rows = np.repeat(np.arange(20), 5)
    own = np.array([7, 33, 99])
    offered = np.random.default_rng(1).random((3, 1, 4, 4)).astype(np.float32)
    alone = original_ranks(offered, different, rows[own])
    result = original_ranks(offered, different[rows], own, rows)
    assert result.candidates == 20 and np.array_equal(result.ranks, alone.ranks)
    assert np.array_equal(rows[result.nearest], alone.nearest)
    labels = np.arange(20) % 4
    assert nearest_figures(result, labels[rows[own]], labels[rows]) == nearest_figures(alone, labels[rows[own]], labels)
    assert nearest_figures(result, labels[rows[own]], labels[rows])["chance"]["top1"] == 1 / 20


# --- whole commands -------------------------------------------------------------------------------------------------


def digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target


class Tiny(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.dense = nn.Flatten(), nn.Dense(144, 10)

    def construct(self, x: Any) -> Any:
        return self.dense(self.flatten(x))


def plan_of(folder: Path, members: np.ndarray | None, count: int, *assignments: str) -> SubjectPlan:
    """A subject on ``count`` digits, each twice, one after the other; 100 of 500 test images are among them."""
    images, labels = digits()
    rows, test = np.repeat(np.arange(count), 2), slice(count - 100, count + 400)
    np.savez(folder / "own.npz", x_train=images[rows], y_train=labels[rows], x_test=images[test], y_test=labels[test])
    given = ["data.name=custom", f"data.dir={folder / 'own.npz'}", "data.image_size=12", "judge.batch_size=8"]
    session = open_session(config.load(None, [*given, *assignments]), str(folder / "run"), str(folder / "ckpt"), "test")
    (plan,) = subject_plans(session, None if members is None else Subject(Tiny(), members))
    return plan


def test_every_group_of_a_membership_attack_is_free_of_the_members_copies(tmp_path: Path, capsys: Any) -> None:
    members = np.arange(0, 400, 2)  # the first copies of 200 images
    plan = plan_of(tmp_path, members, 800, "membership.attacks=[shadow, lira_online, rnn_tutorial]",
                   "membership.references=4", "membership.shadows=3", "training.epochs=1",
                   "membership.target_in=120", "membership.target_out=120", "membership.rnn_tutorial.train_size=60",
                   "membership.rnn_tutorial.test_size=20", "membership.rnn_tutorial.shadow_test_size=20",
                   "membership.attack.batch_size=8", "membership.population=30", "membership.shadow_pool=900")
    planned = plan_membership(plan)
    said = capsys.readouterr().out
    assert "200 of 1,400 training images outside the members are copies of members' images" in said
    numbers = plan.dataset.copies.train
    split, references, document = planned.split, planned.references, planned.rnn_tutorial
    assert references is not None and document is not None
    others = [split.indices[role] for role in ("target_out", "population", "shadow_pool")]
    assert shared(numbers, members, *others) == set()
    rows, inside = planned.targets()
    assert len(set(numbers[rows])) == len(rows) and inside.sum() == 120 and 60 <= (~inside).sum() <= 65
    for kept in references.keep:
        assert shared(numbers, references.rows[kept], references.rows[~kept], references.population) == set()
    for task in planned.shadows:
        assert shared(numbers, *task.queries, members, split.indices["target_out"]) == set()
    targets = np.concatenate([members, split.indices["target_out"]])
    assert shared(numbers, document.pool, targets) - shared(numbers, targets) == set()
    seen = np.isin(plan.dataset.copies.test, numbers)
    assert not seen[document.target_test].any()


def test_inverted_non_members_and_the_judge_know_no_member(tmp_path: Path) -> None:
    for kind, members in enumerate((None, np.arange(0, 300, 2), np.arange(0, 560))):
        folder = tmp_path / str(kind)
        folder.mkdir()
        plan = plan_of(folder, members, 300, "inversion.images=40", "model.name=lenet5_bias")
        copies = plan.dataset.copies
        planned = plan_inversion(plan)
        others = planned.non_members
        assert others is not None and len(others.rows) >= 30
        numbers = copies.train if others.source == "training split" else copies.test
        trained_on = copies.train if members is None else copies.train[members]
        assert not np.isin(numbers[others.rows], trained_on).any()
        assert len(set(copies.train[planned.rows])) == 40 and len(set(numbers[others.rows])) == len(others.rows)
        assert others.copies == (100 if members is None else 150 if kind == 1 else 80)
        judged = copies.train[planned.judge.rows]
        assert not np.isin(judged, np.concatenate([copies.train[planned.rows], numbers[others.rows]])).any()


def own(folder: Path) -> tuple[str, ...]:
    """The options for a data set whose test split is a part of its training split."""
    images, labels = digits()
    np.savez(folder / "own.npz", x_train=images[:300], y_train=labels[:300], x_test=images[:120], y_test=labels[:120])
    return ("--dataset", "custom", "--data_dir", str(folder / "own.npz"), "--run_dir", str(folder / "run"),
            "--ckpt_dir", str(folder / "ckpt"), *SMALL)


def test_a_test_split_of_training_images_is_said_wherever_its_accuracy_is(capfd: Any, tmp_path: Path) -> None:
    words, files = "120 of 120 test images are copies of training images", own(tmp_path)
    off = ("--set", "membership.enabled=false", "--set", "inversion.enabled=false")
    trained = call(capfd, "train", *files, *off)
    assert trained.code == 0 and trained.out.count(words) == 1
    assert "n 120, all of them training images" in trained.out
    assert words in call(capfd, "predict", *files, *off, "-n", "3").out
    # At once, and again under the tables.
    first, _, last = call(capfd, "audit", *files, *off).out.partition("Before you rely on these figures:")
    assert first.count(words) == 1 and words in " ".join(last.split())
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    assert words in document["findings"][0]["text"]
    assert "120 of 120 test images are copies of images that the network was trained on" in (
        document["subjects"][0]["test_accuracy"]["reason"])
    assert "120 of 120 test images are copies of images that" in (tmp_path / "run" / "report.html").read_text()


def test_the_documents_attack_needs_test_images_that_are_no_training_images(capfd: Any, tmp_path: Path) -> None:
    assert_refused(call(capfd, "attack", "membership", *own(tmp_path), "--set", "membership.attacks=[rnn_tutorial]"),
                   "more than the 0 different images of the test split that are no training images")
