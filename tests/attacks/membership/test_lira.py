"""LiRA against closed forms: Gaussian oracles, one-sided against two-sided, σ and its fallbacks, symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cases import with_slow
from mindleak.attacks.membership.lira import (
    PER_SAMPLE,
    POOLED,
    UNIT,
    LiraScores,
    Spread,
    choose_spread,
    in_place_of_last,
    leave_one_out,
    lira,
)
from mindleak.attacks.membership.reference_attack import Lira
from mindleak.attacks.membership.signals import ModelSignals, ReferenceSignals, partners
from mindleak.data.splits import halves
from mindleak.evaluation.roc import auc

NAMES = ("online", "offline", "offline_two_sided")


def keep_matrix(models: int, samples: int, seed: int = 0) -> np.ndarray:
    keep: np.ndarray = halves(np.zeros(samples, int), np.arange(samples), models, seed)[1]
    return keep


def gaussian(models: int, samples: int, shift: float, seed: int, spread: float = 1.0, queries: int = 1,
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return target (samples, queries), its members, references (models, samples, queries) and their keep matrix.

    φ has a mean of the sample's own, standard deviation 1, and ``shift`` more (``spread`` as wide) for members.
    """
    generator = np.random.default_rng(seed)
    keep = keep_matrix(models + 2, samples, seed)
    noise = generator.normal(size=(models + 2, samples, queries))
    phi = generator.normal(0, 5, (samples, 1)) + np.where(keep[..., None], shift + spread * noise, noise)
    # A complement of the target goes too, so that IN and OUT stay equal: the halves of another deal would do as well.
    target, partner = 0, partners(keep)[0]
    left = np.ones((models + 2, samples), bool)
    left[target] = False
    left[partner, np.arange(samples)] = False
    order = np.argsort(~left, axis=0, kind="stable")[:models]
    rows = np.arange(samples)
    return phi[0], keep[0], phi[order, rows], keep[order, rows]


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_online_reaches_the_gaussian_oracle(shift: float) -> None:
    # With many references μ and σ are nearly known, and the likelihood ratio ranks as φ - μ does: AUC Φ(μ/√2).
    target, members, phi, keep = gaussian(64, 20_000, shift, seed=3)
    metric = auc(lira(target, phi, keep, Spread(POOLED, "")).online, members)
    oracle = auc((target - lira_means(phi, keep))[:, 0], members)
    assert metric.ci is not None
    # Means over 32 references cost √(1 + 1/32): the oracle's .7602 becomes .7573 for a shift of 1.
    expected = stats.norm.cdf(shift / math.sqrt(2 * (1 + 1 / 64)))
    assert metric.ci[0] - 0.004 <= expected <= metric.ci[1] + 0.004
    assert abs(metric.value - oracle.value) < 0.005


