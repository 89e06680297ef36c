"""Figures of reference attacks: thresholds from references only, contract of every metric, controls and edges."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mindleak.attacks.membership import reference_report
from mindleak.attacks.membership.names import LIRA_ATTACKS, METRIC_ATTACKS, RMIA_ATTACKS
from mindleak.attacks.membership.reference_attack import RmiaSettings, reference_attacks
from mindleak.attacks.membership.reference_report import (
    Truth,
    figures,
    per_class_decisions,
    several_targets,
    target_fprs,
)
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import model_signals, stacked
from mindleak.data.splits import halves
from mindleak.errors import InputError

SAMPLES, CLASSES = 2000, 4
LABELS = np.arange(SAMPLES) % CLASSES
ALL = (*LIRA_ATTACKS, *RMIA_ATTACKS)


def world(shift: float, models: int = 8, seed: int = 0) -> tuple[dict[str, AttackScores], Truth]:
    """Return all attacks' scores in a world of Gaussian answers, and the truth."""
    generator = np.random.default_rng(seed)
    keep = halves(LABELS, np.arange(SAMPLES), models, seed)[1]
    members = halves(LABELS, np.arange(SAMPLES), 2, seed + 1)[1][0]
    hardness = generator.normal(3, 2, SAMPLES + 400)
    labels_z = np.arange(400) % CLASSES

    def signals(inside: np.ndarray):  # type: ignore[no-untyped-def]
        logits = generator.normal(size=(SAMPLES + 400, CLASSES))
        logits[np.arange(SAMPLES + 400), np.concatenate([LABELS, labels_z])] += (
            hardness + shift * np.append(inside, np.zeros(400)))
        return model_signals(logits[:SAMPLES], LABELS, logits[SAMPLES:], labels_z)

    references = stacked([signals(row) for row in keep], keep)
    target = signals(members)
    scores = {attack.name: attack.attack(target, references) for attack in reference_attacks(ALL, RmiaSettings())}
    scores["phi"] = AttackScores(target.phi[:, 0], references.phi[:, :, 0])
    return scores, Truth(members, keep, LABELS)


@pytest.fixture(scope="module")
def leaking() -> tuple[dict[str, AttackScores], Truth]:
    return world(2.0)


