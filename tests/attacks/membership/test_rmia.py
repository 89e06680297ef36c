"""RMIA against hand-computed values, its priors, ties, the tuning of a, and symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.attacks.membership import rmia
from mindleak.attacks.membership.rmia import Priors, ReferenceMeans, offline_log_p, online_log_p, rmia_scores
from mindleak.attacks.membership.signals import ReferenceSignals, partners
from mindleak.data.splits import halves
from mindleak.evaluation.roc import auc


def references(keep: np.ndarray, p: np.ndarray, p_z: np.ndarray) -> ReferenceSignals:
    return ReferenceSignals(keep, np.zeros((*keep.shape, 1)), np.log(p), np.log(p_z))


KAT_Z, KAT_MEANS = np.log([0.8, 0.7, 0.95]), np.log([0.75, 0.7, 0.9])


def kat_means() -> Priors:
    """Return the means of the known answer, from the references' own answers."""
    p, p_z = np.array([[0.5], [0.6]]), np.array([[0.7, 0.6, 0.85], [0.8, 0.8, 0.95]])
    return ReferenceMeans(references(np.zeros((2, 1), bool), p, p_z)).priors()


def test_known_answer_offline() -> None:
    found = kat_means()
    assert found.log_mean_z == pytest.approx(KAT_MEANS)
    prior = offline_log_p(found.log_mean_out, 0.3)
    assert np.exp(prior) == pytest.approx([0.7075])
    ratios = np.exp(KAT_Z - offline_log_p(found.log_mean_z, 0.3))
    assert ratios == pytest.approx([0.95522, 0.86957, 1.01604], abs=5e-6)
    scores = rmia.offline(np.log([0.9]), KAT_Z, found, gamma=1.0, a=0.3)
    assert np.exp(scores.log_ratio) == pytest.approx([1.27208], abs=5e-6)
    assert scores.share == pytest.approx([1.0])


@pytest.mark.parametrize(("gamma", "share"), [(1.0, 1.0), (1.26, 2 / 3), (1.4, 1 / 3), (2.0, 0.0)])
def test_known_answer_at_other_gammas(gamma: float, share: float) -> None:
    # R(x)/R(z) = 1.3317, 1.4629, 1.2520.
    assert rmia.offline(np.log([0.9]), KAT_Z, kat_means(), gamma, 0.3).share == pytest.approx([share])


def test_reaching_gamma_exactly_counts() -> None:
    zero = np.zeros(1)
    assert rmia_scores([math.log(2.0)], zero, zero, zero, 2.0).share == pytest.approx([1.0])
    assert rmia_scores([math.log(2.0) - 1e-9], zero, zero, zero, 2.0).share == pytest.approx([0.0])


def test_the_population_is_averaged_over_all_references_and_not_the_upper_half() -> None:
    # Beta(8, 2) has the mean .8; the mean of the upper half of 8 is .885.
    p_z = np.random.default_rng(0).beta(8, 2, size=(8, 20_000))
    found = ReferenceMeans(references(np.arange(8)[:, None] < 4, np.full((8, 1), 0.5), p_z)).priors()
    assert np.exp(found.log_mean_z).mean() == pytest.approx(0.8, abs=0.002)
    assert np.sort(p_z, axis=0)[4:].mean() == pytest.approx(0.885, abs=0.002)


def test_online_prior_is_the_mean_over_both_sides() -> None:
    keep = np.array([[True], [True], [False], [False]])
    found = ReferenceMeans(references(keep, np.array([[0.9], [0.7], [0.2], [0.4]]), np.full((4, 1), 0.5))).priors()
    assert np.exp(online_log_p(found.log_mean_in, found.log_mean_out)) == pytest.approx([(0.8 + 0.3) / 2])


def test_tiny_probabilities_do_not_vanish() -> None:
    keep = np.array([[True], [False], [False]])
    model = ReferenceSignals(keep, np.zeros((3, 1, 1)), np.array([[-600.0], [-700.0], [-700.0]]), np.zeros((3, 1)))
    found = ReferenceMeans(model).priors()
    assert (found.log_mean_in[0], found.log_mean_out[0]) == (pytest.approx(-600), pytest.approx(-700))


def test_leaving_one_out_leaves_its_partner_out_too_and_only_it_on_the_population() -> None:
    generator = np.random.default_rng(0)
    keep = halves(np.zeros(40, int), np.arange(40), 8, 0)[1]
    p, p_z = generator.uniform(0.1, 0.9, (8, 40)), generator.uniform(0.1, 0.9, (8, 5))
    means, other = ReferenceMeans(references(keep, p, p_z)), partners(keep)
    for number in (0, 5):
        found = means.without(number)
        rest = np.arange(8) != number
        assert np.exp(found.log_mean_z) == pytest.approx(p_z[rest].mean(axis=0))
        for sample in (0, 17):
            kept = rest & (np.arange(8) != other[number, sample])
            side = keep[:, sample]
            assert np.exp(found.log_mean_in[sample]) == pytest.approx(p[kept & side, sample].mean())
            assert np.exp(found.log_mean_out[sample]) == pytest.approx(p[kept & ~side, sample].mean())


