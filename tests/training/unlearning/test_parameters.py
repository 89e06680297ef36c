"""Hyper-parameters out of their range are refused by their name, and kept for stage keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mindleak.errors import InputError
from mindleak.training.unlearning.methods import METHODS


@pytest.mark.parametrize(("name", "given", "message"), [
    ("fine_tune", {"passes": 0}, "passes is 0; expected a whole number from 1 on"),
    ("fine_tune", {"passes": 1.5}, "passes is 1.5; expected a whole number from 1 on"),
    ("fine_tune", {"passes": True}, "passes is True; expected a whole number"),
    ("fine_tune", {"learning_rate": 0.0}, "learning_rate is 0.0; expected a finite number above 0"),
    ("fine_tune", {"learning_rate": float("nan")}, "learning_rate is nan; expected a finite number above 0"),
    ("gradient_ascent", {"loss_bound": float("inf")}, "loss_bound is inf; expected a finite number above 0"),
    ("random_labels", {"passes": "3"}, "passes is '3'; expected a whole number"),
    ("bad_teacher", {"retained_fraction": 0.0}, "retained_fraction is 0.0; expected a number above 0 and up to 1"),
    ("bad_teacher", {"retained_fraction": 1.1}, "retained_fraction is 1.1; expected a number above 0 and up to 1"),
    ("ssd", {"alpha": 0}, "alpha is 0; expected a finite number above 0"),
    ("ssd", {"dampening": -1.0}, "dampening is -1.0; expected a finite number above 0"),
    ("scrub", {"max_passes": 0}, "max_passes is 0; expected a whole number from 1 on"),
    ("sparse_fine_tune", {"sparsity": 1.0}, "sparsity is 1.0; expected a number above 0 and below 1"),
    ("suppress_fine_tune", {"updates": 0}, "updates is 0; expected a whole number from 1 on"),
])
def test_a_value_out_of_range_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        METHODS[name](**given)


@pytest.mark.parametrize("name", METHODS)
def test_settings_make_the_same_method_again(name: str) -> None:
    settings = METHODS[name]().settings()
    assert json.loads(json.dumps(settings)) == settings
    assert METHODS[name](**settings).settings() == settings
    settings.clear()
    assert METHODS[name]().settings()
