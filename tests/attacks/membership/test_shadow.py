"""The shadow attack on made-up answers, where the best possible AUC is known in closed form.

A model's logits are standard normal, the true class's raised by 2, a member's by ``lift`` more. Softmax keeps the
differences z_y - z_j only, so the best statistic is z_y minus the mean of the others, and with C classes

    AUC = Φ(lift / √(2 C/(C - 1))).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from made_up_answers import CLASSES, SHADOWS, SUBJECT, answers, best_auc, shadows_with
from mindleak import device
from mindleak.attacks.membership import class_models, report, shadow
from mindleak.attacks.membership.class_models import AttackTraining, ClassModels
from mindleak.attacks.membership.shadow import (
    MIN_PER_CLASS,
    Answers,
    ShadowAttack,
    ShadowAttackResult,
    require_enough,
)
from mindleak.errors import InputError
from mindleak.evaluation.intervals import proportion
from mindleak.evaluation.roc import auc
from mindleak.models.fcnet import FCNet
from mindleak.training.stacked import FCNetStack


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def attack(shadows: Sequence[Answers], subject: Answers, seed: int = 0, classes: int = CLASSES,
           **training: float) -> ShadowAttackResult:
    return ShadowAttack(classes, AttackTraining(**training), seed).attack(shadows, subject)


@pytest.fixture(scope="module")
def subject() -> Answers:
    return answers(SUBJECT, 1.5, 7)


@pytest.fixture(scope="module")
def result(subject: Answers) -> ShadowAttackResult:
    return attack(shadows_with(1.5), subject)


def test_it_reaches_the_best_possible_auc(result: ShadowAttackResult) -> None:
    # Φ(1.5/√3) = .807; the sampling error of 1,500 against 1,500 is .008.
    assert best_auc(1.5) == pytest.approx(0.8068, abs=1e-4)
    assert auc(result.scores, result.members).value == pytest.approx(best_auc(1.5), abs=0.025)


def test_every_class_learns(result: ShadowAttackResult) -> None:
    # The models of all classes share one compiled loop; once, only the first class in it learnt anything.
    for label in range(CLASSES):
        of_class = result.labels == label
        assert auc(result.scores[of_class], result.members[of_class]).value > best_auc(1.5) - 0.05


def test_the_threshold_fixed_beforehand_is_a_fair_one(result: ShadowAttackResult) -> None:
    accuracy = float((result.predicted == result.members).mean())
    best = float(stats.norm.cdf(1.5 / 2 / math.sqrt(CLASSES / (CLASSES - 1))))
    assert accuracy == pytest.approx(best, abs=0.03)
    np.testing.assert_array_equal(result.predicted, result.scores > 0)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_leak_there_is_nothing_to_find(seed: int) -> None:
    shadows = [answers(600, 0.0, 1000 * seed + number) for number in range(2)]
    found = attack(shadows, answers(SUBJECT, 0.0, 1000 * seed + 50), seed)
    low, high = auc(found.scores, found.members, level=0.999).ci or (1, 0)
    assert low < 0.5 < high


def test_shadows_that_confuse_in_and_out_point_the_wrong_way(subject: Answers) -> None:
    swapped = [Answers(one.logits, one.labels, ~one.members) for one in shadows_with(1.5)]
    found = attack(swapped, subject)
    assert auc(found.scores, found.members).value == pytest.approx(1 - best_auc(1.5), abs=0.025)


def test_scores_do_not_depend_on_who_the_members_are(subject: Answers, result: ShadowAttackResult) -> None:
    shuffled = Answers(subject.logits, subject.labels, np.random.default_rng(0).permutation(subject.members))
    again = attack(shadows_with(1.5), shuffled)
    np.testing.assert_array_equal(again.scores, result.scores)
    np.testing.assert_array_equal(again.predicted, result.predicted)
    assert auc(again.scores, again.members).value == pytest.approx(0.5, abs=0.04)


def test_equal_seeds_give_equal_scores_and_others_do_not(subject: Answers, result: ShadowAttackResult) -> None:
    np.testing.assert_array_equal(attack(shadows_with(1.5), subject).scores, result.scores)
    assert not np.array_equal(attack(shadows_with(1.5), subject, seed=1).scores, result.scores)


def test_a_class_is_attacked_as_if_it_were_alone(subject: Answers, result: ShadowAttackResult) -> None:
    last = subject.labels == CLASSES - 1
    alone = attack(shadows_with(1.5), Answers(subject.logits[last], subject.labels[last], subject.members[last]))
    np.testing.assert_allclose(alone.scores, result.scores[last], rtol=1e-5, atol=1e-5)
    assert set(alone.skipped) == {0, 1} and list(alone.attack_rows) == [2]


class Recording(FCNetStack):
    """The stack of attack models, remembering what it was given."""

    features: np.ndarray
    targets: np.ndarray
    batches: list[list[np.ndarray]]

    def __init__(self, networks: Sequence[FCNet], features: np.ndarray, targets: np.ndarray, rate: float) -> None:
        super().__init__(networks, features, targets, rate)
        Recording.features, Recording.targets, Recording.batches = features, targets, []

    def epoch(self, batches: Sequence[np.ndarray | None]) -> None:
        Recording.batches.append([rows for rows in batches if rows is not None])
        super().epoch(batches)


@pytest.mark.parametrize("count, trained_on", [(2, 1), (3, 1), (4, 2), (8, 6), (10, 7)])
def test_the_shadows_that_stop_and_that_set_thresholds_are_never_trained_on(
        count: int, trained_on: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_models, "FCNetStack", Recording)
    shadows = shadows_with(1.5, count, 120)
    attack(shadows, answers(90, 1.5, 1), epochs=1, batch_size=10)
    expected = np.concatenate([shadow.posteriors(one.logits) for one in shadows[:trained_on]])
    np.testing.assert_array_equal(Recording.features, expected)


def test_attack_models_see_as_many_members_as_non_members_of_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_models, "FCNetStack", Recording)
    lopsided = []
    for one in shadows_with(1.5, 2, 900):
        kept = one.members | (np.arange(900) % 5 == 1)
        lopsided.append(Answers(one.logits[kept], one.labels[kept], one.members[kept]))
    found = attack(lopsided, answers(90, 1.5, 1), epochs=2, batch_size=10, patience=9)
    labels, members = lopsided[0].labels, lopsided[0].members
    for label in range(CLASSES):
        rarer = min(np.sum((labels == label) & (members == side)) for side in (True, False))
        assert found.attack_rows[label] == 2 * rarer
        for epoch in Recording.batches:
            rows = epoch[label].ravel()
            assert len(set(rows)) == len(rows) == 2 * rarer // 10 * 10
            assert (labels[rows] == label).all()
            assert abs(Recording.targets[rows].mean() - 0.5) <= 9 / len(rows)


def without(one: Answers, label: int, keep: int = 0) -> Answers:
    kept = (one.labels != label) | (np.cumsum((one.labels == label) & one.members) <= keep) & one.members
    return Answers(one.logits[kept], one.labels[kept], one.members[kept])


def test_classes_that_cannot_be_attacked_are_named_and_the_others_are() -> None:
    shadows = shadows_with(1.5, 2, 600)
    few = [shadows[0], without(shadows[1], 0, keep=3)]
    found = attack(few, without(answers(300, 1.5, 1), 2), epochs=3)
    assert found.skipped == {0: "0 shadow samples on the smaller side; at least 10 are needed",
                             2: "no sample of the subject's is of this class"}
    assert list(found.attack_rows) == [1]
    np.testing.assert_array_equal(found.attacked, found.labels == 1)
    assert np.isnan(found.scores[found.labels == 0]).all()
    assert not found.predicted[~found.attacked].any()


def test_no_class_in_common_is_refused() -> None:
    shadows = [without(without(one, 0), 1) for one in shadows_with(1.5, 2, 600)]
    with pytest.raises(InputError, match="none of the subject's samples"):
        attack(shadows, without(answers(300, 1.5, 1), 2))


def test_a_model_that_answers_the_same_to_everything_gives_an_auc_of_one_half() -> None:
    def constant(one: Answers) -> Answers:
        return Answers(np.zeros_like(one.logits), one.labels, one.members)

    found = attack([constant(one) for one in shadows_with(0, 2, 300)], constant(answers(300, 0, 1)), epochs=3)
    assert np.isfinite(found.scores).all()
    metric = auc(found.scores, found.members)
    assert metric.value == 0.5 and metric.ci is not None and metric.ci[0] < 0.5 < metric.ci[1]


def test_huge_logits_stay_finite() -> None:
    def enlarged(one: Answers) -> Answers:
        return Answers(one.logits * 1e6, one.labels, one.members)

    found = attack([enlarged(one) for one in shadows_with(1.5, 2, 300)], enlarged(answers(300, 1.5, 1)), epochs=3)
    assert np.isfinite(found.scores).all()


def test_early_stopping_goes_back_to_the_best_weights() -> None:
    noisy = [answers(180, 0.3, seed) for seed in range(2)]
    fit, stop = (shadow._rows_of([one]) for one in noisy)
    training = AttackTraining(dim_hidden=50, epochs=60, batch_size=5, learning_rate=0.05, patience=12)
    losses: list[np.ndarray] = []

    class Watched(ClassModels):
        def _held_out_losses(self) -> np.ndarray:
            losses.append(super()._held_out_losses())
            return losses[-1]

    models = Watched(fit, stop, range(CLASSES), training, 0)
    history = np.stack(losses)
    kept = ClassModels._held_out_losses(models)
    gains = []
    for model in range(CLASSES):
        best = int(history[:, model].argmin())
        # Who is out of patience rests, with the weights of its last epoch, while the others go on.
        resting = history[best + training.patience:, model]
        assert len(resting) > 0 and (resting == resting[0]).all()
        assert kept[model] == history[best, model]
        gains.append(resting[0] - kept[model])
    assert len({int(history[:, model].argmin()) for model in range(CLASSES)}) > 1, "no two stop together here"
    # .009 to .2 over five seeds of the attack models.
    assert max(gains) > 1e-3


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_shadows_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"membership.shadows is {count}; expected at least 2"):
        attack(shadows_with(1.5, count, 60), answers(60, 1.5, 1))


def test_shadows_too_small_for_every_class_are_refused() -> None:
    with pytest.raises(InputError, match="at most 9 members and non-members of a class"):
        attack(shadows_with(1.5, 2, 6 * 9), answers(60, 1.5, 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**31))
def test_what_is_enough_is_counted_on_the_scarcest_side(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    sides = [tuple(generator.integers(0, 4, generator.integers(20, 200)) for _ in range(2)) for _ in range(count)]
    stopping = 1 if count == 2 else max(1, (count - 1) // 4)
    others = sides if count == 2 else sides[:-1]
    expected = [min(sum(int(np.sum(pair[side] == label)) for pair in part)
                    for part in (others[:-stopping], others[-stopping:]) for side in (0, 1)) for label in range(4)]
    if max(expected) < MIN_PER_CLASS:
        with pytest.raises(InputError):
            require_enough(sides, 4)
    else:
        assert require_enough(sides, 4) == expected


@pytest.mark.parametrize("name, value", [("dim_hidden", 0), ("epochs", 0), ("batch_size", -1), ("patience", 0),
                                         ("learning_rate", 0.0), ("learning_rate", float("inf")),
                                         ("learning_rate", float("nan"))])
def test_attack_training_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"membership.attack.{name}"):
        AttackTraining(**{name: value})


def test_the_figures_agree_with_the_scores(result: ShadowAttackResult) -> None:
    kept = result.threshold_shadow
    figures = report.figures(result.scores, result.members, result.predicted, kept.non_members())
    right = result.predicted == result.members
    assert figures["accuracy"]["value"] == pytest.approx(right.mean())
    assert figures["recall"]["value"] == pytest.approx(right[result.members].mean())
    assert figures["precision"]["value"] == pytest.approx(result.members[result.predicted].mean())
    assert figures["support"] == int(result.members.sum())
    assert figures["non_member"]["recall"]["value"] == pytest.approx(right[~result.members].mean())
    for name in ("tpr@0.01", "tpr_own_roc@0.01"):
        rate = figures[name]
        above = result.scores >= rate["threshold"]
        assert rate["value"] == pytest.approx(above[result.members].mean())
        assert rate["fpr"] == pytest.approx(above[~result.members].mean())
    assert figures["tpr_own_roc@0.01"]["fpr"] <= 0.01
    rows = report.per_class(result.scores, result.members, result.predicted, result.labels, ("a", "b", "c"),
                            kept.non_members)
    assert [(row["class"], row["name"]) for row in rows] == [(0, "a"), (1, "b"), (2, "c")]
    assert sum(row["support_in"] + row["support_out"] for row in rows) == SUBJECT


def test_thresholds_come_from_a_shadow_and_not_from_the_subject(result: ShadowAttackResult) -> None:
    kept = result.threshold_shadow
    assert len(kept.scores) == SHADOWS and not kept.stopped_too
    figures = report.figures(result.scores, result.members, result.predicted, kept.non_members())
    own = np.sort(kept.scores[~kept.members])[::-1]
    # 751 · .01 = 7.51: the seventh highest of 750 non-members is the border.
    assert figures["tpr@0.01"]["threshold"] == np.nextafter(own[6], np.inf)
    # Another subject's non-members do not move it, while the subject's own ROC moves with them.
    shifted = np.where(result.members, result.scores, result.scores + 3)
    moved = report.figures(shifted, result.members, result.predicted, kept.non_members())
    assert moved["tpr@0.01"]["threshold"] == figures["tpr@0.01"]["threshold"]
    assert moved["tpr@0.01"]["value"] == figures["tpr@0.01"]["value"]
    assert moved["tpr@0.01"]["fpr"] > 0.05 >= moved["tpr_own_roc@0.01"]["fpr"]


def test_a_rate_that_the_threshold_shadow_cannot_resolve_has_no_value_and_says_so(result: ShadowAttackResult) -> None:
    kept = result.threshold_shadow
    figures = report.figures(result.scores, result.members, result.predicted, kept.non_members())
    assert figures["tpr@0.001"]["value"] is None
    assert figures["tpr@0.001"]["reason"] == ("750 non-members of the threshold shadow cannot set a threshold for a "
                                              "false-positive rate of 0.001; at least 999 are needed")
    said = report.thresholds(kept.non_members(), kept.stopped_too)
    assert said["n_out"] == 750 and said["borders"]["0.001"]["border"] is None
    assert said["borders"]["0.01"]["border"] < figures["tpr@0.01"]["threshold"]
    assert "non-member" in said["tie_rule"] and said["shadow_stopped_training_too"] is False


def test_classes_have_thresholds_of_their_own(result: ShadowAttackResult) -> None:
    kept = result.threshold_shadow
    rows = report.per_class(result.scores, result.members, result.predicted, result.labels, ("a", "b", "c"),
                            kept.non_members)
    for row in rows:
        highest = np.sort(kept.scores[~kept.members & (kept.labels == row["class"])])[::-1]
        assert len(highest) == 250 and row["tpr@0.01"]["threshold"] == np.nextafter(highest[1], np.inf)


def test_of_two_shadows_one_stops_the_training_and_sets_thresholds() -> None:
    shadows = shadows_with(1.5, 2, 300)
    found = attack(shadows, answers(300, 1.5, 1), epochs=2)
    assert found.threshold_shadow.stopped_too
    np.testing.assert_array_equal(found.threshold_shadow.labels, shadows[1].labels)


def test_the_threshold_shadow_is_scored_like_the_subject() -> None:
    shadows = shadows_with(1.5, 3, 600)
    found = attack(shadows, shadows[-1], epochs=3)
    np.testing.assert_allclose(found.threshold_shadow.scores, found.scores, atol=1e-5)


def test_the_gap_between_seen_and_unseen_has_an_interval() -> None:
    found = report.generalisation(proportion(95, 100), proportion(80, 100))
    assert (found["train"], found["test"]) == (0.95, 0.8) and found["gap"]["value"] == pytest.approx(0.15)
    assert found["gap"]["ci"][0] > 0


def test_what_too_few_samples_cannot_show_is_null() -> None:
    none = dict.fromkeys(["auc", *(f"{name}@{rate}" for name in ("tpr", "tpr_own_roc") for rate in (0.01, 0.001))])
    assert report.detectable(2, 2) == {**none, "level": 0.95, "power": 0.8}
    large = report.detectable(10_000, 10_000)
    assert 0.5 < large["auc"] < 0.52