def test_all_attacks_find_a_leak_and_calibrated_ones_find_more(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    areas = {name: figures(each, truth, 0)["overall"]["auc"]["value"] for name, each in scores.items()}
    assert min(areas.values()) > 0.55
    assert areas["lira_online"] > areas["phi"] + 0.05 and areas["rmia_online"] > areas["phi"] + 0.05
    assert areas["lira_offline"] > areas["lira_offline_two_sided"]


def test_null_control_no_attack_finds_anything_where_there_is_nothing() -> None:
    scores, truth = world(0.0, seed=3)
    for each in scores.values():
        found = figures(each, truth, 0)
        low, high = found["overall"]["auc"]["ci"]
        assert low - 0.01 < 0.5 < high + 0.01
        assert abs(several_targets(each, truth)["auc"]["mean"] - 0.5) < 0.03


@pytest.mark.parametrize("models", [4, 6, *(pytest.param(models, marks=pytest.mark.slow) for models in (8, 16, 32))])
def test_a_threshold_for_one_in_a_hundred_accuses_one_in_a_hundred(models: int,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    # By all references the target's scores are less noisy than those that set the thresholds: .3 % with four of them.
    monkeypatch.setattr(reference_report, "RESAMPLES", 1)
    realised: dict[str, list[float]] = {}
    for seed in range(12):
        scores, truth = world(1.5, models, 10 * seed + models)
        for name, each in scores.items():
            overall = figures(each, truth, 0)["overall"]
            realised.setdefault(name, []).append(overall["tpr@0.01"]["fpr"])
    means = {name: (float(np.mean(rates)), float(np.std(rates, ddof=1)) / len(rates) ** 0.5)
             for name, rates in realised.items()}
    assert all(abs(mean - 0.01) < 4 * error for mean, error in means.values()), means


@pytest.mark.parametrize("models", [4, 8])
def test_thresholds_are_applied_to_scores_that_a_reference_in_the_targets_place_would_have(models: int) -> None:
    generator = np.random.default_rng(models)
    keep = halves(LABELS, np.arange(SAMPLES), models, 0)[1]
    answers = [model_signals(generator.normal(size=(SAMPLES, CLASSES)), LABELS, generator.normal(size=(50, CLASSES)),
                             np.arange(50) % CLASSES) for _ in keep]
    references = stacked(answers, keep)
    for each in (attack.attack(answers[-1], references) for attack in reference_attacks(ALL, RmiaSettings())):
        np.testing.assert_allclose(each.decided, each.references[-1])
        assert np.abs(each.decided - each.target).max() > 0.01


def test_rmias_score_is_named_where_its_share_tells_nobody_apart() -> None:
    members = np.arange(SAMPLES) % 2 == 0
    keep = halves(LABELS, np.arange(SAMPLES), 4, 0)[1]
    ratio = np.random.default_rng(0).uniform(0, 0.1, SAMPLES) + 0.1 * members
    truth = Truth(members, keep, LABELS)
    tied = AttackScores(ratio, ratio * np.ones((4, 1)), share=np.where(np.arange(SAMPLES) < 100, 0.5, 1.0))
    said = figures(tied, truth, 0)["overall"]["auc"]["reason"]
    assert "1900 of 2000 samples dominate the same share of the population, 1.000" in said
    assert "ties broken by R(x), and by the share alone the AUC is 0.500" in said
    apart = AttackScores(ratio, ratio * np.ones((4, 1)), share=ratio)
    assert "reason" not in figures(apart, truth, 0)["overall"]["auc"]
    assert "reason" not in figures(AttackScores(ratio, ratio * np.ones((4, 1))), truth, 0)["overall"]["auc"]


def test_every_metric_keeps_the_contract(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    found = figures(scores["lira_online"], truth, 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["overall"]) == {"auc", "balanced_accuracy", "tpr@0.01", "tpr@0.001", "tpr_own_roc@0.01",
                                     "tpr_own_roc@0.001"}
    for name in ("tpr@0.01", "tpr@0.001", "tpr_own_roc@0.01"):
        assert {"value", "ci", "fpr", "fpr_ci", "threshold", "ties", "n"} <= set(found["overall"][name])
    assert set(found["bootstrap"]) == {"auc", "tpr_own_roc@0.01", "tpr_own_roc@0.001"}
    assert set(found["ppv"]) == {"0.01", "0.001"}
    assert set(found["ppv"]["0.01"]) == {"ppv@0.5", "ppv@0.1", "ppv@0.01"}
    assert found["n_in"] == found["n_out"] == SAMPLES // 2 and found["unscored"] == 0
    assert found["epsilon"]["epsilon"] > 0.5


def test_thresholds_do_not_look_at_the_target(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    plain = scores["lira_online"]
    other = AttackScores(plain.target + 1000.0, plain.references)
    one, two = (figures(each, truth, 0)["overall"] for each in (plain, other))
    for name in ("balanced_accuracy", "tpr@0.01", "tpr@0.001"):
        assert one[name]["threshold"] == two[name]["threshold"]
    assert two["tpr@0.01"]["fpr"] == 1.0, "and what is realised is said"
    assert one["tpr_own_roc@0.01"]["value"] == two["tpr_own_roc@0.01"]["value"]


def test_realised_rates_are_near_what_the_references_promise(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    for name in ("lira_online", "lira_offline", "rmia_online", "phi"):
        low, high = figures(scores[name], truth, 0)["overall"]["tpr@0.01"]["fpr_ci"]
        assert low < 0.02 and high > 0.005


def test_the_reference_that_a_parameter_was_tuned_on_sets_no_threshold(
        leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    assert scores["rmia_offline"].tuned_on == 0 and list(scores["rmia_offline"].judged) == list(range(1, 8))
    assert scores["rmia_online"].tuned_on is None
    spoilt = scores["rmia_offline"].references.copy()
    spoilt[0] = 1e6
    changed = replace(scores["rmia_offline"], references=spoilt)
    assert figures(changed, truth, 0) == figures(scores["rmia_offline"], truth, 0)
    assert several_targets(changed, truth)["targets"] == 7


def test_several_targets_agree_with_the_target(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    found = several_targets(scores["lira_online"], truth)
    assert found["targets"] == 8 and found["auc"]["sd"] < 0.03
    own = figures(scores["lira_online"], truth, 0)["overall"]["auc"]["value"]
    assert abs(found["auc"]["mean"] - own) < 0.05


def test_a_rate_of_one_in_ten_thousand_only_where_it_can_be_seen() -> None:
    assert target_fprs(9_999) == (0.01, 0.001)
    assert target_fprs(10_000) == (0.01, 0.001, 0.0001)


def test_constant_scores_are_chance() -> None:
    keep = halves(LABELS, np.arange(SAMPLES), 4, 0)[1]
    found = figures(AttackScores(np.zeros(SAMPLES), np.zeros((4, SAMPLES))), Truth(keep[0], keep, LABELS), 0)
    assert found["overall"]["auc"]["value"] == 0.5 and found["overall"]["balanced_accuracy"]["value"] == 0.5
    assert found["overall"]["tpr@0.01"]["value"] == 0.0 and found["overall"]["tpr@0.01"]["ties"] == SAMPLES
    assert found["epsilon"]["epsilon"] == 0.0
    assert found["ppv"]["0.01"]["ppv@0.5"]["value"] is None


def test_no_and_one_sample_and_samples_without_a_score() -> None:
    empty = Truth(np.zeros(0, bool), np.zeros((4, 0), bool), np.zeros(0, int))
    assert figures(AttackScores(np.zeros(0), np.zeros((4, 0))), empty, 0)["overall"]["auc"]["value"] is None
    assert several_targets(AttackScores(np.zeros(0), np.zeros((4, 0))), empty) == {"targets": 0}
    keep = halves(LABELS, np.arange(SAMPLES), 4, 0)[1]
    one = Truth(np.ones(1, bool), keep[:, :1], LABELS[:1])
    assert figures(AttackScores(np.zeros(1), np.zeros((4, 1))), one, 0)["overall"]["auc"]["value"] is None
    scores = np.random.default_rng(0).normal(size=SAMPLES)
    scores[:10] = math.nan
    references = np.tile(scores, (4, 1))
    assert figures(AttackScores(scores, references), Truth(keep[0], keep, LABELS), 0)["unscored"] == 10


def test_decisions_per_class(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    scores, truth = leaking
    found = per_class_decisions(scores["phi"], truth, CLASSES + 1, [str(label) for label in range(CLASSES + 1)])
    assert found["shared_threshold"] == {}, "a class without samples is nobody's loss"
    plain = figures(scores["phi"], truth, 0)["overall"]["balanced_accuracy"]["value"]
    assert found["balanced_accuracy_per_class"]["value"] == pytest.approx(plain, abs=0.03)
    constant = AttackScores(np.zeros(SAMPLES), np.zeros((8, SAMPLES)))
    chance = per_class_decisions(constant, truth, CLASSES, list("abcd"))
    assert chance["balanced_accuracy_per_class"]["value"] == 0.5


@pytest.mark.parametrize("settings", [{"gamma": 0.5}, {"gamma": math.inf}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"membership.rmia.{next(iter(settings))}"):
        RmiaSettings(**settings)


def test_metric_attacks_are_scored_elsewhere(leaking: tuple[dict[str, AttackScores], Truth]) -> None:
    assert not set(leaking[0]) & (set(METRIC_ATTACKS) - {"phi"})
