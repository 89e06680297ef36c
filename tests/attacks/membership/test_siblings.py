"""LiRA among siblings: the attacked network judges nothing of its own, and nothing is told by counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cases import slow_but
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.lira import choose_spread, lira
from mindleak.attacks.membership.shadow import Answers, ShadowAttack
from mindleak.attacks.membership.sibling_attacks import by_sibling, sibling_scores
from mindleak.attacks.membership.sibling_figures import flat_figures, lira_measures, sibling_figures
from mindleak.attacks.membership.siblings import SiblingLira, independent_rows
from mindleak.attacks.membership.signals import partners
from mindleak.data.splits import halves
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc

NAMES = ("lira_online", "lira_offline", "lira_offline_two_sided")


def family(models: int, samples: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return φ (models, samples, 1), larger by ``shift`` for members, and keep."""
    generator = np.random.default_rng(seed)
    keep = halves(np.zeros(samples, int), np.arange(samples), models, seed)[1]
    phi = generator.normal(0, 5, samples) + generator.normal(size=keep.shape) + shift * keep
    return phi[..., None], keep


@pytest.mark.parametrize("models", slow_but([6, 8, 16], 6, 8))
def test_a_network_that_leaks_nothing_is_at_one_half(models: int) -> None:
    phi, keep = family(models, 6000, 0.0, models)
    # Networks of one recipe differ as a whole too.
    phi = phi + np.random.default_rng(models).normal(0, 1, (models, 1, 1))
    areas = {name: [] for name in NAMES}  # type: dict[str, list[float]]
    for target in range(models):
        for name, scores in SiblingLira(phi, keep, target).scores(NAMES).items():
            areas[name].append(auc(scores.target, keep[target]).value)
    for name in NAMES:
        assert abs(np.mean(areas[name]) - 0.5) < 4 * 0.0075 / math.sqrt(models)


