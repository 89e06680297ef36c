"""The improved attack on made-up answers, where the best possible AUC is known in closed form.

Answers are those of tests/made_up_answers.py: standard normal logits, the true class's raised by 2, a member's
by ``lift`` more; AUC = Φ(lift / √(2 C/(C - 1))) at best. Where samples have difficulties of their own, calibration
alone comes near the best there is.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from made_up_answers import CLASSES, SUBJECT, answers, best_auc, shadows_with
from mindleak import device
from mindleak.attacks.membership import report
from mindleak.attacks.membership.ablation import ablation_record
from mindleak.attacks.membership.attack_models import MODELS, AttackRows, ImprovedTraining, make_model
from mindleak.attacks.membership.features import Observation, out_calibration
from mindleak.attacks.membership.improved import (
    ALL,
    BASELINE,
    AblationVariant,
    ImprovedAttack,
    Observed,
    VariantTrainer,
    ablation_variants,
    checked_ablation,
)
from mindleak.attacks.membership.shadow import Answers, ShadowAttackResult
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc

BASIC = ("posterior", "top3", "loss", "modified_entropy", "phi", "correct")
TRAINING = ImprovedTraining(epochs=15, batch_size=100, learning_rate=0.005)


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def observed(one: Answers, **more: np.ndarray) -> Observed:
    return Observed(Observation(one.logits, one.labels, **more), one.members)


def made(lift: float, subject: Observed, *, count: int = 3, size: int = 1500, groups: tuple[str, ...] = BASIC,
         training: ImprovedTraining = TRAINING, seed: int = 0) -> VariantTrainer:
    shadows = [observed(one) for one in shadows_with(lift, count, size)]
    return ImprovedAttack(CLASSES, groups, training, seed).prepared(shadows, subject)


def variant(model: str = "network", per_class: bool = False, features: tuple[str, ...] = BASIC) -> AblationVariant:
    return AblationVariant("it", features, model, per_class)


def area(result: ShadowAttackResult) -> float:
    return auc(result.scores[result.attacked], result.members[result.attacked]).value


@pytest.fixture(scope="module")
def subject() -> Observed:
    return observed(answers(SUBJECT, 1.5, 7))


@pytest.fixture(scope="module")
def attack(subject: Observed) -> VariantTrainer:
    """One attack for all variants: its network is compiled once."""
    return made(1.5, subject)


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_attack_model_reaches_nearly_the_best_possible_auc(
        attack: VariantTrainer, model: str, per_class: bool) -> None:
    # Φ(1.5/√3) = .807. Trees on few rows stay some hundredths below; guessing would be .5.
    found = area(attack.run(variant(model, per_class)))
    assert best_auc(1.5) - 0.06 < found < best_auc(1.5) + 0.025


@pytest.mark.parametrize("model", MODELS)
def test_equal_seeds_give_equal_scores(attack: VariantTrainer, subject: Observed, model: str) -> None:
    first = attack.run(variant(model))
    np.testing.assert_array_equal(attack.run(variant(model)).scores, first.scores)
    # The other two have one outcome for one set of rows, and equal sides leave balancing nothing to draw.
    if model in ("network", "random_forest"):
        other = made(1.5, subject, seed=1).run(variant(model))
        assert not np.array_equal(other.scores, first.scores)


@pytest.mark.parametrize("model", MODELS)
def test_scores_do_not_depend_on_who_the_members_are(attack: VariantTrainer, subject: Observed, model: str) -> None:
    shuffled = Observed(subject.seen, np.random.default_rng(0).permutation(subject.members))
    again = made(1.5, shuffled).run(variant(model))
    np.testing.assert_array_equal(again.scores, attack.run(variant(model)).scores)
    assert auc(again.scores, again.members).value == pytest.approx(0.5, abs=0.04)


def test_shadows_that_confuse_in_and_out_point_the_wrong_way(subject: Observed) -> None:
    swapped = [Observed(each.seen, ~each.members) for each in map(observed, shadows_with(1.5))]
    found = ImprovedAttack(CLASSES, BASIC, TRAINING, 0).prepared(swapped, subject).run(variant())
    assert area(found) < 1 - best_auc(1.5) + 0.05


@pytest.mark.parametrize("model", ["network", "gradient_boosting"])
def test_null_control_labels_of_membership_drawn_at_random_give_nothing(subject: Observed, model: str) -> None:
    generator = np.random.default_rng(3)
    shadows = [Observed(each.seen, generator.permutation(each.members)) for each in map(observed, shadows_with(1.5))]
    found = ImprovedAttack(CLASSES, BASIC, TRAINING, 0).prepared(
        shadows, Observed(subject.seen, generator.permutation(subject.members))).run(variant(model))
    low, high = auc(found.scores, found.members, level=0.999).ci or (1, 0)
    assert low < 0.5 < high


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_constant_answers_give_an_auc_of_one_half(model: str, per_class: bool) -> None:
    def constant(one: Answers) -> Observed:
        return observed(Answers(np.zeros_like(one.logits), one.labels, one.members))

    alike = ImprovedAttack(CLASSES, BASIC, replace(TRAINING, epochs=3), 0).prepared(
        [constant(one) for one in shadows_with(0, 2, 300)], constant(answers(300, 0, 1)))
    found = alike.run(variant(model, per_class))
    assert np.isfinite(found.scores).all()
    # Classes with models of their own may differ by the models' rounding; none of them tells a member.
    for label in range(CLASSES):
        chosen = found.labels == label
        assert auc(found.scores[chosen], found.members[chosen]).value == 0.5


def test_variants_of_the_network_look_at_their_own_columns_only(attack: VariantTrainer, subject: Observed) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.normal(size=(len(each.members), 4)).astype(np.float32)
             for each in (*map(observed, shadows_with(1.5)), subject)]
    shadows = [observed(one, hidden=extra) for one, extra in zip(shadows_with(1.5), noise)]
    groups = (*BASIC, "hidden")

    def scores(extra: np.ndarray) -> np.ndarray:
        own = Observed(replace(subject.seen, hidden=extra), subject.members)
        both = ImprovedAttack(CLASSES, groups, TRAINING, 0).prepared(shadows, own)
        return both.run(variant(features=BASIC)).scores

    np.testing.assert_array_equal(scores(noise[-1]), scores(noise[-1] + 5))


def test_the_shadow_for_thresholds_is_never_learnt_from(attack: VariantTrainer, subject: Observed) -> None:
    shadows = [observed(one) for one in shadows_with(1.5)]
    kept = observed(answers(900, 0.0, 55))
    for model in MODELS:
        other = ImprovedAttack(CLASSES, BASIC, TRAINING, 0).prepared([*shadows[:-1], kept], subject).run(variant(model))
        # But for the last digits: MindSpore's elementwise kernels differ in them from call to call.
        np.testing.assert_allclose(other.scores, attack.run(variant(model)).scores, rtol=1e-5, atol=1e-5)
        assert len(other.threshold_shadow.scores) == 900 and not other.threshold_shadow.stopped_too


def test_thresholds_carry_over_from_the_shadow_to_the_subject(attack: VariantTrainer) -> None:
    found = attack.run(variant())
    figures = report.figures(found.scores, found.members, found.predicted, found.threshold_shadow.non_members())
    # 1 % aimed at, on 750 non-members, realised on 1,500.
    assert figures["tpr@0.01"]["fpr"] < 0.035
    assert figures["tpr@0.01"]["value"] > 2 * figures["tpr@0.01"]["fpr"]
    best = float(stats.norm.cdf(1.5 / 2 / math.sqrt(CLASSES / (CLASSES - 1))))
    assert figures["accuracy"]["value"] == pytest.approx(best, abs=0.04)


def without(one: Observed, label: int, keep: int = 0) -> Observed:
    labels, members = one.seen.labels, one.members
    kept = (labels != label) | (np.cumsum((labels == label) & members) <= keep) & members
    return Observed(Observation(one.seen.logits[kept], labels[kept]), members[kept])


@pytest.mark.parametrize("per_class", [False, True])
def test_classes_that_cannot_be_attacked_are_named_and_the_others_are(per_class: bool) -> None:
    shadows = [observed(one) for one in shadows_with(1.5, 2, 600)]
    few = [shadows[0], without(shadows[1], 0, keep=3)]
    mine = without(observed(answers(300, 1.5, 1)), 2)
    attack = ImprovedAttack(CLASSES, BASIC, replace(TRAINING, epochs=2), 0)
    found = attack.prepared(few, mine).run(variant(per_class=per_class))
    assert found.skipped == {0: "0 shadow samples on the smaller side; at least 10 are needed",
                             2: "no sample of the subject's is of this class"}
    assert found.attack_rows == {1: 200}
    np.testing.assert_array_equal(found.attacked, found.labels == 1)


def test_what_allows_no_attack_is_refused(subject: Observed) -> None:
    with pytest.raises(InputError, match="membership.shadows is 1; expected at least 2"):
        made(1.5, subject, count=1)
    with pytest.raises(InputError, match="10 members and non-members"):
        made(1.5, subject, count=2, size=6 * 9)


DIFFICULTY, NOISE, SHIFT, OTHERS = 3.0, 0.5, 1.0, 4


def hard_and_easy() -> tuple[list[Observed], Observed]:
    """Shadows and subject whose φ is the sample's difficulty, plus noise, plus 1 for members; two classes.

    Every shadow has 600 samples in and out of a pool, the subject 1,500 of its own that no shadow was trained on.
    """
    generator = np.random.default_rng(0)
    pool, targets, models = 3000, 3000, OTHERS + 1
    difficulty = generator.normal(0.0, DIFFICULTY, pool + targets)
    labels = (np.arange(pool + targets) % 2).astype(np.int32)
    own = [generator.permutation(pool)[:1200] for _ in range(OTHERS)] + [np.arange(pool, pool + targets)]
    trained = np.zeros((models, pool + targets), bool)
    for number, rows in enumerate(own):
        trained[number, rows[:len(rows) // 2]] = True
    phi = difficulty + generator.normal(0.0, NOISE, trained.shape) + SHIFT * trained
    # Two logits ±φ/2: φ = z_y - z_other.
    signs = np.where(labels[:, None] == np.arange(2), 0.5, -0.5)
    logits = phi[..., None] * signs
    found = []
    for number, rows in enumerate(own):
        calibration = out_calibration(logits[:OTHERS, rows], labels[rows], trained[:OTHERS, rows],
                                      number if number < OTHERS else None)
        found.append(Observed(Observation(logits[number, rows], labels[rows], calibration), trained[number, rows]))
    return found[:-1], found[-1]


def test_calibration_comes_near_the_best_there_is_where_difficulty_hides_members() -> None:
    shadows, mine = hard_and_easy()
    groups = ("posterior", "phi", "calibrated")
    both = ImprovedAttack(2, groups, TRAINING, 0).prepared(shadows, mine)
    plain = area(both.run(variant(features=("posterior", "phi"))))
    calibrated = area(both.run(variant(features=groups)))
    # φ alone: Φ(1/(√2·√(3² + .5²))) = .592. Less its mean over four others: Φ(1/(.5 √2 √(1 + 1/4))) = .897.
    assert plain == pytest.approx(stats.norm.cdf(SHIFT / math.sqrt(2 * (DIFFICULTY**2 + NOISE**2))), abs=0.04)
    assert calibrated == pytest.approx(stats.norm.cdf(SHIFT / (NOISE * math.sqrt(2 * (1 + 1 / OTHERS)))), abs=0.04)
    uncalibrated = both.run(variant("logistic", features=groups)).uncalibrated
    assert uncalibrated == sum(int((each.seen.calibration.models == 0).sum()) for each in shadows)


def test_samples_that_nobody_calibrates_take_no_part() -> None:
    shadows, mine = hard_and_easy()
    # Of the shadow kept for thresholds, too; the subject's samples are known to all.
    models = shadows[-1].seen.calibration.models
    models[:100] = 0
    for values in (shadows[-1].seen.calibration.phi, shadows[-1].seen.calibration.loss):
        values[:100] = np.nan
    attack = ImprovedAttack(2, ("posterior", "calibrated"), replace(TRAINING, epochs=2), 0).prepared(shadows, mine)
    found = attack.run(variant(features=("posterior", "calibrated")))
    assert np.isnan(found.threshold_shadow.scores[:100]).all()
    assert np.isfinite(found.threshold_shadow.scores[models > 0]).all()
    assert found.attacked.all()
    assert found.uncalibrated >= 100


def test_an_ablation_compares_every_group_and_model_with_the_posterior() -> None:
    variants = ablation_variants(("added", "left_out", "models"), ("posterior", "loss", "phi"), TRAINING)
    names = [each.name for each in variants]
    assert names[:2] == [BASELINE, ALL] and len(set(names)) == len(names)
    assert names[2:7] == ["posterior + loss", "posterior + phi", "all but posterior", "all but loss", "all but phi"]
    assert len(names) == 7 + 2 * len(MODELS) - 1, "the configured model stands there already"
    by_name = {each.name: each for each in variants}
    assert by_name["all but loss"].features == ("posterior", "phi")
    assert by_name["all, random forest, one per class"].per_class
    assert [each.name for each in ablation_variants(("added",), ("posterior", "phi"), TRAINING)] == [
        BASELINE, ALL, "posterior + phi"]


def test_kinds_of_ablation_are_checked() -> None:
    assert checked_ablation(False) == () and checked_ablation(True) == ("added", "left_out", "models")
    assert checked_ablation(["models", "added"]) == ("added", "models")
    with pytest.raises(InputError, match="membership.ablation: 'adde' is unknown; did you mean 'added'"):
        checked_ablation(["adde"])


def test_the_ablation_finds_what_calibration_buys_and_what_nothing_buys() -> None:
    generator = np.random.default_rng(1)
    *shadows, mine = (Observed(replace(each.seen, hidden=generator.normal(size=(len(each.members), 3))), each.members)
                      for found in hard_and_easy() for each in (found if isinstance(found, list) else [found]))
    groups = ("posterior", "calibrated", "hidden")
    attack = ImprovedAttack(2, groups, replace(TRAINING, model="logistic"), 0).prepared(shadows, mine)
    variants = ablation_variants(("added", "left_out"), groups, replace(TRAINING, model="logistic"))
    record = ablation_record(variants, {each.name: attack.run(each) for each in variants})
    json.dumps(record, allow_nan=False)
    rows = {row["name"]: row for row in record["variants"]}
    assert rows[BASELINE]["change"] is None and rows[ALL]["change_from_all"] is None
    assert rows["posterior + calibrated"]["change"]["ci"][0] > 0.15
    low, high = rows["posterior + hidden"]["change"]["ci"]
    assert -0.03 < low < high < 0.03, "noise"
    assert rows["all but calibrated"]["change_from_all"]["ci"][1] < -0.15
    gain = rows[ALL]["overall"]["auc"]["value"] - rows[BASELINE]["overall"]["auc"]["value"]
    assert rows[ALL]["change"]["value"] == pytest.approx(gain)
    assert rows[ALL]["threshold_shadow_auc"]["value"] > 0.8
    assert rows[ALL]["overall"]["tpr@0.01"]["value"] > 0.02


@pytest.mark.parametrize("settings, complaint", [
    ({"model": "gradient_bosting"}, "model 'gradient_bosting' is unknown; did you mean 'gradient_boosting'"),
    ({"epochs": 0}, "membership.improved.epochs is 0; expected at least 1"),
    ({"batch_size": 0}, "membership.improved.batch_size"),
    ({"patience": 0}, "membership.improved.patience"),
    ({"hidden": ()}, "membership.improved.hidden is"),
    ({"hidden": (8, 0)}, "membership.improved.hidden is"),
    ({"learning_rate": 0.0}, "membership.improved.learning_rate"),
    ({"learning_rate": float("nan")}, "membership.improved.learning_rate"),
])
def test_settings_out_of_range_are_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        ImprovedTraining(**settings)


def test_boosting_is_cut_off_where_the_held_out_loss_is_least() -> None:
    generator = np.random.default_rng(0)

    def rows(count: int) -> AttackRows:
        members = (np.arange(count) % 2).astype(np.int32)
        noise = generator.normal(size=(count, 6)).astype(np.float32)
        noise[:, 0] += 0.5 * members
        return AttackRows(noise, members)

    fit, stop = rows(400), rows(400)
    model = make_model("gradient_boosting", fit, stop, TRAINING, 400)
    everything, rows_of_all = np.ones(6, bool), np.arange(400)
    model.fit(everything, rows_of_all, rows_of_all, 0)
    # A weak effect among noise: later rounds learn the training rows by heart.
    assert 1 <= model._rounds < 75  # type: ignore[attr-defined]
    losses = [np.logaddexp(0, -np.where(stop.members == 1, 1, -1) * scores.ravel()).mean() for scores in
              model._model.staged_decision_function(stop.features)]  # type: ignore[attr-defined]
    assert int(np.argmin(losses)) + 1 == model._rounds  # type: ignore[attr-defined]
    scores = list(model._model.staged_decision_function(stop.features))[model._rounds - 1]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(model.score(stop.features), scores.ravel())
