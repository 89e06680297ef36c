"""The RNN tutorial's attack on made-up answers: it is known what is imbalance, what the splits and what membership.

A sample's logits are standard normal, its class's raised by 2, by ``lift`` more for members and by ``shift`` more for
samples of the test split. Without lift nothing can be known of membership, whatever an evaluation prints.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from mindleak import device
from mindleak.attacks.membership.balancing import BALANCINGS, AttackData, doubled, matched_classes, once
from mindleak.attacks.membership.rnn_tutorial import (
    MIN_PER_CLASS,
    ClassScores,
    RnnTutorialAttack,
    RnnTutorialSettings,
)
from mindleak.attacks.membership.rnn_tutorial_protocols import (
    Asked,
    Evaluation,
    classification_text,
    decomposition,
    figures,
    judged,
)
from mindleak.data.rnn_tutorial_rows import rnn_tutorial_rows
from mindleak.errors import InputError

CLASSES = ("nought", "one", "two")
QUICK = RnnTutorialSettings(epochs=3, learning_rate=0.01)


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def logits_of(labels: np.ndarray, raised: np.ndarray, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += 2.0 + raised
    return logits.astype(np.float32)


def labels_of(*counts: int) -> np.ndarray:
    return np.concatenate([np.arange(count) % len(CLASSES) for count in counts]).astype(np.int32)


def attacked(lift: float, shift: float) -> tuple[dict[str, ClassScores], Asked, dict]:
    """The attack on a target of 3,000 members, 3,000 non-members of its split and 300 of the test split."""
    labels = labels_of(9000, 2700)
    members = np.arange(len(labels)) < 9000
    shadows = AttackData(logits_of(labels, lift * members + shift * ~members, 1), members, labels)
    sides = np.repeat([0, 1, 2], [3000, 3000, 300])
    asked = Asked(sides == 0, sides == 2, labels_of(3000, 3000, 300))
    logits = logits_of(asked.labels, lift * asked.members + shift * asked.tested, 2)
    scores = RnnTutorialAttack(len(CLASSES), QUICK, 0).attack(shadows, logits, asked.labels).trained
    return scores, asked, judged(scores, asked, CLASSES, QUICK.batch_size, 0)


def by_name(shown: dict, training: str, evaluation: str) -> dict:
    (found,) = (each for each in shown["evaluations"]
                if (each["training"], each["evaluation"]) == (training, evaluation))
    return found


def holds(metric: dict, value: float, margin: float = 0.02) -> bool:
    return metric["ci"][0] - margin < value < metric["ci"][1] + margin


@pytest.fixture(scope="module")
def nothing_leaks() -> tuple[dict[str, ClassScores], Asked, dict]:
    device.configure("CPU")
    return attacked(0.0, 0.0)


def test_where_nothing_leaks_imbalance_alone_gives_a_high_accuracy(nothing_leaks) -> None:
    _, _, shown = nothing_leaks
    unbalanced = by_name(shown, "none", "as_drawn")
    assert unbalanced["always_member"] == unbalanced["majority"] == 3000 / 3300
    assert unbalanced["accuracy"]["value"] > 0.88
    assert unbalanced["accuracy"]["ci"][0] <= unbalanced["majority"], "no better than always saying member"
    assert holds(unbalanced["balanced_accuracy"], 0.5, 0.03)


def test_where_nothing_leaks_every_other_protocol_is_at_chance(nothing_leaks) -> None:
    _, _, shown = nothing_leaks
    for training, evaluation in (("tutorial", "balanced"), ("tutorial", "same_split"), ("tutorial", "split_control"),
                                 ("once", "balanced"), ("once", "same_split"), ("none", "same_split")):
        found = by_name(shown, training, evaluation)
        assert holds(found["auc"], 0.5), (training, evaluation)
    for part in ("above_chance", "split", "membership"):
        assert holds(shown["decomposition"][part], 0.0), part
    assert by_name(shown, "tutorial", "same_split")["detectable"] < 0.53


def test_a_difference_between_the_splits_is_not_taken_for_membership() -> None:
    _, _, shown = attacked(0.0, -1.5)
    assert by_name(shown, "tutorial", "tutorial")["accuracy"]["ci"][0] > 0.6, "what the tutorial would print"
    assert by_name(shown, "tutorial", "balanced")["auc"]["ci"][0] > 0.6
    assert by_name(shown, "tutorial", "split_control")["auc"]["ci"][0] > 0.6, "and nobody is a member there"
    assert holds(by_name(shown, "tutorial", "same_split")["auc"], 0.5)
    assert shown["decomposition"]["split"]["ci"][0] > 0.05
    assert holds(shown["decomposition"]["membership"], 0.0)


def test_membership_is_not_taken_for_a_difference_between_the_splits() -> None:
    _, _, shown = attacked(1.5, 0.0)
    assert by_name(shown, "tutorial", "same_split")["auc"]["ci"][0] > 0.65
    assert by_name(shown, "once", "same_split")["auc"]["ci"][0] > 0.65
    assert holds(by_name(shown, "tutorial", "split_control")["auc"], 0.5)
    assert shown["decomposition"]["membership"]["ci"][0] > 0.05
    assert holds(shown["decomposition"]["split"], 0.0)


def test_the_two_parts_make_the_whole(nothing_leaks) -> None:
    scores, asked, _ = nothing_leaks
    parts = {name: metric.value for name, metric in decomposition(scores["tutorial"].scores, asked).items()}
    assert parts["above_chance"] == pytest.approx(parts["split"] + parts["membership"], abs=1e-12)


def test_equal_seeds_give_equal_scores(nothing_leaks) -> None:
    scores, _, _ = nothing_leaks
    again, _, _ = attacked(0.0, 0.0)
    for name, each in scores.items():
        np.testing.assert_array_equal(each.scores, again[name].scores)


def hand_made() -> tuple[ClassScores, Asked]:
    """Two classes, 8 and 4 members, 3 and 1 of the test split; all are called members but the members of class 1."""
    labels = np.array([0] * 8 + [1] * 4 + [0] * 3 + [1])
    members = np.arange(16) < 12
    scores = np.where(members & (labels == 1), -1.0, 1.0)
    return ClassScores(scores, {}, {0: 20, 1: 10}), Asked(members, ~members, labels)


def test_counts_of_a_hand_made_split() -> None:
    own, asked = hand_made()
    shown = judged(dict.fromkeys(BALANCINGS, own), asked, ("nought", "one"), 2, 0)
    counted = by_name(shown, "tutorial", "tutorial")
    # 8 members are drawn and 4 non-members counted twice; of each class only whole batches of 2 are tested.
    assert sum(each["testing_number"] for each in shown["classes"]) == 16
    for each in shown["classes"]:
        assert each["tested"] == each["testing_number"] // 2 * 2
    assert counted["counted_in"] + counted["counted_out"] == sum(each["tested"] for each in shown["classes"])
    assert counted["n_out"] <= 4 < counted["counted_out"] <= 8
    assert [each["training_number"] for each in shown["classes"]] == [20, 10]
    # Class 1 is always wrong: its members are called non-members and its non-member a member.
    assert shown["classes"][1]["accuracy"] == 0.0
    drawn = by_name(shown, "tutorial", "as_drawn")
    assert (drawn["n_in"], drawn["n_out"]) == (12, 4) and drawn["accuracy"]["value"] == 8 / 16
    assert drawn["balanced_accuracy"]["value"] == pytest.approx((8 / 12 + 0) / 2)
    balanced = by_name(shown, "tutorial", "balanced")
    assert (balanced["n_in"], balanced["n_out"]) == (4, 4)
    assert balanced["accuracy"]["value"] == 3 / 8
    same = by_name(shown, "tutorial", "same_split")
    assert (same["n_in"], same["n_out"]) == (0, 0) and same["auc"]["value"] is None, "no non-members of the split here"


def test_the_report_is_scikit_learns_and_agrees_with_the_accuracy(nothing_leaks) -> None:
    _, _, shown = nothing_leaks
    printed = re.search(r"accuracy +([0-9.]+) +(\d+)", shown["report"])
    assert printed is not None
    own = by_name(shown, "tutorial", "tutorial")
    assert int(printed[2]) == own["counted_in"] + own["counted_out"]
    assert float(printed[1]) == pytest.approx(own["accuracy"]["value"], abs=0.0051)
    weights = np.array([each["tested"] for each in shown["classes"]])
    values = np.array([each["accuracy"] for each in shown["classes"]])
    assert float((weights * values).sum() / weights.sum()) == pytest.approx(own["accuracy"]["value"])


def test_a_sample_that_counts_twice_is_one_sample_for_the_interval() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=400)
    inside = np.arange(400) < 200
    once_each = figures(scores, Evaluation(np.arange(400), inside))
    rows = np.concatenate([np.arange(400)] * 4)
    four_times = figures(scores, Evaluation(rows, inside[rows]))
    assert four_times["n_in"] == 200 and four_times["counted_in"] == 800
    assert four_times["accuracy"]["value"] == once_each["accuracy"]["value"]
    width = [np.ptp(each["accuracy"]["ci"]) for each in (once_each, four_times)]
    assert width[1] == pytest.approx(width[0], rel=0.15), "counting the same samples again teaches nothing"
    assert four_times["auc"] == once_each["auc"]
    always_right = figures(np.where(inside, 1.0, -1.0), Evaluation(rows, inside[rows]))["accuracy"]
    assert always_right["value"] == 1 and always_right["ci"][0] < 1, "no sample so far was wrong; another may be"


def test_the_decision_is_the_documents_argmax() -> None:
    evaluation = Evaluation(np.arange(5), np.array([True, False, False, False, True]))
    scores = np.array([0.5, 0.0, 0.0, -1.0, -1.0])
    # Equal outputs are argmax 0, a non-member.
    outputs = np.stack([-scores, scores], axis=1)
    expected = accuracy_score(evaluation.inside, outputs.argmax(axis=1))
    assert figures(scores, evaluation)["accuracy"]["value"] == expected == 4 / 5
    assert re.search(r"accuracy +0\.80 +5", classification_text(scores, evaluation))


def test_constant_scores_have_an_auc_of_a_half() -> None:
    found = figures(np.zeros(200), Evaluation(np.arange(200), np.arange(200) < 100))
    assert found["auc"]["value"] == 0.5 and found["balanced_accuracy"]["value"] == 0.5
    labels = labels_of(600, 300)
    shadows = AttackData(np.zeros((900, 3), np.float32), np.arange(900) < 600, labels)
    asked = Asked(np.arange(300) < 200, np.arange(300) >= 250, labels_of(300))
    scores = RnnTutorialAttack(3, QUICK, 0).attack(shadows, np.zeros((300, 3), np.float32), asked.labels).trained
    shown = judged(scores, asked, CLASSES, 50, 0)
    # One score per class, and equal classes: nothing can be told.
    assert by_name(shown, "tutorial", "balanced")["auc"]["value"] == 0.5


def test_a_class_with_too_few_samples_is_named_and_left_out() -> None:
    few = MIN_PER_CLASS // 2 - 1
    labels = np.concatenate([np.zeros(400, int), np.ones(400, int), np.full(2 * few, 2)]).astype(np.int32)
    members = np.concatenate([np.arange(400) < 250, np.arange(400) < 250, np.arange(2 * few) < few])
    shadows = AttackData(logits_of(labels, 0 * members, 0), members, labels)
    # 612 - 2·312 members would be too few for doubling: give the document's share.
    keep = members | (np.arange(len(labels)) % 2 == 0)
    shadows = shadows.take(np.flatnonzero(keep))
    asked = Asked(np.arange(60) < 30, np.arange(60) >= 45, labels_of(60))
    logits = logits_of(asked.labels, 0 * asked.members, 1)
    scores = RnnTutorialAttack(3, QUICK, 0).attack(shadows, logits, asked.labels).trained
    for each in scores.values():
        assert set(each.skipped) == {2} and "non-member rows of shadows; at least 10" in each.skipped[2]
        assert np.isnan(each.scores[asked.labels == 2]).all() and np.isfinite(each.scores[asked.labels != 2]).all()
    shown = judged(scores, asked, CLASSES, 5, 0)
    assert list(shown["skipped_classes"]) == ["two"]
    assert by_name(shown, "tutorial", "as_drawn")["unscored"] == 15
    assert shown["classes"][2]["accuracy"] is None and shown["classes"][2]["training_number"] == 0


def test_fewer_rows_than_a_batch_make_no_attack_model() -> None:
    labels = labels_of(60, 30)
    shadows = AttackData(logits_of(labels, np.zeros(90), 0), np.arange(90) < 60, labels)
    scores = RnnTutorialAttack(3, RnnTutorialSettings(batch_size=50), 0).attack(shadows, shadows.logits, labels).trained
    assert scores["tutorial"].skipped[0] == "40 rows of shadows, fewer than a batch of 50"
    assert np.isnan(scores["tutorial"].scores).all()
    asked = Asked(shadows.members, ~shadows.members, labels)
    shown = judged(scores, asked, CLASSES, 50, 0)
    assert shown["report"] == "" and by_name(shown, "tutorial", "as_drawn")["auc"]["value"] is None


@pytest.mark.parametrize("name, value", [
    ("shadows", 0), ("shadows", -1), ("train_size", 0), ("test_size", -5), ("shadow_test_size", 0), ("dim_hidden", 0),
    ("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("momentum", 1.0)])
def test_settings_out_of_range_are_refused_by_key(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"membership.rnn_tutorial.{name} is {value}"):
        RnnTutorialSettings(**{name: value})


@pytest.mark.parametrize("given, room, complaint", [
    ({"train_size": 101}, (100, 1000, 200), "train_size is 101, and the training split has 100 samples outside"),
    ({"train_size": 10}, (0, 1000, 200), "give membership.target_out fewer"),
    ({"train_size": 100, "test_size": 80, "shadow_test_size": 30}, (100, 100, 200), "than the 100 different images"),
    ({"train_size": 100, "test_size": 51}, (100, 1000, 100), "test_size is 51; .*expected 1 to 50"),
    ({"train_size": 100, "shadow_test_size": 51}, (100, 1000, 100), "shadow_test_size is 51; .*expected 1 to 50")])
def test_sizes_that_the_data_cannot_give_are_refused(given: dict, room: tuple[int, int, int], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        RnnTutorialSettings(**given).sized(200).check(*room)


def test_sizes_follow_the_subject_in_the_documents_proportions() -> None:
    sizes = RnnTutorialSettings().sized(10_000)
    assert (sizes.train, sizes.test, sizes.shadow_test) == (10_000, 500, 3_000)
    sizes.check(40_000, 10_000, 10_000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 60))
def test_the_documents_balancing_counts_every_non_member_twice(seed: int, outside: int, more: int) -> None:
    members = np.arange(3 * outside + more) >= outside
    rows = doubled(AttackData(np.zeros((len(members), 1)), members, np.zeros(len(members), int)),
                   np.random.default_rng(seed))
    counts = np.bincount(rows, minlength=len(members))
    assert (counts[~members] == 2).all() and counts[members].max() <= 1
    assert counts[members].sum() == counts[~members].sum() == 2 * outside


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=120), st.integers(0, 2**32))
def test_matched_rows_have_equal_shares_of_every_class(samples: list[tuple[int, bool]], seed: int) -> None:
    labels, members = (np.array(each) for each in zip(*samples))
    rows = matched_classes(members, labels, np.random.default_rng(seed))
    assert len(np.unique(rows)) == len(rows)
    inside, outside = (np.bincount(labels[rows][members[rows] == side], minlength=3) for side in (True, False))
    np.testing.assert_array_equal(inside * outside.sum(), outside * inside.sum())
    evenly = once(AttackData(np.zeros((len(labels), 0)), members, labels), np.random.default_rng(seed))
    counts = [np.bincount(labels[evenly][members[evenly] == side], minlength=3) for side in (True, False)]
    np.testing.assert_array_equal(*counts)
    possible = [np.bincount(labels[members == side], minlength=3) for side in (True, False)]
    np.testing.assert_array_equal(counts[0], np.minimum(*possible))


def test_draws_are_the_documents() -> None:
    pool = np.arange(100, 500)
    rows = rnn_tutorial_rows(pool, 200, 4, 120, 40, 50, seed=3)
    assert len(np.unique(rows.target_test)) == 40
    for trained, tested in rows.shadows:
        assert len(np.unique(trained)) == 120 and set(trained) <= set(pool)
        assert len(np.unique(tested)) == 50 and not set(tested) & set(rows.target_test)
    assert set(rows.shadows[0][0]) & set(rows.shadows[1][0]), "shadows overlap, as in the document"
    assert not np.array_equal(rows.shadows[0][0], rows.shadows[1][0])
    more = rnn_tutorial_rows(pool, 200, 6, 120, 40, 50, seed=3)
    np.testing.assert_array_equal(more.shadows[3][0], rows.shadows[3][0])
    assert not np.array_equal(rnn_tutorial_rows(pool, 200, 4, 120, 40, 50, seed=4).target_test, rows.target_test)
