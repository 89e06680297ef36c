"""Fine-tuning: a step down the loss of the retained rows, and nothing of the forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.training.unlearning.fine_tune import FineTune
from unlearning_setup import RETAINED, Affine, one_hot, request


@pytest.mark.parametrize(("given", "rate"), [(None, 0.5), (0.25, 0.25)])
def test_one_step_is_the_one_worked_out_by_hand(given: float | None, rate: float) -> None:
    asked = request()
    before, x, y = Affine(asked.network), asked.x[RETAINED], asked.y[RETAINED]
    result = FineTune(passes=1, learning_rate=given).unlearn(asked)
    assert before.step(x, before.errors(x, one_hot(y)), rate).equals(result.network)
    assert result.record["losses"] == pytest.approx([before.loss(x, y)], rel=1e-5)
    assert (result.sample_epochs, result.asked) == (24.0, 0.0)


def test_the_forgotten_rows_are_not_looked_at() -> None:
    asked = request()
    other = asked.x.copy()
    other[asked.forget] = 0.5
    first = FineTune(passes=2).unlearn(asked).network
    second = FineTune(passes=2).unlearn(request(x=other)).network
    assert all(np.array_equal(one.asnumpy(), two.asnumpy())
               for one, two in zip(first.get_parameters(), second.get_parameters()))
