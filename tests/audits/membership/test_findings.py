"""What the findings say follows from intervals: made-up documents, no model anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.attacks.membership.report import generalisation
from mindleak.audits.findings import said_of
from mindleak.audits.membership.likeness import unlike
from mindleak.evaluation.intervals import clopper_pearson, proportion
from mindleak.evaluation.means import mean_over_images
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.power import chance_tpr_limit
from records import audited, cautions, completed, texts

NOWHERE = Path("/nonexistent")


def metric(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> dict[str, Any]:
    interval = None if low is None and high is None else [low, high]
    return {"value": value, "ci": interval, "ci_level": 0.95, "ci_method": "made up", "n": 30, **more}


def judged(made: dict[str, Any], null: float = 0.0) -> dict[str, Any]:
    """Give a made-up metric a p value that agrees with its interval."""
    low, high = made["ci"] or (None, None)
    known = low is not None and high is not None
    return {**made, "p": 0.01 if known and not low <= null <= high else 0.5}


def membership(area: dict[str, Any], **more: Any) -> dict[str, Any]:
    overall = {"auc": area if "p" in area else judged(area, 0.5)}
    return {"subject": "net-membership", "overall": overall, "n_in": 300, "n_out": 300,
            "detectable": {"auc": 0.566}, "skipped_classes": {}, **more}


def one(results: dict[str, Any]) -> str:
    (said,) = texts(audited(shadows=[results]), NOWHERE)
    return said


def test_a_leak_is_claimed_only_above_one_half() -> None:
    sentence = one(membership(metric(0.6, 0.55, 0.65)))
    assert "AUC 0.600 (0.550 to 0.650)" in sentence and "better than chance" in sentence


def test_an_interval_over_one_half_claims_nothing_and_says_what_would_have_shown() -> None:
    sentence = one(membership(metric(0.54, 0.49, 0.59)))
    assert "no leak was detected" in sentence and "better than chance" not in sentence
    assert "Eight of ten samples of 300 members and 300 non-members would show an AUC of 0.566" in sentence
    assert "is not excluded" in sentence


def test_an_interval_that_ends_on_one_half_claims_nothing() -> None:
    assert "no leak was detected" in one(membership(metric(0.55, 0.5, 0.6)))
    assert "no leak was detected" in one(membership(metric(0.45, 0.4, 0.5)))


def test_scores_that_point_the_wrong_way_are_no_protection() -> None:
    sentence = one(membership(metric(0.4, 0.35, 0.45)))
    assert "below chance" in sentence and "no leak" not in sentence


@pytest.mark.parametrize("area", [
    metric(None, reason="no members"),
    metric(float("nan"), float("nan"), float("nan"), reason="no members"),
    metric(0.6),
    metric(0.6, 0.5, None),
])
def test_an_auc_that_is_missing_is_not_judged(area: dict[str, Any]) -> None:
    sentence = one(membership(area))
    assert "no AUC" in sentence and "chance" not in sentence and "leak" not in sentence
    if "reason" in area:
        assert "no members" in sentence


def test_a_sample_too_small_for_any_effect_says_so() -> None:
    sentence = one(membership(metric(0.54, 0.3, 0.8), n_in=2, n_out=2))
    assert "too few to have shown any" in sentence


def test_classes_left_out_are_named() -> None:
    result = membership(metric(0.6, 0.55, 0.65), skipped_classes={"cat": "3 samples"})
    found = texts(audited(shadows=[result]), NOWHERE)
    assert any("class cat, 3 samples" in sentence for sentence in found)


def test_what_one_of_many_intervals_excludes_by_chance_is_no_verdict() -> None:
    results = [membership({**metric(0.54, 0.51, 0.58), "p": 0.02}, subject="lucky"),
               *(membership({**metric(0.5, 0.46, 0.54), "p": 0.9}, subject=f"net{n}") for n in range(5)),
               membership({**metric(0.7, 0.65, 0.75), "p": 1e-6}, subject="leaky")]
    lucky, *_, leaky, correction = texts(audited(shadows=results), NOWHERE)
    assert "no leak was detected on average (its own interval says otherwise" in lucky
    assert "does not hold as one of 7 AUCs of attacks against chance, Holm-corrected at 5 %)" in lucky
    # The effect that would show is that of the corrected test, larger than a single test's .566.
    assert "would show an AUC of 0.583 as one of 7 compared" in lucky
    assert "better than chance" in leaky
    assert "within each question: 7 AUCs of attacks against chance, of which 1 holds." in correction


def test_what_a_sample_could_have_shown_is_that_of_the_corrected_verdict() -> None:
    results = [membership(judged(metric(0.5, 0.46, 0.54), 0.5), subject=f"net{n}", thresholds={"n_out": 300})
               for n in range(7)]
    first, *_ = completed(audited(shadows=results))
    assert first["detectable"]["compared"] == {"auc": 7, "rates": 0}
    assert f"would show an AUC of {first['detectable']['auc']:.3f} as one of 7" in texts(
        audited(shadows=results), NOWHERE)[0]
    (alone,) = completed(audited(shadows=results[:1]))
    assert alone["detectable"]["auc"] < first["detectable"]["auc"]
    several = [{**result, "overall": {**result["overall"], "tpr@0.01": rate(12, 10)}} for result in results]
    assert completed(audited(shadows=several))[0]["detectable"]["tpr@0.01"] > alone["detectable"]["tpr@0.01"]


def test_cautions_are_what_verdicts_say_once_each() -> None:
    unseen = generalisation(proportion(990, 1000), proportion(800, 1000))
    shadow = generalisation(proportion(990, 1000), proportion(950, 1000))
    results = [membership(metric(0.5, 0.45, 0.55), subject_accuracy=unseen, shadow_accuracy=[shadow], attack=attack,
                          notes=[])
               for attack in ("shadow", "improved")]
    (said,) = cautions(audited(shadows=results))
    assert said.startswith("net-membership: its accuracy on what it was not trained on is 80.00 %")
    assert said.partition(": ")[2] in texts(audited(shadows=results), NOWHERE)[0]
    assert cautions(audited(shadows=[membership(metric(0.5, 0.45, 0.55))])) == []
    subjects = [{"id": "net", "name": "net", "misfit": "it reads them wrongly"},
                {"id": "net-m", "name": "net-m", "split_misfit": "the splits differ"}]
    assert [sentence.partition(":")[0] for sentence in cautions(audited(subjects=subjects))] == ["net", "net-m"]
    level = {"accuracy": {"values": [0.5, 0.6]}}
    swept = audited(sweep=[{"variants": [{"name": "plain", "training": "ordinary", "measures": level,
                                          "split_misfit": "the splits differ"},
                                         {"name": "other", "training": "ordinary", "measures": level}],
                            "conclusions": ["Nothing was shown.", "No correction."], "comparisons": [], "leaks": [],
                            "baseline": "plain", "question": "defence"}])
    assert cautions(swept) == ["plain: the splits differ. Its test accuracy says nothing."]
    assert cautions(swept)[0] in texts(swept, NOWHERE)


def test_an_interval_that_excludes_chance_and_does_not_hold_is_said_to(tmp_path: Path) -> None:
    def at(layer: str, p: float) -> dict[str, Any]:
        found = inversion(tmp_path, "plain", CALM, layer=layer, difference=metric(0.0, -0.1, 0.1))
        top1 = {**metric(0.1, 0.02, 0.27), "p": p}
        return {**found, "nearest": {"top1": top1, "chance": {"top1": 0.01}, "candidates": 100, "median_rank": 40}}

    said = " ".join(texts(audited(inversion=[at("one", 0.03), at("two", 0.9)]), tmp_path))
    assert said.count("not distinguishable from chance") == 2 and "above chance" not in said
    assert said.count("(its own interval says otherwise, which does not hold as one of 2 shares of originals") == 2
    assert "above chance" in " ".join(texts(audited(inversion=[at("one", 0.03)]), tmp_path))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_verdict_is_the_intervals(first: float, second: float, third: float) -> None:
    low, value, high = sorted((first, second, third))
    sentence = one(membership(metric(value, low, high)))
    assert ("better than chance" in sentence) == (low > 0.5)
    assert ("below chance" in sentence) == (high < 0.5)
    assert ("no leak was detected" in sentence) == (low <= 0.5 <= high)


def rate(k_in: int, k_out: int, n: int = 1000) -> dict[str, Any]:
    """TPR and realised FPR at a threshold, with their exact intervals."""
    return Metric(k_in / n, n, ci=clopper_pearson(k_in, n), ci_method="clopper-pearson", fpr=k_out / n,
                  fpr_ci=clopper_pearson(k_out, n), threshold=1.0, ties=0).to_json()


def at_low_rates(**rates: Any) -> list[str]:
    result = membership(metric(0.5, 0.45, 0.55))
    result.update(n_in=1000, n_out=1000)
    result["overall"].update(rates)
    return [sentence for sentence in texts(audited(shadows=[result]), NOWHERE) if "% FPR" in sentence]


def test_members_found_at_a_low_rate_are_a_finding_even_where_the_auc_is_none() -> None:
    (sentence,) = at_low_rates(**{"tpr@0.01": rate(60, 12)})
    assert "net-membership at 1 % FPR: a shadow's threshold finds 6.00 % of the members and accuses 1.20 %" in sentence
    assert "members are found more often" in sentence and "+4.80" in sentence


@pytest.mark.parametrize("k_in, k_out, verdict", [
    (12, 12, "nothing beyond guessing"), (20, 12, "nothing beyond guessing"), (8, 12, "nothing beyond guessing"),
    (30, 90, "found less often"), (300, 100, "found more often"),
])
def test_a_rate_is_judged_by_the_interval_of_its_excess(k_in: int, k_out: int, verdict: str) -> None:
    (sentence,) = at_low_rates(**{"tpr@0.01": rate(k_in, k_out)})
    assert verdict in sentence and sum(word in sentence for word in ("more often", "less often", "nothing")) == 1


def test_a_threshold_that_shadows_cannot_set_is_no_finding_but_is_named() -> None:
    (sentence,) = at_low_rates(**{"tpr@0.001": metric(None, reason="300 non-members cannot set a threshold")})
    assert "at 0.1 % FPR: no threshold from other models (300 non-members cannot set a threshold)" in sentence
    assert "guessing" not in sentence and "found" not in sentence


@pytest.mark.parametrize("value, verdict", [(0.019, "within"), (0.05, "more than")])
def test_the_optimistic_rate_is_held_against_what_guessing_shows(value: float, verdict: str) -> None:
    (sentence,) = at_low_rates(**{"tpr_own_roc@0.01": metric(value, 0.0, 0.1)})
    limit = chance_tpr_limit(1000, 1000, 0.01)
    assert 0.019 < limit < 0.05
    assert f"which no attacker has, gives {100 * value:.2f} %, {verdict} the {100 * limit:.2f} %" in sentence


def test_an_optimistic_rate_that_the_sample_cannot_resolve_is_not_judged() -> None:
    result = membership(metric(0.5, 0.45, 0.55))
    result["overall"]["tpr_own_roc@0.001"] = metric(0.02, 0.0, 0.1)
    *_, sentence = texts(audited(shadows=[result]), NOWHERE)
    assert "300 non-members cannot resolve this rate" in sentence and "more than" not in sentence


def with_accuracies(subject_in: int, subject_out: int, *shadows: tuple[int, int], auc: float = 0.6) -> str:
    """Return the verdict of an attack whose subject and shadows are right so often of a thousand."""
    accuracies = [generalisation(proportion(seen, 1000), proportion(unseen, 1000))
                  for seen, unseen in ((subject_in, subject_out), *shadows)]
    result = membership(metric(auc, auc - 0.05, auc + 0.05), subject_accuracy=accuracies[0],
                        shadow_accuracy=accuracies[1:])
    return next(sentence for sentence in texts(audited(shadows=[result]), NOWHERE) if "AUC" in sentence)


@pytest.mark.parametrize("auc", [0.6, 0.5, 0.4])
def test_a_verdict_on_a_subject_unlike_its_shadows_says_so(auc: float) -> None:
    wide = with_accuracies(990, 800, (990, 950), (985, 940), auc=auc)
    assert "accuracy on what it was not trained on is 80.00 % (77." in wide
    assert "more than 2 points below every shadow's (94.00 % to 95.00 %)" in wide
    assert "no all-clear" in wide and "better shadows" in wide
    assert "more than 2 points above every shadow's" in with_accuracies(990, 985, (990, 850), (985, 840), auc=auc)
    # What a checkpoint trained by another recipe showed: seen data, in which the gap may be the same.
    seen = with_accuracies(910, 850, (985, 930), (984, 925), (986, 928), auc=auc)
    assert "accuracy on what it was trained on is 91.00 %" in seen and "below every shadow's (98.40 % to" in seen
    # Each accuracy within the threshold and the gap not.
    gap = with_accuracies(999, 890, (975, 925), (974, 930), auc=auc)
    assert "gap between these accuracies is 10.90 %" in gap and "above every shadow's (4.40 % to 5.00 %)" in gap


@pytest.mark.parametrize("shadows", [
    [(990, 950), (985, 805)],  # one of the shadows is like it
    [(985, 795), (995, 805)],  # differences that the samples do not show
    [(990, 950), (990, 700)],  # on both sides of it
    [(975, 805), (976, 800)],  # shown, and smaller than the threshold
])
def test_a_verdict_on_a_subject_like_its_shadows_has_no_caution(shadows: list[tuple[int, int]]) -> None:
    assert "Caution" not in with_accuracies(990, 800, *shadows)


def test_verdicts_by_references_and_by_the_document_say_so_too() -> None:
    subject = {"train": proportion(910, 1000).to_json(), "test": proportion(900, 1000).to_json()}
    others = [{"train": 0.985, "test": 0.9}, {"train": 0.98, "test": 0.91}]
    attack = {"attack": "lira_online", "overall": {"auc": judged(metric(0.5, 0.45, 0.55), 0.5)}, "notes": {},
              "n_in": 1000, "n_out": 1000}
    result = {"subject": "net", "attacks": [attack, {**attack, "attack": "rmia_online"}], "notes": [],
              "detectable": {"auc": 0.55}, "subject_accuracy": subject, "reference_accuracy": others}
    first, second, _ = texts(audited(references=[result]), NOWHERE)
    assert "more than 2 points below every reference's (98.00 % to 98.50 %)" in first and "better references" in first
    assert second.endswith("Caution: the references are unlike it, as said above.")
    assert "Caution" not in "".join(texts(audited(references=[{**result, "reference_accuracy": []}]), NOWHERE))
    assert unlike(generalisation(proportion(910, 1000), proportion(900, 1000)), others, "shadow")


@pytest.mark.parametrize("right, said", [(60, True), (75, True), (200, False)])
def test_a_subject_that_has_learnt_nothing_gets_a_caveat(right: int, said: bool) -> None:
    found = generalisation(proportion(right, 500), proportion(right, 500))
    result = membership(metric(0.5, 0.45, 0.55), subject_accuracy=found,
                        per_class=[{"support_in": 70}, {"support_in": 430 // 9}, *[{"support_in": 48}] * 8])
    # It stands in the verdict itself, which would otherwise read as an all-clear.
    verdict, *others = texts(audited(shadows=[result]), NOWHERE)
    assert "no leak was detected" in verdict and ("it may have learnt nothing that could leak" in verdict) == said
    assert not any("learnt nothing" in sentence for sentence in others)
    attack = {"attack": "lira_online", "overall": {"auc": judged(metric(0.5, 0.45, 0.55), 0.5)}, "notes": {},
              "n_in": 500, "n_out": 500}
    result = {"subject": "net", "attacks": [attack, attack], "notes": [], "commonest_class": 70 / 500,
              "subject_accuracy": {"train": proportion(right, 500).to_json(), "test": proportion(right, 500).to_json()}}
    verdicts = texts(audited(references=[result]), NOWHERE)[:2]
    assert [("it may have learnt nothing" in verdict) for verdict in verdicts] == [said, said]


def attacked(folder: Path, name: str, scores: np.ndarray, members: np.ndarray, *, first_row: int = 0) -> dict[str, Any]:
    np.savez(folder / f"{name}.npz", rows=np.arange(len(scores)) + first_row, scores=scores, members=members)
    return {**membership(metric(0.5, 0.45, 0.55)), "subject": name, "arrays": f"{name}.npz"}


def membership_change(folder: Path, before: np.ndarray, after: np.ndarray, members: np.ndarray,
                      recipes: tuple[dict[str, Any], dict[str, Any]] = ({}, {}), **second: int) -> list[str]:
    results = [attacked(folder, "plain", before, members), attacked(folder, "sparse", after, members, **second)]
    subjects = [subject("plain", "ordinary", recipe=recipes[0]), subject("sparse", "suppress", recipe=recipes[1])]
    found = texts(audited(subjects=subjects, shadows=results), folder)
    return [sentence for sentence in found if sentence.startswith("Suppress")]


HALF = np.arange(400) < 200


def test_a_change_of_membership_is_said_with_its_paired_interval(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=400)
    (fallen,) = membership_change(tmp_path, noise + 2 * HALF, noise + 0.5 * HALF, HALF)
    expected = auc_difference(noise + 2 * HALF, noise + 0.5 * HALF, HALF)
    assert expected.ci is not None and f"membership AUC falls by {expected.value:+.3f}" in fallen
    assert f"({expected.ci[0]:+.3f} to {expected.ci[1]:+.3f}, 400 samples" in fallen and "harder to tell" in fallen
    (risen,) = membership_change(tmp_path, noise, noise + HALF, HALF)
    assert "rises by +" in risen and "easier to tell" in risen


def test_no_change_of_membership_is_claimed_where_the_interval_covers_zero(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    before, after = (generator.normal(size=400) + 0.5 * HALF for _ in range(2))
    (sentence,) = membership_change(tmp_path, before, after, HALF)
    assert "no change was detected" in sentence and "rises" not in sentence and "falls" not in sentence
    (same,) = membership_change(tmp_path, before, before, HALF)
    assert "cannot be compared (both attacks rank every pair alike)" in same


def test_other_samples_are_not_compared_and_unscored_ones_are_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).normal(size=400)
    assert membership_change(tmp_path, noise, noise + HALF, HALF, first_row=1) == []
    holes = np.where(np.arange(400) % 4 == 0, np.nan, noise + HALF)
    assert "300 samples" in membership_change(tmp_path, noise, holes, HALF)[0]


def test_a_change_of_membership_between_different_recipes_says_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(size=400)
    recipes = ({"method": "ordinary", "epochs": 5}, {"method": "suppress", "epochs": 6})
    (sentence,) = membership_change(tmp_path, noise, noise + HALF, HALF, recipes)
    assert sentence.endswith("Their recipes also differ in epochs, so the change is not suppression's alone.")


def subject(name: str, training: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "model": "lenet5", "training": training, "data_digest": "d", **more}


def inversion(folder: Path, name: str, confidences: np.ndarray, *, rows: np.ndarray | None = None, layer: str = "fc1",
              difference: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    np.savez(folder / f"{name}.npz", rows=np.arange(len(confidences)) if rows is None else rows,
             confidence=confidences, ssim=np.full(len(confidences), 0.3))
    against = {"mean_image": {"confidence": judged(difference or metric(0.4, 0.3, 0.5))}}
    return {"subject": name, "layer": layer, "n": len(confidences), "dead": 0, "arrays": f"{name}.npz",
            "metrics": {"confidence": metric(0.5, 0.45, 0.55)}, "differences": against, **more}


def compared(folder: Path, before: np.ndarray, after: np.ndarray, **second: Any) -> list[str]:
    results = [inversion(folder, "plain", before), inversion(folder, "sparse", after, **second)]
    subjects = [subject("plain", "ordinary"), subject("sparse", "suppress")]
    found = texts(audited(subjects=subjects, inversion=results), folder)
    return [sentence for sentence in found if sentence.startswith("Suppress")]


CALM = np.linspace(0.4, 0.6, 30)


def test_a_clear_change_is_said_with_its_interval(tmp_path: Path) -> None:
    fallen = compared(tmp_path, CALM + 0.3, CALM[::-1])
    assert len(fallen) == 2 and "sparse against plain" in fallen[0]
    assert "falls by -0.300" in fallen[0] and "harder to recognise" in fallen[0] and "30 images" in fallen[0]
    risen = compared(tmp_path, CALM, CALM + 0.3)
    assert "rises by +0.300" in risen[0] and "easier" in risen[0]


def test_no_change_is_claimed_where_the_interval_covers_zero(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 30)
    noise -= noise.mean() - 0.02
    sentences = compared(tmp_path, CALM, CALM + noise)
    assert "no change" in sentences[0] and "rises" not in sentences[0] and "easier" not in sentences[0]
    # Equal for every image: no spread, so no interval.
    assert "SSIM of inverted images cannot be compared (all values are equal" in sentences[1]


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12))
def test_a_direction_is_named_exactly_when_the_interval_excludes_zero(
        tmp_path_factory: pytest.TempPathFactory, changes: list[float]) -> None:
    differences = np.array(changes)
    folder = tmp_path_factory.mktemp("findings")
    sentence = compared(folder, np.zeros(len(differences)), differences)[0]
    interval = mean_over_images(differences, bounds=(-1.0, 1.0)).ci
    assert interval is not None
    assert ("rises" in sentence) == (interval[0] > 0) and ("falls" in sentence) == (interval[1] < 0)


def test_a_few_unlike_images_are_no_change_of_the_mean(tmp_path: Path) -> None:
    # Nineteen in twenty images lose .04 and one gains .8: no change on average. Thirty may have none of the latter.
    changes = np.full(30, -0.04) + np.linspace(-0.002, 0.002, 30)
    assert "no change" in compared(tmp_path, CALM, CALM + changes)[0]


def test_images_or_layers_that_differ_are_not_compared(tmp_path: Path) -> None:
    assert compared(tmp_path, CALM, CALM + 0.3, rows=np.arange(30) + 1) == []
    other_layer = compared(tmp_path, CALM, CALM + 0.3, layer="fc2")
    assert len(other_layer) == 1 and "not comparable" in other_layer[0] and "rises" not in other_layer[0]


def test_other_data_or_models_are_not_compared(tmp_path: Path) -> None:
    results = [inversion(tmp_path, "plain", CALM), inversion(tmp_path, "sparse", CALM + 0.3)]
    for other in (subject("sparse", "suppress", data_digest="e"), subject("sparse", "suppress", model="lstm_rnn"),
                  subject("sparse", "elsewhere")):
        found = texts(audited(subjects=[subject("plain", "ordinary"), other], inversion=results), tmp_path)
        assert not any(sentence.startswith("Suppress") for sentence in found)


def test_one_image_or_undefined_measures_are_not_judged(tmp_path: Path) -> None:
    confidence, ssim = compared(tmp_path, CALM[:1], CALM[:1] + 0.3)
    assert "no change" in confidence and "SSIM of inverted images cannot be compared" in ssim
    assert "cannot be compared" in compared(tmp_path, CALM, np.full(30, np.nan))[0]


@pytest.mark.parametrize("difference, verdict", [
    (metric(0.1, 0.05, 0.2), "above the mean image's"),
    (metric(0.0, -0.1, 0.1), "not distinguishable from the mean image's"),
    (metric(0.1, 0.0, 0.2), "not distinguishable from the mean image's"),
    (metric(-0.3, -0.4, -0.2), "below the mean image's"),
])
def test_an_inversion_is_held_against_the_mean_image_by_paired_differences(
        tmp_path: Path, difference: dict[str, Any], verdict: str) -> None:
    found = texts(audited(inversion=[inversion(tmp_path, "plain", CALM, difference=difference)]), tmp_path)
    assert len(found) == 1 and verdict in found[0] and "is 0.500" in found[0] and "30 images, paired" in found[0]


def test_a_difference_without_interval_is_left_out(tmp_path: Path) -> None:
    for difference in (metric(None, reason="x"), metric(0.4), metric(float("inf"), None, None)):
        assert texts(audited(inversion=[inversion(tmp_path, "plain", CALM, difference=difference)]), tmp_path) == []


def test_a_difference_that_is_alike_for_all_images_is_said_to_have_no_interval(tmp_path: Path) -> None:
    alike = metric(0.026, reason="all values are equal: no interval")
    (said,) = texts(audited(inversion=[inversion(tmp_path, "plain", CALM, difference=alike)]), tmp_path)
    assert "+0.026 against the mean image's (all values are equal: no interval), so the two cannot be" in said
    strangers = {"non_members": {"confidence": alike, "ssim": alike}}
    (said,) = texts(audited(inversion=[inversion(tmp_path, "plain", CALM, differences=strangers, non_members={
        "source": "test split", "n": 28})]), tmp_path)
    assert "(28 pairs, test split) cannot be compared (all values are equal: no interval)" in said


def with_strangers(folder: Path, source: str, ssim: dict[str, Any]) -> str:
    differences = {"non_members": {"confidence": judged(metric(0.01, -0.1, 0.1)), "ssim": judged(ssim)}}
    results = inversion(folder, "plain", CALM, non_members={"source": source, "n": 28}, differences=differences)
    sentence, correction = texts(audited(inversion=[results]), folder)
    assert "28 pairs" in sentence and "2 differences between inverted members and non-members" in correction
    assert source in sentence
    return sentence


def test_members_and_non_members_differ_only_where_an_interval_excludes_zero(tmp_path: Path) -> None:
    assert "no difference was detected" in with_strangers(tmp_path, "test split", metric(0.1, 0.0, 0.2))
    differing = with_strangers(tmp_path, "test split", metric(0.1, 0.05, 0.2))
    assert "they differ in SSIM, though training and test split may differ" in differing
    assert "though" not in with_strangers(tmp_path, "training split", metric(0.1, 0.05, 0.2))


@pytest.mark.parametrize("low, verdict", [(0.01, "above chance"), (0.0001, "not distinguishable from chance")])
def test_finding_the_very_original_is_held_against_chance(tmp_path: Path, low: float, verdict: str) -> None:
    nearest = {"candidates": 1000, "top1": judged(metric(0.05, low, 0.1), 0.001), "median_rank": 17.0,
               "chance": {"top1": 0.001}}
    results = inversion(tmp_path, "plain", CALM, differences={}, nearest=nearest)
    (sentence,) = texts(audited(inversion=[results]), tmp_path)
    assert verdict in sentence and "Of 1,000 training images" in sentence and "median rank is 17" in sentence


def test_an_optimiser_that_cannot_copy_an_image_is_told(tmp_path: Path) -> None:
    for psnr, told in ((43.0, False), (31.0, True), (None, False)):
        results = inversion(tmp_path, "plain", CALM, differences={}, identity_psnr={"value": psnr, "n": 30})
        found = texts(audited(inversion=[results]), tmp_path)
        assert any("Control failed" in sentence and "31.0 dB" in sentence for sentence in found) == told


def test_each_layer_is_compared_with_its_like(tmp_path: Path) -> None:
    results = [inversion(tmp_path, name, CALM + shift, layer=layer) for name, shift in (("plain", 0.0), ("sparse", 0.2))
               for layer in ("conv1", "fc1")]
    subjects = [subject("plain", "ordinary"), subject("sparse", "suppress")]
    found = [line for line in texts(audited(subjects=subjects, inversion=results), tmp_path) if line.startswith("Supp")]
    assert sum("layer conv1:" in line for line in found) == sum("layer fc1:" in line for line in found) == 2
    assert not any("not comparable" in line for line in found)


def test_attacks_of_different_strength_are_not_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, CALM, CALM + 0.3, optimizer="adam")
    assert len(found) == 1 and "not comparable, the attacks differ in optimizer" in found[0]


def test_images_without_features_are_counted(tmp_path: Path) -> None:
    found = texts(audited(inversion=[inversion(tmp_path, "plain", CALM, dead=4)]), tmp_path)
    assert "4 of 30 images gave the attack nothing to follow" in found[0] and "no protection" in found[0]


def test_a_fall_that_comes_of_a_stuck_attack_is_not_sold_as_protection(tmp_path: Path) -> None:
    for sentence in compared(tmp_path, CALM + 0.3, CALM, dead=30):
        assert "no gradient to follow on 30 of 30 for sparse, which is no protection" in sentence


def test_what_was_not_done_is_named() -> None:
    skipped = [{"subject": "mine", "family": "membership", "reason": "members unknown"}]
    assert texts(audited(skipped=skipped), NOWHERE) == ["Not done: membership on mine: members unknown."]


@pytest.mark.parametrize(("privacy", "words"), [
    ({"epsilon": 1.0, "reason": None}, "no attack on one sample has a TPR above 0.027 at 1 % FPR"),
    ({"epsilon": 8.0, "reason": None}, "too large to bound any attack's TPR"),
    ({"epsilon": None, "reason": "no noise was added"}, "without a promise: no noise was added"),
])
def test_a_promise_is_said_with_what_it_means(tmp_path: Path, privacy: dict, words: str) -> None:
    promised = {"delta": 1e-5, "accountant": "pld of dp-accounting 0.6.0", **privacy}
    record = subject("private", "dp_sgd", privacy=promised)
    (sentence,) = texts(audited(subjects=[record, subject("plain", "ordinary")]), tmp_path)
    assert sentence.startswith("private was trained by DP-SGD") and words in sentence


def test_a_change_between_different_recipes_is_not_put_down_to_suppression(tmp_path: Path) -> None:
    from mindleak.audits.inversion.findings import _differing

    same = {"recipe": {"method": "ordinary", "learning_rate": 0.05, "epochs": 10}}
    other = {"recipe": {"method": "suppress", "learning_rate": 0.1, "epochs": 10}}
    assert _differing(same, {"recipe": {**same["recipe"], "method": "suppress"}}) == ""
    assert "differ in learning_rate," in _differing(same, other)


def stated(body: dict[str, Any], folder: Path) -> list[str | None]:
    """The verdicts of a record's findings, those that have one."""
    found = (finding["verdict"] for finding in said_of(body, folder)["findings"])
    return [verdict for verdict in found if verdict is not None]


