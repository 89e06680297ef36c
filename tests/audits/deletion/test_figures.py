"""What is measured after a deletion, on made-up answers whose truth is known: known, forgotten, over-forgotten."""

from __future__ import annotations

import copy
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from _made_up_deletions import LABELS, answers, audit, make_design, relearning
from mindleak.audits.deletion import results
from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.figures import _success, measured
from mindleak.audits.deletion.findings import deletion_findings
from mindleak.audits.deletion.relearning import known_losses
from mindleak.audits.questions import Questions
from mindleak.errors import InputError, NotFiniteError
from mindleak.evaluation.roc import auc


def said(result: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """By method what is said of it, and the verdict."""
    found = list(deletion_findings([result], Questions()))
    names = {"full": "full retraining", "scrub": "SCRUB", "fine_tune": "fine-tuning on the rest",
             "drop_group": "dropping a group at random", "sharded": "sharded retraining"}
    return {key: next(((each.verdict, each.text) for each in found if f": {name}: AUC" in each.text), (None, ""))
            for key, name in names.items()} | {"notes": (None, " ".join(e.text for e in found if e.verdict is None))}


@pytest.fixture(scope="module")
def audited() -> dict[str, Any]:
    """What an audit says of a method that leaves two thirds of what was remembered, and of one that leaves a third."""
    return audit({"scrub": 2.0, "fine_tune": 1.0})


def test_the_areas_are_those_of_deleted_and_never_seen_samples() -> None:
    design, generator = make_design(), np.random.default_rng(3)
    hard = np.zeros(len(design.pool))
    before, after = (answers(design, level, generator, hard) for level in (3.0, 0.0))
    found, scores = measured(after, before, design, LABELS)
    values = found.values
    signal = (after.pool[..., 1] - after.pool[..., 0]) * np.where(LABELS[design.pool] == 1, 1, -1)
    for model, kept in enumerate(design.keep):
        # The loss falls as φ rises, so both rank alike.
        assert values["auc/loss"][model] == pytest.approx(auc(signal[model], kept).value)
        assert values["accuracy/forgotten"][model] == np.mean(signal[model][kept] > 0)
        assert values["accuracy/never_seen"][model] == np.mean(signal[model][~kept] > 0)
    assert np.mean(values["change/phi"]) == pytest.approx(3.0, abs=.2), "what was remembered is gone"
    assert np.mean(values["auc/two_models"]) > .9, "who has both models sees it go"


def test_references_find_what_the_loss_alone_does_not(audited: dict[str, Any]) -> None:
    loss, lira = (next(e for e in audited["methods"] if e["method"] == "fine_tune")["measures"][name]["value"]
                  for name in ("auc/loss", "auc/u_lira"))
    assert lira > loss + .05


def test_what_is_remembered_is_shown_and_a_full_retraining_is_acquitted(audited: dict[str, Any]) -> None:
    found = said(audited)
    assert found["scrub"][0] == "shown" and "still told from never-seen ones" in found["scrub"][1]
    assert "and shown to differ" in found["scrub"][1]
    assert found["full"][0] == "not shown"
    assert "before the deletion the attack tells the 100 samples" in found["notes"][1]


def test_over_forgetting_is_shown_as_such() -> None:
    found = said(audit({"scrub": -3.0}))
    assert found["scrub"][0] == "shown" and "over-forgetting" in found["scrub"][1]


def test_where_nothing_was_remembered_nobody_is_acquitted() -> None:
    found = said(audit({"scrub": 0.0}, remembered=0.0, seed=5))
    assert found["full"][0] == found["scrub"][0] == "cannot tell"
    assert "so that it can acquit no deletion" in found["notes"][1]


@pytest.mark.parametrize(("margin", "said_of_it"), [(.2, "retraining, shown to be within 0.2 of it"),
                                                   (.01, "retraining, not shown to be within 0.01 of it (it may be")])
def test_a_method_as_good_as_retraining_is_shown_to_be_within_a_margin_that_the_sample_resolves(
        margin: float, said_of_it: str) -> None:
    verdict, text = said(audit({"scrub": 0.0}, seed=2, margin=margin))["scrub"]
    assert verdict == "not shown" and said_of_it in text


def test_what_a_negative_could_have_shown_lies_outside_its_interval(audited: dict[str, Any]) -> None:
    text = said(audited)["full"][1]
    low, high, shown = map(float, re.search(
        r"AUC 0\.\d+ \((\S+) to (\S+)\).*eight of ten such audits would show an AUC of (\S+)\)", text).groups())  # type: ignore[union-attr]
    assert shown - .5 > (high - low) / 2


@pytest.mark.parametrize("repetitions", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_a_control_that_never_saw_the_samples_is_rarely_flagged(repetitions: int) -> None:
    flagged = sum("the attack finds what is not there" in found.text for number in range(repetitions)
                  for found in deletion_findings([audit({}, seed=100 + number, models=6)], Questions()))
    assert flagged <= max(1, .05 * repetitions)


def test_samples_that_all_networks_know_for_certain_are_shown_and_those_forgotten_beyond_doubt_too() -> None:
    result = audit({"scrub": 60.0, "fine_tune": -60.0}, remembered=60.0)
    found = said(result)
    before = result["methods"][0]["measures"]["auc/u_lira"]
    assert before["value"] == 1.0 and before["p"] == 2.0 ** -99 and before["ci"][0] > .96
    assert "before the deletion the attack tells the 100 samples" in found["notes"][1]
    assert found["scrub"][0] == "shown" and "still told from never-seen ones" in found["scrub"][1]
    assert found["fine_tune"][0] == "shown" and "over-forgetting" in found["fine_tune"][1]
    assert found["full"][0] == "not shown"


def test_a_method_that_breaks_a_network_costs_no_other_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(self: Any, name: str) -> dict[str, Any]:
        if name in broken:
            raise error
        return {"method": name}

    broken, error = ("scrub",), NotFiniteError("weights are not finite")
    monkeypatch.setattr(results._Methods, "_entry", entry)
    monkeypatch.setattr(results._Methods, "__init__",
                        lambda self, planned: vars(self).update(_planned=planned, failed=[]))
    planned = SimpleNamespace(methods=("full", "scrub", "fine_tune"), approximate=["scrub", "fine_tune"])
    methods = results._Methods(planned)  # type: ignore[arg-type]
    assert [found["method"] for found in methods.entries()] == ["before", "full", "never", "fine_tune"]
    result = audit({"fine_tune": 1.0}) | {"failed": methods.failed}
    (finding,) = [found for found in deletion_findings([result], Questions()) if found.verdict == "cannot tell"]
    assert finding.text.endswith("SCRUB broke a network and was not measured (weights are not finite).")
    error = InputError("cannot write")  # type: ignore[assignment]
    with pytest.raises(InputError, match="cannot write"):
        results._Methods(planned).entries()  # type: ignore[arg-type]


def test_relearning_that_is_cut_short_in_most_networks_is_said_to_tell_little() -> None:
    result = audit({"scrub": 0.0}, seed=2)
    scrub = next(each for each in result["methods"] if each["method"] == "scrub")
    assert "relearning" not in said(result)["scrub"][1]
    scrub["relearning"] = relearning("scrub") | {"unreached": 9}  # type: ignore[operator]
    assert "relearning tells little: 9 of 16 relearnings did not end within 20 passes" in said(result)["scrub"][1]


def test_what_differs_from_a_retraining_is_not_acquitted() -> None:
    result = audit({"scrub": 0.0}, seed=2)
    scrub = next(each for each in result["methods"] if each["method"] == "scrub")
    assert said(result)["scrub"][0] == "not shown"
    for sign, verdict in ((1, "shown"), (-1, "cannot tell")):
        scrub["gaps"]["auc/u_lira"] |= {"value": .1 * sign, "ci": sorted([.08 * sign, .12 * sign]), "p": 1e-6}
        assert said(result)["scrub"][0] == verdict
    scrub["gaps"]["auc/u_lira"] |= {"value": 0.0, "ci": [-.02, .02], "p": .9}
    scrub["gaps"]["auc/loss"] |= {"value": -.1, "ci": [-.12, -.08], "p": 1e-6}
    assert said(result)["scrub"][0] == "shown" and "over-forgetting" in said(result)["scrub"][1]


def test_shards_are_acquitted_by_the_shards_before_the_deletion_alone() -> None:
    result = audit({"sharded": 0.0}, seed=2)
    assert said(result)["sharded"][0] == "not shown"
    before = next(each for each in result["methods"] if each["method"] == "sharded_before")
    before["measures"] = next(each for each in result["methods"] if each["method"] == "never")["measures"]
    verdict, text = said(result)["sharded"]
    assert verdict == "cannot tell" and "in the shards the samples were not shown to be told even before" in text


@pytest.mark.parametrize("noise", [.1, pytest.param(.5, marks=pytest.mark.slow)])
def test_success_is_one_half_where_nothing_is_known_however_alike_the_networks_are(noise: float) -> None:
    means = []
    for seed in range(25):
        design, generator = make_design(8, seed), np.random.default_rng(seed)
        phi = 2 * generator.normal(size=len(design.pool)) + noise * generator.normal(size=design.keep.shape)
        logits = np.where(np.arange(2) == LABELS[design.pool][:, None], phi[..., None], 0.0)
        given = Answers(logits, logits[:, :100], np.full(8, .9), 1.0, 1.0)
        means.append(np.mean(_success(given, design, LABELS)["balanced_accuracy/forgotten"]))
    assert abs(np.mean(means) - .5) < 4 * np.std(means) / 5 + .002


def test_what_comes_back_sooner_than_the_never_seen_is_not_forgotten() -> None:
    result = audit({"scrub": 0.0}, seed=2)
    scrub = next(each for each in result["methods"] if each["method"] == "scrub")
    assert said(result)["scrub"][0] == "not shown"
    scrub["relearning"] = relearning("scrub", sooner=2.0)
    verdict, text = said(result)["scrub"]
    assert verdict == "shown" and "relearning takes 10.0 steps for them" in text and "something of them is left" in text
    scrub["relearning"] = relearning("scrub", sooner=-2.0)
    verdict, text = said(result)["scrub"]
    assert verdict == "shown" and "which gives the deletion away" in text, "told by being harder to relearn"


def test_relearning_says_nothing_where_networks_that_never_saw_either_relearn_one_sooner() -> None:
    result = audit({"scrub": 0.0}, seed=2)
    for name in ("scrub", "never"):
        entry = next(each for each in result["methods"] if each["method"] == name)
        entry["relearning"] = relearning(name, sooner=2.0)
    verdict, text = said(result)["scrub"]
    assert verdict == "not shown" and "relearning" not in text


def test_goals_of_relearning_are_those_of_other_networks_that_were_trained_on_the_samples() -> None:
    design, generator = make_design(), np.random.default_rng(4)
    losses = generator.random(design.keep.shape)
    for model, (deleted, never_seen) in enumerate(known_losses(losses, design.keep)):
        others = design.keep.copy()
        others[model] = False
        for goal, group in ((deleted, design.keep[model]), (never_seen, ~design.keep[model])):
            expected = [losses[others[:, sample], sample].mean() for sample in np.flatnonzero(group)]
            assert goal == pytest.approx(np.mean(expected))
    changed = np.where(design.keep, losses, 99.0)
    assert known_losses(changed, design.keep) == known_losses(losses, design.keep), "who was not trained has no say"


def test_dropping_another_group_is_never_acquitted() -> None:
    result = audit({"drop_group": 0.0}, seed=2)
    verdict, text = said(result)["drop_group"]
    assert verdict == "cannot tell" and "is still trained on most of" in text
    result["request"] = "group_a.npy"
    assert said(result)["drop_group"][0] == "cannot tell", "a file, whatever it is called"
    result["request"] = "group:10"
    assert said(result)["drop_group"][0] == "not shown", "here the group is what was asked for"


def test_success_is_by_a_threshold_of_the_other_networks() -> None:
    design, generator = make_design(), np.random.default_rng(3)
    hard = np.zeros(len(design.pool))
    known, unknown = (measured(answers(design, level, generator, hard), None, design, LABELS)[0].values
                      for level in (3.0, 0.0))
    assert np.mean(known["balanced_accuracy/forgotten"]) == pytest.approx(.933, abs=.02), "Φ(3/2)"
    assert np.mean(unknown["balanced_accuracy/forgotten"]) == pytest.approx(.5, abs=.04)


def test_a_control_that_is_flagged_takes_every_verdict_back(audited: dict[str, Any]) -> None:
    result = copy.deepcopy(audited)
    never = next(each for each in result["methods"] if each["method"] == "never")
    never["measures"] = next(each for each in result["methods"] if each["method"] == "before")["measures"]
    found = said(result)
    assert found["full"] == found["scrub"] == (None, ""), "nothing is said of what is not judged"
    (only,) = deletion_findings([result], Questions())
    assert only.verdict == "cannot tell" and "no method is judged by it" in only.text
