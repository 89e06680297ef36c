"""Bad teacher: towards the untrained network on forgotten rows, towards the original on retained ones."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.errors import InputError
from mindleak.training.unlearning.bad_teacher import BadTeacher, chosen
from training_setup import Linear, seeded
from unlearning_setup import FORGET, RETAINED, Affine, request, untrained


def test_loss_and_step_are_those_worked_out_by_hand() -> None:
    asked = request(seeded(Linear, 12))
    before, stranger = Affine(asked.network), Affine(untrained(asked.seed))
    rows = np.concatenate([FORGET, RETAINED])
    wanted = np.concatenate([stranger.log_probabilities(asked.x[FORGET]), before.log_probabilities(asked.x[RETAINED])])
    own = before.log_probabilities(asked.x[rows])
    result = BadTeacher(passes=1, learning_rate=0.5, retained_fraction=1.0).unlearn(asked)
    assert before.step(asked.x[rows], before.errors(asked.x[rows], np.exp(wanted)), 0.5).equals(result.network)
    expected = (np.exp(wanted) * (wanted - own)).sum(axis=1).mean()
    assert result.record["losses"] == pytest.approx([expected], rel=1e-4)
    assert (result.sample_epochs, result.asked) == (30.0, 30.0)


def test_a_part_of_the_retained_rows_is_used() -> None:
    result = BadTeacher(passes=2, retained_fraction=0.25).unlearn(request())
    assert result.record["retained_used"] == 6
    assert (result.sample_epochs, result.asked) == (24.0, 12.0)
    rows = chosen(RETAINED, 0.25, 3)
    assert set(rows) <= set(RETAINED) and len(set(rows)) == 6 and list(rows) == sorted(rows)
    assert len(chosen(RETAINED, 0.001, 3)) == 1


def test_a_teacher_that_is_the_network_is_refused() -> None:
    network = seeded(Linear)
    with pytest.raises(InputError, match="fresh returns the network itself"):
        BadTeacher().unlearn(request(network, fresh=lambda seed: network))