def lira_means(phi: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return the middle between the mean over IN and the mean over OUT."""
    inside = np.where(keep[..., None], phi, np.nan)
    outside = np.where(keep[..., None], np.nan, phi)
    middle: np.ndarray = (np.nanmean(inside, axis=0) + np.nanmean(outside, axis=0)) / 2
    return middle


def test_two_sided_loses_what_the_closed_form_says() -> None:
    # X ~ N(d, 1) and Y ~ N(0, 1): P(X > Y) = Φ(d/√2) = q, and X - Y and X + Y are independent, so
    # P(|X| > |Y|) = q² + (1 - q)². For q = .735 that is .6105.
    shift = math.sqrt(2) * stats.norm.ppf(0.735)
    target, members, phi, keep = gaussian(128, 40_000, shift, seed=5)
    scores = lira(target, phi, keep, Spread(POOLED, ""))
    assert auc(scores.offline, members).value == pytest.approx(0.735, abs=0.012)
    assert auc(scores.offline_two_sided, members).value == pytest.approx(0.6105, abs=0.012)


def test_two_sided_against_one_sided_where_members_spread_wider() -> None:
    # The pair of values that docs name, .735 and .657: one fixed variance for the score, members' shifts that differ
    # with a standard deviation of √(s² - 1), s = 1.24, and the shift for which Φ(d/√(1 + s²)) = .735.
    s = 1.24
    shift = stats.norm.ppf(0.735) * math.hypot(1, s)
    target, members, phi, keep = gaussian(128, 40_000, shift, seed=6, spread=s)
    scores = lira(target, phi, keep, Spread(POOLED, ""))
    assert auc(scores.offline, members).value == pytest.approx(0.735, abs=0.012)
    assert auc(scores.offline_two_sided, members).value == pytest.approx(0.657, abs=0.012)


@pytest.mark.parametrize("kind", [PER_SAMPLE, POOLED, UNIT])
def test_scores_that_membership_does_not_touch_give_one_half(kind: str) -> None:
    target, members, phi, keep = gaussian(8, 6000, 0.0, seed=7)
    scores = lira(target, phi, keep, Spread(kind, ""))
    for name in NAMES:
        metric = auc(getattr(scores, name), members, level=0.999)
        assert metric.ci is not None and metric.ci[0] < 0.5 < metric.ci[1]


@pytest.mark.parametrize("models", [4, 6, 16])
def test_references_as_targets_are_at_one_half_too_where_nothing_leaks(models: int) -> None:
    # Left out alone, a target would have one reference fewer on its own side of each sample; at 4 models the online
    # AUC would then be far below one half.
    generator = np.random.default_rng(models)
    keep = keep_matrix(models, 4000)
    phi = generator.normal(size=(models, 4000, 1)) + generator.normal(0, 5, (4000, 1))
    turns = list(leave_one_out(phi, keep))
    assert len(turns) == models
    for name in NAMES:
        areas = [auc(getattr(scores, name), row).value for scores, row in zip(turns, keep)]
        assert abs(np.mean(areas) - 0.5) < 4 * 0.0092 / math.sqrt(models)


def test_leaving_one_out_is_attacking_it_with_the_rest() -> None:
    keep = keep_matrix(8, 50)
    phi = np.random.default_rng(0).normal(size=(8, 50, 2))
    other = partners(keep)
    for number, found in enumerate(leave_one_out(phi, keep, Spread(POOLED, ""))):
        for sample in range(0, 50, 10):
            rest = [model for model in range(8) if model not in (number, other[number, sample])]
            assert keep[rest, sample].sum() == 3, "sides stay equal"
        # σ pooled over all samples would differ sample by sample, so the whole is compared with the unit σ below.
        assert np.isfinite(found.online).all()
    for number, found in enumerate(leave_one_out(phi, keep, Spread(UNIT, ""))):
        for sample in range(0, 50, 10):
            rest = [model for model in range(8) if model not in (number, other[number, sample])]
            alone = lira(phi[number, [sample]], phi[rest][:, [sample]], keep[rest][:, [sample]], Spread(UNIT, ""))
            for name in NAMES:
                assert getattr(found, name)[sample] == pytest.approx(getattr(alone, name)[0])


def test_partners_stand_on_the_other_side_and_are_drawn_from_all_of_it() -> None:
    keep = keep_matrix(6, 30_000)
    found = partners(keep)
    assert (keep[found, np.arange(30_000)] != keep).all()
    assert (partners(np.ones((3, 4), bool)) == -1).all()
    np.testing.assert_array_equal(found, partners(keep))
    for model in range(6):
        shares = np.bincount(found[model], minlength=6) / 30_000
        assert shares == pytest.approx([0 if other == model else 0.2 for other in range(6)], abs=0.02)


@pytest.mark.parametrize("models", [6, 8])
def test_models_that_differ_as_a_whole_tell_nothing_of_who_has_a_sample(models: int) -> None:
    # One model is more confident than another, on everything. With neighbours as partners the mean over a deal's models
    # strays from one half by .037, drawn ones let it stray by .008.
    deals = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        keep = keep_matrix(models, 2000, seed)
        phi = generator.normal(size=keep.shape) + generator.normal(0, 2, (models, 1)) + generator.normal(0, 5, 2000)
        deals.append(np.mean([[auc(getattr(scores, name), row).value for name in NAMES]
                              for scores, row in zip(leave_one_out(phi[..., None], keep), keep)], axis=0))
    assert np.abs(np.mean(deals, axis=0) - 0.5).max() < 4 * 0.008 / math.sqrt(10)
    assert np.std(deals, axis=0).max() < 0.016


def test_by_hand() -> None:
    # IN 3 and 5, OUT 0 and 2: means 4 and 1.
    phi = np.array([[3.0], [5.0], [0.0], [2.0]])[..., None]
    keep = np.array([[True], [True], [False], [False]])
    scores = lira([[3.0]], phi, keep, Spread(UNIT, ""))
    assert scores.online == pytest.approx([-(1**2) / 2 + 2**2 / 2])
    assert scores.offline == pytest.approx([math.log(stats.norm.cdf(2.0))])
    assert scores.offline_two_sided == pytest.approx([2.0 + 0.5 * math.log(2 * math.pi)])


def test_pooled_sigma_is_over_within_sample_residuals_by_degrees_of_freedom() -> None:
    phi = np.array([[[3.0], [10.0]], [[5.0], [16.0]], [[0.0], [0.0]], [[2.0], [2.0]]])
    keep = np.array([[True, True], [True, True], [False, False], [False, False]])
    sigma_in, sigma_out = math.sqrt((1 + 1 + 9 + 9) / 2), math.sqrt((1 + 1 + 1 + 1) / 2)
    scores = lira([[4.0], [13.0]], phi, keep)
    at_mean = stats.norm.logpdf(0, 0, sigma_in)
    assert scores.online == pytest.approx([at_mean - stats.norm.logpdf(4, 1, sigma_out),
                                           at_mean - stats.norm.logpdf(13, 1, sigma_out)])


@pytest.mark.parametrize("models", with_slow([6, 8, 16, 32], 32))
def test_thresholds_of_left_out_references_keep_their_rate_on_a_target(models: int) -> None:
    # Nothing is estimated twice: a target like the references is accused at about the rate that they were.
    shift, realised = 1.0, {name: [] for name in NAMES}  # type: dict[str, list[float]]
    for seed in range(4):
        target, members, phi, keep = gaussian(models, 20_000, shift, seed)
        spread = choose_spread(models // 2, models // 2, spared=1)
        own, turns = lira(target, phi, keep, spread), list(leave_one_out(phi, keep, spread))
        for name in NAMES:
            outside = np.concatenate([getattr(each, name)[~row] for each, row in zip(turns, keep)])
            border = np.sort(outside)[-len(outside) // 100]
            realised[name].append(float(np.mean(getattr(own, name)[~members] > border)))
    # A mean over one model fewer is a little less exact, by 1/n: that much of conservatism is left.
    for name in NAMES:
        assert {6: 0.0035, 8: 0.0065}.get(models, 0.008) < np.mean(realised[name]) < 0.0115, name


def test_four_references_leave_one_on_a_side_of_a_target_among_them_and_no_sigma() -> None:
    assert choose_spread(2, 2, spared=1).kind == UNIT and choose_spread(3, 3, spared=1).kind == POOLED
    target, members, phi, keep = gaussian(4, 4000, 3.0, seed=2)
    found = Lira().attack(ModelSignals(target, target[:, 0], np.zeros(1)),
                          ReferenceSignals(keep, phi, phi[..., 0], np.zeros((4, 1))))
    border = np.sort(found.references[~keep])[-len(found.references[~keep]) // 100]
    assert 0.002 < np.mean(found.target[~members] > border) < 0.02 < np.mean(found.target[members] > border)


def test_queries_are_averaged() -> None:
    target, _, phi, keep = gaussian(8, 40, 1.0, seed=1, queries=2)
    both = lira(target, phi, keep)
    each = [lira(target[:, [query]], phi[..., [query]], keep) for query in (0, 1)]
    for name in NAMES:
        assert getattr(both, name) == pytest.approx((getattr(each[0], name) + getattr(each[1], name)) / 2)


@pytest.mark.parametrize(("sides", "kind", "words"), [
    ((32, 32), PER_SAMPLE, "one σ per sample"), ((32, 31), POOLED, "pooled"), ((31, 32), POOLED, "pooled"),
    ((2, 2), POOLED, "fewer than the 32"), ((1, 8), UNIT, "fell back to σ = 1"), ((0, 8), UNIT, "too few"),
])
def test_few_references_fall_back_and_say_so(sides: tuple[int, int], kind: str, words: str) -> None:
    chosen = choose_spread(*sides)
    assert chosen.kind == kind and words in chosen.note


@given(st.integers(0, 2**31), st.sampled_from([PER_SAMPLE, POOLED, UNIT]), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_symmetries(seed: int, kind: str, shift: float) -> None:
    generator = np.random.default_rng(seed)
    keep = keep_matrix(6, 12, seed % 1000)
    phi, target = generator.normal(size=(6, 12, 1)), generator.normal(size=(12, 1))
    spread = Spread(kind, "")
    scores = lira(target, phi, keep, spread)
    models, samples = generator.permutation(6), generator.permutation(12)
    moved = lira(target[samples] + shift, phi[models][:, samples] + shift, keep[models][:, samples], spread)
    for name in NAMES:
        assert getattr(moved, name) == pytest.approx(getattr(scores, name)[samples], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", [None, PER_SAMPLE, UNIT])
def test_constant_answers_are_chance_and_no_crash(kind: str | None) -> None:
    keep = keep_matrix(8, 20)
    scores = lira(np.full((20, 1), 3.0), np.full((8, 20, 1), 3.0), keep, None if kind is None else Spread(kind, ""))
    for name in NAMES:
        assert auc(getattr(scores, name), np.arange(20) < 10).value == 0.5


def test_a_side_without_references_has_no_online_score() -> None:
    phi = np.random.default_rng(0).normal(size=(4, 3, 1))
    scores: LiraScores = lira(phi[0], phi, np.zeros((4, 3), bool))
    assert np.isnan(scores.online).all() and np.isfinite(scores.offline).all()


def test_no_and_one_sample() -> None:
    assert lira(np.zeros((0, 1)), np.zeros((4, 0, 1)), np.zeros((4, 0), bool)).online.shape == (0,)
    assert len(list(leave_one_out(np.zeros((4, 1, 1)), np.array([[True], [True], [False], [False]])))) == 4


@pytest.mark.parametrize(("target", "phi", "keep", "words"), [
    (np.zeros((2, 1)), np.zeros((4, 3, 1)), np.zeros((4, 3), bool), "target's phi"),
    (np.zeros((3, 1)), np.zeros((4, 3)), np.zeros((4, 3), bool), "models, samples, queries"),
    (np.zeros((3, 1)), np.zeros((4, 3, 1)), np.zeros((4, 3)), "booleans"),
    (np.zeros((3, 1)), np.full((4, 3, 1), np.inf), np.zeros((4, 3), bool), "finite"),
    (np.zeros((3, 1)), np.zeros((0, 3, 1)), np.zeros((0, 3), bool), "models"),
])
def test_what_does_not_fit_is_refused(target: np.ndarray, phi: np.ndarray, keep: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lira(target, phi, keep)


def test_a_reference_that_counts_twice_is_one_that_is_there_twice() -> None:
    generator = np.random.default_rng(3)
    keep = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 1]], bool)
    phi, target = generator.normal(size=(6, 2, 1)), generator.normal(size=(2, 1))
    weights = np.ones((6, 2))
    weights[2] = 2.0
    twice = lira(target, np.concatenate([phi, phi[2:3]]), np.concatenate([keep, keep[2:3]]), choose_spread(3, 3))
    once = lira(target, phi, keep, choose_spread(3, 3), weights)
    for name in ("lira_online", "lira_offline", "lira_offline_two_sided"):
        np.testing.assert_allclose(once.of(name), twice.of(name))


@pytest.mark.parametrize("models", [4, 8])
def test_in_the_place_of_the_last_reference_neither_it_nor_its_partners_count(models: int) -> None:
    target, _, phi, keep = gaussian(models, 300, 1.0, seed=models, queries=2)
    gone = np.zeros_like(keep)
    gone[-1] = True
    gone[partners(keep)[-1], np.arange(300)] = True
    left = np.argsort(gone, axis=0, kind="stable")[:models - 2]
    spread = choose_spread(models // 2, models // 2, spared=1)
    expected = lira(target, phi[left, np.arange(300)], keep[left, np.arange(300)], spread)
    found = in_place_of_last(target, phi, keep, spread)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