ABOVE, BELOW, WIDE = metric(0.1, 0.05, 0.2), metric(-0.1, -0.2, -0.05), metric(0.0, -0.6, 0.6)
NONE = metric(0.0, -0.1, 0.1)
FOUND, MISSED = metric(0.05, 0.01, 0.1), metric(0.0, 0.0, 0.1)


@pytest.mark.parametrize("more, verdict", [
    ({}, "not shown"),
    ({"mean": ABOVE}, "shown"),
    ({"mean": BELOW}, "not shown"),
    ({"top1": FOUND}, "shown"),
    # What test images differ in from training images is no membership, and fewer returned than of others is no leak.
    ({"others": ABOVE, "source": "training split"}, "shown"),
    ({"others": ABOVE, "source": "test split"}, "not shown"),
    ({"others": BELOW, "source": "training split"}, "not shown"),
    # An attack, a judge or a sample that could not have shown it acquits nobody.
    ({"identity_psnr": metric(31.0)}, "cannot tell"),
    ({"identity_psnr": metric(31.0), "mean": ABOVE}, "cannot tell"),
    ({"dead": 3}, "cannot tell"),
    ({"judge_test_accuracy": metric(0.2, 0.1, 0.3)}, "cannot tell"),
    ({"mean": WIDE}, "cannot tell"),
    ({"top1": metric(0.0, 0.0, 0.6)}, "cannot tell"),
])
def test_an_inversion_acquits_only_where_it_could_have_accused(tmp_path: Path, more: dict[str, Any],
                                                               verdict: str) -> None:
    given = dict(more)
    differences = {"mean_image": {"confidence": judged(given.pop("mean", NONE))}}
    others, source = given.pop("others", None), given.pop("source", "training split")
    if others is not None:
        differences["non_members"] = {"confidence": judged(others), "ssim": judged(NONE)}
        given["non_members"] = {"source": source, "n": 28}
    nearest = {"candidates": 1000, "top1": judged(given.pop("top1", MISSED), 0.001), "median_rank": 17.0,
               "chance": {"top1": 0.001}}
    record = inversion(tmp_path, "plain", CALM, differences=differences, nearest=nearest,
                       **{"judge_test_accuracy": metric(0.9, 0.85, 0.95), **given})
    assert set(stated(audited(inversion=[record]), tmp_path)) == {verdict}