@given(st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0]), min_size=1, max_size=20),
       st.lists(st.floats(-2, 0), min_size=1, max_size=8), st.sampled_from([1.0, 2.0]))
@settings(deadline=None)
def test_ties_are_broken_by_the_ratio_and_counted(own: list[float], z: list[float], gamma: float) -> None:
    scores = rmia_scores(own, np.zeros(len(own)), z, np.zeros(len(z)), gamma)
    expected = [np.mean([mine - other >= math.log(gamma) for other in z]) for mine in own]
    # A difference of exactly ln γ may fall either way by rounding; there is none among these but at γ = 1.
    if gamma > 1.0:
        assert scores.share == pytest.approx(expected)
    pairs = list(zip(scores.share, scores.log_ratio))
    for one, first in enumerate(pairs):
        for two, second in enumerate(pairs):
            assert (first < second) == (scores.scores[one] < scores.scores[two])
    assert scores.tied == sum(list(scores.share).count(share) > 1 for share in scores.share)


def drawn(models: int, samples: int, shift: float, seed: int) -> tuple[ReferenceSignals, np.ndarray]:
    """Return references with a target as model 0: members' φ higher by ``shift``, samples of their own difficulty."""
    generator = np.random.default_rng(seed)
    keep = halves(np.zeros(samples, int), np.arange(samples), models, seed)[1]
    phi = generator.normal(0, 2, samples) + generator.normal(size=keep.shape) + shift * keep
    phi_z = generator.normal(0, 2, 500) + generator.normal(size=(models, 500))
    return ReferenceSignals(keep, phi[..., None], -np.logaddexp(0, -phi), -np.logaddexp(0, -phi_z)), keep[0]


@pytest.mark.parametrize("name", ["online", "offline"])
@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.47, 0.53), (2.0, 0.75, 1.0)])
def test_null_and_positive_control(name: str, shift: float, low: float, high: float) -> None:
    signals, members = drawn(16, 3000, shift, 1)
    own, found = signals.model(0), ReferenceMeans(signals).without(0)
    scores = getattr(rmia, name)(own.log_p, own.log_p_z, found)
    assert low < auc(scores.scores, members).value < high


def test_a_is_tuned_on_a_reference_and_stays_where_nothing_speaks_for_another() -> None:
    signals, members = drawn(16, 3000, 2.0, 2)
    own, found = signals.model(0), ReferenceMeans(signals).without(0)
    chosen = rmia.tuned_a(own.log_p, own.log_p_z, members, found)
    areas = [auc(rmia.offline(own.log_p, own.log_p_z, found, a=a).scores, members).value for a in rmia.A_GRID]
    assert areas[rmia.A_GRID.index(chosen)] == max(areas)
    still = Priors(found.log_mean_in, np.zeros(3000), np.zeros(500))
    assert rmia.tuned_a(np.zeros(3000), np.zeros(500), members, still) == rmia.DEFAULT_A
    assert rmia.tuned_a(own.log_p, own.log_p_z, np.ones(3000, bool), found) == rmia.DEFAULT_A


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_order_of_samples_models_and_population_does_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    keep = halves(np.zeros(12, int), np.arange(12), 6, seed % 1000)[1]
    p, p_z, own, own_z = (generator.uniform(0.01, 0.99, shape) for shape in ((6, 12), (6, 7), 12, 7))
    models, samples, population = (generator.permutation(count) for count in (6, 12, 7))

    def scores(order: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        m, s, z = order
        found = ReferenceMeans(references(keep[m][:, s], p[m][:, s], p_z[m][:, z])).priors()
        return rmia.online(np.log(own[s]), np.log(own_z[z]), found).scores

    plain = scores((np.arange(6), np.arange(12), np.arange(7)))
    assert scores((models, samples, population)) == pytest.approx(plain[samples])


def test_constant_answers_are_chance_and_no_crash() -> None:
    keep = halves(np.zeros(20, int), np.arange(20), 4, 0)[1]
    found = ReferenceMeans(references(keep, np.ones((4, 20)), np.ones((4, 3)))).priors()
    for scores in (rmia.online(np.zeros(20), np.zeros(3), found), rmia.offline(np.zeros(20), np.zeros(3), found)):
        assert scores.tied == 20 and auc(scores.scores, np.arange(20) < 10).value == 0.5
    assert rmia_scores(np.zeros(0), np.zeros(0), np.zeros(1), np.zeros(1)).scores.shape == (0,)
    assert rmia_scores(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1)).tied == 0


@pytest.mark.parametrize(("call", "words"), [
    (lambda: rmia_scores(np.zeros(2), np.zeros(2), np.zeros(0), np.zeros(0)), "population"),
    (lambda: rmia_scores(np.zeros(2), np.zeros(2), np.zeros(1), np.zeros(1), 0.9), "gamma"),
    (lambda: offline_log_p(np.zeros(1), 1.1), "a lies in"),
])
def test_what_cannot_be_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