def test_a_leak_is_found_as_the_closed_form_says_and_thresholds_keep_their_rate() -> None:
    phi, keep = family(16, 20_000, 1.0, 1)
    found = SiblingLira(phi, keep, 3).scores(NAMES)
    # φ less a mean over 7 OUT references: two Gaussians of variance 1 + 1/7, one apart.
    offline = found["lira_offline"]
    assert auc(offline.target, offline.members).value == pytest.approx(
        stats.norm.cdf(1 / math.sqrt(2 * (1 + 1 / 7))), abs=0.012)
    for name in NAMES:
        scores = found[name]
        border = np.sort(scores.sibling_non_members)[-len(scores.sibling_non_members) // 100]
        assert 0.006 < np.mean(scores.target[~keep[3]] > border) < 0.0125
        assert np.mean(scores.target[keep[3]] > border) > 0.035


def test_the_attacked_network_is_in_nobodys_references() -> None:
    phi, keep = family(8, 400, 1.0, 0)
    before = SiblingLira(phi, keep, 2).scores(NAMES)
    spoilt = phi.copy()
    spoilt[2] += np.random.default_rng(0).normal(0, 100, phi[2].shape)
    after = SiblingLira(spoilt, keep, 2).scores(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(before[name].sibling_non_members, after[name].sibling_non_members)
        assert not np.array_equal(before[name].target, after[name].target)


def test_a_score_is_that_of_lira_with_the_networks_that_are_left() -> None:
    phi, keep = family(8, 60, 1.0, 5)
    found = SiblingLira(phi, keep, 1).scores(NAMES)
    partner = partners(keep)[1]
    left = [[model for model in range(8) if model not in (1, partner[sample])] for sample in range(60)]
    rest = np.array(left).T
    everyone = np.arange(60)
    alone = lira(phi[1], phi[rest, everyone], keep[rest, everyone], choose_spread(3, 3))
    assert (keep[rest, everyone].sum(axis=0) == 3).all()
    for name in NAMES:
        np.testing.assert_allclose(found[name].target, alone.of(name))


@pytest.mark.parametrize("models", [4, 6])
def test_what_a_sibling_may_show_says_nothing_of_the_target(models: int) -> None:
    keep = halves(np.zeros(40_000, int), np.arange(40_000), models, 0)[1]
    shown = independent_rows(keep, 1, seed=0)
    assert not shown[1].any() and (shown.sum(axis=0) == models - 2).all()
    assert ((keep & shown).sum(axis=0) == models // 2 - 1).all()
    for sibling in (number for number in range(models) if number != 1):
        rates = [keep[sibling, shown[sibling] & (keep[1] == side)].mean() for side in (True, False)]
        assert rates == pytest.approx([0.5, 0.5], abs=0.015)
        # Without it a member of the target is a member of a sibling the less often.
        assert keep[sibling, keep[1]].mean() == pytest.approx((models / 2 - 1) / (models - 1), abs=0.015)


@pytest.mark.slow
def test_networks_that_leak_nothing_are_at_one_half_for_an_attack_that_remembers_samples() -> None:
    # All networks answer a sample alike, with or without it: the attack models can tell samples, but not members.
    generator = np.random.default_rng(0)
    labels = np.zeros(800, np.int64)
    areas = []
    for deal in range(6):
        keep = halves(labels, np.arange(800), 4, deal)[1]
        own = np.concatenate([generator.normal(0, 3, (800, 3)), np.full((800, 1), -30.0)], axis=1)
        answers = [Answers((own + generator.normal(0, 0.05, own.shape)).astype(np.float32), labels, kept)
                   for kept in keep]
        attack = ShadowAttack(4, AttackTraining(epochs=60, dim_hidden=64, learning_rate=0.01), deal)
        for target in range(4):
            found = sibling_scores(("shadow",), answers, target, attack, deal)["shadow"]
            areas.append(auc(found.target, found.members).value)
    assert abs(np.mean(areas) - 0.5) < 4 * np.std(areas) / math.sqrt(len(areas)), np.mean(areas)


def test_too_few_networks_are_refused() -> None:
    phi, keep = family(4, 40, 1.0, 0)
    with pytest.raises(InputError, match="sweep.attacks has lira_online, for which sweep.models 4 is too small"):
        SiblingLira(phi, keep, 0)


def answers_of(phi: np.ndarray, keep: np.ndarray) -> list[Answers]:
    """Return answers in two classes with these φ, (models, samples): the second logit is 0."""
    labels = np.zeros(phi.shape[1], np.int64)
    return [Answers(np.stack([one, np.zeros_like(one)], axis=1).astype(np.float32), labels, kept)
            for one, kept in zip(phi, keep)]


def test_what_each_sibling_makes_of_a_measure_has_the_measure_as_its_mean() -> None:
    phi, keep = family(6, 1500, 1.0, 2)
    answers = answers_of(phi[..., 0], keep)
    parts = by_sibling(("loss", "lira_online"), answers, 4)
    scores = SiblingLira(phi, keep, 4).scores(("lira_online",))["lira_online"]
    measures = flat_figures("lira_online", sibling_figures(scores))
    assert set(parts) == set(measures) and "auc/lira_online" in parts
    for measure, shares in parts.items():
        assert shares[4] is None
        assert np.mean([share for share in shares if share is not None]) == pytest.approx(measures[measure], abs=1e-4)
    assert by_sibling(("loss", "shadow"), answers, 4) == {}


@pytest.mark.parametrize("spread", [1.0, 0.3], ids=["continuous", "tied"])
def test_measures_without_intervals_are_the_values_of_those_with_them(spread: float) -> None:
    phi, keep = family(6, 700, 1.0, 3)
    lira = SiblingLira(phi if spread == 1.0 else np.round(phi * spread), keep, 2)
    full = {measure: value for name, scores in lira.scores(NAMES).items()
            for measure, value in flat_figures(name, sibling_figures(scores)).items()}
    assert lira_measures(lira, NAMES) == full


def test_several_attacks_with_different_weights_are_those_one_by_one() -> None:
    phi, keep = family(6, 300, 1.0, 1)
    weights = np.random.default_rng(0).uniform(.5, 1.5, (4, 6))
    lira = SiblingLira(phi, keep, 3)
    for name, together in lira.scores(NAMES, weights).items():
        for attack, each in enumerate(weights):
            one, alone = together.part(attack), lira.scores([name], each)[name]
            # Up to the order in which a sum is taken.
            assert one.target == pytest.approx(alone.target, rel=1e-9, abs=1e-12)
            assert one.sibling_non_members == pytest.approx(alone.sibling_non_members, rel=1e-9, abs=1e-12)
            assert one.weights == pytest.approx(alone.weights)


def test_a_sibling_whose_answers_are_noise_makes_less_of_the_auc() -> None:
    phi, keep = family(6, 3000, 1.0, 0)
    phi[2] = phi[2].mean() + np.random.default_rng(1).normal(0, 30, phi[2].shape)
    shares = by_sibling(("lira_online",), answers_of(phi[..., 0], keep), 0)["auc/lira_online"]
    assert min(range(1, 6), key=lambda number: shares[number] or 0.0) == 2
