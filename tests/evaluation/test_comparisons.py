"""Comparisons judged together: Holm's correction by hand and by simulation, p values in step with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mindleak.evaluation.comparisons import BENJAMINI_HOCHBERG, Comparison, Family, equal_rates_p, holm, p_by_inversion
from mindleak.evaluation.intervals import clopper_pearson, difference_of_independent, mean_metric, proportion
from mindleak.evaluation.means import mean_over_images
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04; the last may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03]) and holm([]).shape == (0,)


@pytest.mark.parametrize("wrong", [[-0.1], [1.1], [float("nan")], [[0.5]]])
def test_what_is_no_p_value_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="p values lie in"):
        holm(wrong)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms())
def test_holm_lies_between_none_and_bonferroni_and_knows_no_order(p_values: list[float], random: object) -> None:
    plain, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= plain).all() and (adjusted <= np.minimum(plain * plain.size, 1.0) + 1e-15).all()
    shuffled = np.random.default_rng(0).permutation(plain.size)
    assert holm(plain[shuffled]) == pytest.approx(adjusted[shuffled])


def test_a_family_names_what_holds_and_says_of_how_many() -> None:
    family = Family("AUCs compared with chance", {
        "a": Comparison(0.2, 0.001), "b": Comparison(-0.1, 0.02), "c": Comparison(0.1, 0.04), "d": None})
    assert [family.direction(key) for key in "abcde"] == [1, -1, 1, 0, 0]
    assert family.size == 3 and family.held == 3
    assert str(family) == "of 3 AUCs compared with chance, Holm-corrected at 5 %"
    crowded = Family("AUCs", {"a": Comparison(0.2, 0.001), **{n: Comparison(0.1, 0.04) for n in range(9)}})
    assert crowded.direction("a") == 1 and crowded.held == 1 and crowded.strictest == pytest.approx(0.995)


def test_benjamini_hochberg_by_hand() -> None:
    # .01 .02 .04 .9 against .0125 .025 .0375 .05: two hold. Holm's bounds are .0125 .0167 ...: one does.
    p_values = dict(zip("abcd", (0.01, 0.02, 0.04, 0.9)))
    compared = {key: Comparison(1.0, p) for key, p in p_values.items()}
    assert Family("changes", compared, BENJAMINI_HOCHBERG).held == 2 and Family("changes", compared).held == 1
    assert str(Family("changes", {}, BENJAMINI_HOCHBERG)) == "of 0 changes, Benjamini-Hochberg-corrected at 5 %"


def test_a_comparison_that_cannot_be_corrected_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="needs a p value"):
        Comparison.of({"value": 0.6, "ci": [0.55, 0.65]})
    assert Comparison.of({"value": None, "ci": None}) is None and Comparison.of({"value": 0.6, "ci": None}) is None
    assert Comparison.of({"value": 0.6, "ci": [0.5, None], "p": 0.1}) is None
    assert Comparison.of({"value": 0.6, "ci": [0.55, 0.65], "p": 0.01}, null=0.5) == Comparison(
        pytest.approx(0.1), 0.01)


def samples(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    n_in, n_out = generator.integers(2, 30, 2)
    scores = np.round(generator.normal(size=n_in + n_out) * generator.choice([1, 3, 30]))
    return scores + generator.choice([0, 1]) * (np.arange(n_in + n_out) < n_in), np.arange(n_in + n_out) < n_in


@pytest.mark.parametrize("seed", range(60))
def test_a_p_value_and_its_interval_say_the_same(seed: int) -> None:
    scores, members = samples(seed)
    other = np.random.default_rng(seed + 1000).normal(size=scores.size) + members
    found: list[tuple[Metric, float]] = [(auc(scores, members), 0.5), (auc(members * 1.0, members), 0.5),
                                         (auc_difference(scores, other, members), 0.0),
                                         (mean_metric(other, null=0.0), 0.0)]
    shares = np.clip(np.random.default_rng(seed).normal(0.3, 0.5, scores.size), -1, 1)
    found += [(mean_over_images(shares, bounds=bounds, null=0.0), 0.0)
              for bounds in ((-1.0, 1.0), (-1.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf))]
    for metric, null in found:
        if metric.ci is not None:
            assert metric.p is not None
            assert (metric.p < 1 - metric.ci_level) == (not metric.ci[0] <= null <= metric.ci[1])


@pytest.mark.parametrize("separated", [False, True])
def test_the_p_value_is_the_level_at_which_the_interval_reaches_the_null(separated: bool) -> None:
    scores, members = samples(3)
    scores = -1.0 * members if separated else scores
    assert p_by_inversion(lambda level: auc(scores, members, level).ci, 0.5) == pytest.approx(
        auc(scores, members).p, rel=1e-5)


def test_p_values_that_no_level_reaches() -> None:
    assert p_by_inversion(lambda level: clopper_pearson(5, 10, level), 0.5) == 1.0
    assert p_by_inversion(lambda level: (1.0, 2.0)) == 1e-12


@pytest.mark.parametrize("counts", [(60, 1000, 12, 1000), (12, 1000, 60, 900), (0, 50, 9, 40), (50, 50, 40, 50),
                                    (3, 100, 3, 100), (40, 40, 0, 40)])
def test_two_rates_are_equal_by_the_interval_of_their_difference(counts: tuple[int, int, int, int]) -> None:
    first, n_first, second, n_second = counts

    def interval(level: float) -> tuple[float, float]:
        found = difference_of_independent(proportion(first, n_first, level), proportion(second, n_second, level)).ci
        assert found is not None
        return found

    assert equal_rates_p(*counts) == pytest.approx(p_by_inversion(interval), rel=1e-4)
    low, high = interval(0.95)
    assert (equal_rates_p(*counts) < 0.05) == (not low <= 0 <= high)


def test_a_family_of_null_comparisons_names_any_in_at_most_one_of_twenty() -> None:
    # 2,000 families of twelve means of nothing, each sharing noise: five in a hundred, ± two standard errors.
    generator = np.random.default_rng(7)
    values = generator.normal(size=(2000, 12, 20)) + generator.normal(size=(2000, 1, 20))
    p_values = stats.ttest_1samp(values, 0.0, axis=-1).pvalue
    alarms = sum(Family("means", {k: Comparison(1.0, p) for k, p in enumerate(each)}).held > 0 for each in p_values)
    assert (p_values <= 0.05).any(axis=1).sum() > 0.2 * 2000
    assert alarms <= 0.05 * 2000 + 2 * np.sqrt(2000 * 0.05 * 0.95)
