"""Intervals of means over networks that are each other's references: against sums written out, and by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.shared_references import LEAST_SHARE, covariance, mean_over_siblings, reference_parts


def made_parts(generator: np.random.Generator, models: int, own: float, shared: float, mutual: float) -> np.ndarray:
    """Return parts with effects of targets and references that are one network's, and of pairs; NaN on the diagonal."""
    network = generator.normal(size=models)
    alike = np.triu(generator.normal(size=(models, models)), 1)
    parts = own * network[:, None] + shared * network + mutual * (alike + alike.T)
    parts = parts + generator.normal(size=(models, models))
    np.fill_diagonal(parts, np.nan)
    return parts


def test_parts_have_the_figure_as_their_mean_and_follow_the_slopes() -> None:
    # A mean of 1, 2 and 6: counting the third (1 + w) times changes it by w·(6 - 3)/3 at first.
    assert reference_parts(3.0, [(1 - 3) / 3, (2 - 3) / 3, (6 - 3) / 3]) == pytest.approx([1, 2, 6])
    assert reference_parts(3.0, [0.5, 0.5, 0.5]) == pytest.approx([3, 3, 3])


@pytest.mark.parametrize("models", [4, 6, 9])
def test_the_covariance_is_the_sum_over_pairs_of_parts_written_out(models: int) -> None:
    parts = made_parts(np.random.default_rng(models), models, 1.0, 0.5, 1.0)
    pairs = [pair for pair in itertools.product(range(models), repeat=2) if pair[0] != pair[1]]
    rest = {pair: parts[pair] - np.nanmean(parts) for pair in pairs}

    def mean(chosen: list[float]) -> float:
        return sum(chosen) / len(chosen)

    nothing = mean([rest[k, j] * rest[m, i] for (k, j), (m, i) in itertools.product(pairs, pairs)
                    if len({k, j, m, i}) == 4])
    total = 0.0
    numbers = range(models)
    for k, m in itertools.permutations(numbers, 2):
        # Cov(mean of row k, mean of row m), each product of parts replaced by the mean of its kind.
        for j, i in itertools.product(numbers, numbers):
            if j == k or i == m:
                continue
            if (j, i) == (m, k):
                kind = [rest[a, b] * rest[b, a] for a, b in pairs]
            elif j == i:
                kind = [rest[a, c] * rest[b, c] for a, b, c in itertools.permutations(numbers, 3)]
            elif j == m or i == k:
                kind = [rest[a, b] * rest[b, c] for a, b, c in itertools.permutations(numbers, 3)]
            else:
                continue
            total += mean(kind) - nothing
    expected = total / (models * (models - 1)) / (models - 1) ** 2
    assert covariance(parts) == pytest.approx(expected)


def test_the_covariance_is_that_of_repeated_families() -> None:
    generator = np.random.default_rng(0)
    families = [made_parts(generator, 8, 1.0, 0.5, 1.0) for _ in range(1500)]
    figures = np.array([np.nanmean(parts, axis=1) for parts in families])
    true = np.cov(figures.T)[~np.eye(8, dtype=bool)].mean()
    estimates = [covariance(parts) for parts in families]
    assert np.mean(estimates) == pytest.approx(true, abs=4 * np.std(estimates) / np.sqrt(1500) + 0.02)


def test_where_nothing_is_shared_the_interval_is_still_wider_than_students_by_what_is_presumed() -> None:
    figures, parts = np.array([0.1, 0.2, 0.4, 0.3]), np.full((4, 4), 0.25)
    plain, found = mean_metric(figures, null=0.0), mean_over_siblings(figures, parts, null=0.0)
    assert plain.ci is not None and found.ci is not None and plain.p is not None and found.p is not None
    assert found.value == plain.value and found.p > plain.p
    assert found.ci[1] - found.value == pytest.approx((plain.ci[1] - plain.value) * np.sqrt(1 + LEAST_SHARE))


def test_bounds_are_kept_and_equal_figures_have_no_interval() -> None:
    parts = made_parts(np.random.default_rng(0), 4, 1.0, 1.0, 1.0)
    assert mean_over_siblings([0.9, 1.0, 1.0, 0.99], parts, bounds=(0.0, 1.0)).ci[1] == 1.0  # type: ignore[index]
    assert mean_over_siblings([0.5] * 4, parts).ci is None


@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (4,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="parts must have shape"):
        covariance(np.zeros(shape))
    with pytest.raises(ValueError, match="parts must have shape"):
        mean_over_siblings([0.1, 0.2, 0.3, 0.5], np.zeros((5, 5)))


@pytest.mark.parametrize("effects", [(0.0, 0.0, 1.0), (0.3, 0.3, 1.0)])
def test_it_covers_about_as_often_as_it_says(effects: tuple[float, float, float]) -> None:
    generator, repetitions = np.random.default_rng(8), 1000
    covered = {"own": 0, "student": 0}
    for _ in range(repetitions):
        parts = made_parts(generator, 8, *effects)
        figures = np.nanmean(parts, axis=1)
        for name, found in (("own", mean_over_siblings(figures, parts)), ("student", mean_metric(figures))):
            assert found.ci is not None
            covered[name] += found.ci[0] <= 0.0 <= found.ci[1]
    assert covered["own"] / repetitions >= 0.94 - 3 * 0.0075
    assert covered["student"] / repetitions < 0.93
