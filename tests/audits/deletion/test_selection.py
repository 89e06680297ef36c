"""Hyper-parameters: tried on the validation request, chosen by closeness to a full retraining."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from _made_up_deletions import LABELS, answers, make_design
from mindleak.audits.deletion import selection
from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.selection import Selection
from mindleak.errors import NotFiniteError
from mindleak.subjects.task import TrainingTask
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.methods import METHODS
from mindleak.training.unlearning.stepwise import Stepwise

RECIPE = Recipe(learning_rate=.2)


class MadeUpStages:
    """Networks that remember as much after each candidate as is said here; None where one destroys a network."""

    left: tuple[float | None, ...] = ()

    def __init__(self, planned: Any) -> None:
        self._planned = planned

    def _answers(self, level: float) -> Answers:
        generator = np.random.default_rng(1)
        return answers(self._planned.design, level, generator, np.zeros(len(self._planned.design.pool)))

    def answers(self, method: str) -> Answers:
        assert method == "full"
        return self._answers(0.0)

    def unlearned_answers(self, method: Any, called: str) -> Answers:
        level = self.left[int(called.split("-")[1])]
        if level is None:
            raise NotFiniteError("weights that are not finite")
        return self._answers(level)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(selection, "DeletionStages", MadeUpStages)
    task = object.__new__(TrainingTask)
    object.__setattr__(task, "recipe", RECIPE)
    plan = SimpleNamespace(dataset=SimpleNamespace(y_train=LABELS))
    return SimpleNamespace(validation=SimpleNamespace(design=make_design(2), plan=plan, trained={"before": [task]}))


def test_the_candidate_nearest_to_a_full_retraining_is_chosen(planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUpStages, "left", (3.0, 1.0, 0.0, -2.0))
    choice = Selection(planned).chosen("ssd")
    scores = [each["score"] for each in choice.tried]
    assert scores[2] == 1.0 == max(scores), "equal to the full retraining"
    assert choice.method.settings() == {**METHODS["ssd"]().settings(), **METHODS["ssd"].grid[2]}


def test_of_equal_candidates_the_defaults_are_taken_and_destroyed_networks_never(
        planned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUpStages, "left", (1.0, 1.0, None, 1.0))
    choice = Selection(planned).chosen("ssd")
    assert choice.method.settings() == METHODS["ssd"]().settings() and choice.tried[2]["score"] is None
    monkeypatch.setattr(MadeUpStages, "left", (None,) * 4)
    with pytest.raises(NotFiniteError, match="all 4 candidates of ssd failed, the last for: weights that are"):
        Selection(planned).chosen("ssd")


def test_without_a_validation_request_a_method_is_taken_as_it_comes() -> None:
    choice = Selection(SimpleNamespace(validation=None)).chosen("scrub")  # type: ignore[arg-type]
    assert choice.tried == () and choice.method.settings() == METHODS["scrub"]().settings()


@pytest.mark.parametrize("name", METHODS)
def test_the_first_candidate_is_the_default_and_none_is_there_twice(name: str) -> None:
    candidates, default = METHODS[name].candidates(RECIPE), METHODS[name]()
    settings = [{**each.settings(), "learning_rate": each._rate(RECIPE) if isinstance(each, Stepwise) else None}
                for each in (default, *candidates)]
    assert settings[0] == pytest.approx(settings[1]), "what it is without being told"
    assert all(one != other for place, one in enumerate(settings[1:]) for other in settings[2 + place:])
    assert len(candidates) >= 3
