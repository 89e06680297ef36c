"""Recipes: refused values, whole batches, closed forms of the learning-rate schedules."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.errors import InputError
from mindleak.training.recipe import Recipe, learning_rate_at


@pytest.mark.parametrize(("field", "value"), [
    ("method", "supress"), ("optimizer", "rmsprop"), ("schedule", "linear"), ("epochs", 0), ("batch_size", 0),
    ("schedule_every", 0), ("schedule_patience", 0), ("learning_rate", 0.0), ("learning_rate", math.nan),
    ("learning_rate", math.inf), ("learning_rate", -0.1), ("momentum", 1.0), ("momentum", math.nan),
    ("weight_decay", -1e-4), ("weight_decay", math.nan), ("schedule_factor", 0.0), ("schedule_factor", 1.5),
    ("schedule_factor", math.nan),
])
def test_values_out_of_range_are_refused_by_their_key(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"training.{field}"):
        Recipe(**{field: value})


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(InputError, match="'nesterov' needs training.momentum above 0"):
        Recipe(optimizer="nesterov", momentum=0.0)


def test_a_recipe_is_its_fields() -> None:
    recipe = Recipe(epochs=7, optimizer="adam")
    assert Recipe(**recipe.as_dict()) == recipe


def test_whole_batches_only_and_at_least_one() -> None:
    recipe = Recipe(batch_size=32)
    assert recipe.steps_per_epoch(32) == 1
    assert recipe.steps_per_epoch(95) == 2
    with pytest.raises(InputError, match="batch_size 32 is larger than the 31 training samples"):
        recipe.steps_per_epoch(31)


def rates(recipe: Recipe, losses: list[float]) -> list[float]:
    return [learning_rate_at(recipe, epoch, losses[:epoch - 1]) for epoch in range(1, len(losses) + 2)]


def test_constant_schedule_stays() -> None:
    assert rates(Recipe(learning_rate=0.2), [1.0] * 20) == [0.2] * 21


def test_step_schedule_multiplies_every_so_many_epochs() -> None:
    recipe = Recipe(learning_rate=0.8, schedule="step", schedule_every=2, schedule_factor=0.5)
    assert rates(recipe, [1.0] * 5) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_cosine_schedule_starts_at_the_rate_and_passes_half_of_it_midway() -> None:
    recipe = Recipe(learning_rate=0.4, schedule="cosine", epochs=8)
    values = rates(recipe, [1.0] * 7)
    assert values == pytest.approx([0.2 * (1 + math.cos(math.pi * k / 8)) for k in range(8)])
    assert values[0] == 0.4
    assert values[4] == pytest.approx(0.2)
    assert values[-1] > 0


def test_plateau_schedule_waits_for_more_than_patience_epochs_without_improvement() -> None:
    recipe = Recipe(learning_rate=1.0, schedule="plateau", schedule_patience=2, schedule_factor=0.1)
    losses = [5.0, 4.0, 4.0, 4.5, 4.0, 3.0, 3.0, 3.0, 3.0]
    # Epochs 3, 4 and 5 bring nothing: lower from epoch 6. Then 7, 8, 9: lower again from epoch 10.
    assert rates(recipe, losses) == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 4))
def test_plateau_never_raises_the_rate_and_falling_losses_keep_it(losses: list[float], patience: int) -> None:
    recipe = Recipe(learning_rate=1.0, schedule="plateau", schedule_patience=patience)
    values = rates(recipe, losses)
    assert all(later <= earlier for earlier, later in zip(values, values[1:]))
    assert all(len(losses) // (patience + 1) >= round(-math.log2(value)) for value in values)
    falling = sorted(set(losses), reverse=True)
    assert set(rates(recipe, falling)) == {1.0}
