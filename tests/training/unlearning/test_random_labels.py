"""Random labels: never the true one, all others alike, and only for the forgotten rows."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.errors import InputError
from mindleak.training.unlearning.random_labels import RandomLabels, other_labels
from unlearning_setup import FORGET, RETAINED, Affine, one_hot, request


def test_one_step_is_the_one_worked_out_by_hand() -> None:
    asked = request()
    before = Affine(asked.network)
    labels = asked.y.copy()
    labels[FORGET] = other_labels(asked.y[FORGET], 3, asked.seed)
    rows = np.concatenate([FORGET, RETAINED])
    original = asked.y.copy()
    result = RandomLabels(passes=1).unlearn(asked)
    assert before.step(asked.x[rows], before.errors(asked.x[rows], one_hot(labels[rows])), 0.5).equals(result.network)
    assert result.sample_epochs == 30.0
    assert np.array_equal(asked.y, original)


def test_labels_are_others_and_all_of_them() -> None:
    truth = np.repeat(np.arange(4, dtype=np.int32), 3000)
    drawn = other_labels(truth, 4, 7)
    assert drawn.dtype == np.int32 and not (drawn == truth).any()
    counts = np.array([[((truth == true) & (drawn == other)).sum() for other in range(4)] for true in range(4)])
    # A third of 3,000 each, with a standard deviation of 26.
    assert np.abs(counts[~np.eye(4, dtype=bool)] - 1000).max() < 130
    assert np.array_equal(drawn, other_labels(truth, 4, 7)) and not np.array_equal(drawn, other_labels(truth, 4, 8))


def test_one_class_leaves_no_other_label() -> None:
    with pytest.raises(InputError, match="the network has 1 class; expected at least 2"):
        other_labels(np.zeros(3, np.int32), 1, 0)
