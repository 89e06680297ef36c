"""What the findings say follows from intervals: made-up documents, no model anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.jobs.findings import findings

NOWHERE = Path("/nonexistent")


def metric(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> dict[str, Any]:
    interval = None if low is None and high is None else [low, high]
    return {"value": value, "ci": interval, "ci_level": 0.95, "ci_method": "made up", "n": 30, **more}


def body(**parts: Any) -> dict[str, Any]:
    return {"subjects": [], "inversion": [], "membership": [], "skipped": [], **parts}


def membership(area: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"subject": "net-membership", "overall": {"auc": area}, "n_in": 300, "n_out": 300,
            "detectable": {"auc": 0.566}, "skipped_classes": {}, **more}


def one(results: dict[str, Any]) -> str:
    sentences = findings(body(membership=[results]), NOWHERE)
    assert len(sentences) == 1
    return sentences[0]


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


@pytest.mark.parametrize("detectable", [{"auc": None}, {}, None])
def test_a_sample_too_small_for_any_effect_says_so(detectable: dict[str, Any] | None) -> None:
    sentence = one(membership(metric(0.54, 0.3, 0.8), detectable=detectable))
    assert "too few to have shown any" in sentence


def test_classes_left_out_are_named() -> None:
    result = membership(metric(0.6, 0.55, 0.65), skipped_classes={"cat": "3 samples"})
    found = findings(body(membership=[result]), NOWHERE)
    assert any("class cat, 3 samples" in sentence for sentence in found)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_verdict_is_the_intervals(first: float, second: float, third: float) -> None:
    low, value, high = sorted((first, second, third))
    sentence = one(membership(metric(value, low, high)))
    assert ("better than chance" in sentence) == (low > 0.5)
    assert ("below chance" in sentence) == (high < 0.5)
    assert ("no leak was detected" in sentence) == (low <= 0.5 <= high)


def subject(name: str, training: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "model": "lenet5", "training": training, "data_digest": "d", **more}


def inversion(folder: Path, name: str, confidences: np.ndarray, *, rows: np.ndarray | None = None, layer: str = "fc1",
              difference: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    np.savez(folder / f"{name}.npz", rows=np.arange(len(confidences)) if rows is None else rows,
             confidence=confidences, ssim=np.full(len(confidences), 0.3))
    against = {"mean_image": {"confidence": difference or metric(0.4, 0.3, 0.5)}}
    return {"subject": name, "layer": layer, "n": len(confidences), "dead": 0, "arrays": f"{name}.npz",
            "metrics": {"confidence": metric(0.5, 0.45, 0.55)}, "differences": against, **more}


def compared(folder: Path, before: np.ndarray, after: np.ndarray, **second: Any) -> list[str]:
    results = [inversion(folder, "plain", before), inversion(folder, "sparse", after, **second)]
    subjects = [subject("plain", "ordinary"), subject("sparse", "suppress")]
    found = findings(body(subjects=subjects, inversion=results), folder)
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
    assert "no change of SSIM" in sentences[1]


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12))
def test_a_direction_is_named_exactly_when_the_interval_excludes_zero(
        tmp_path_factory: pytest.TempPathFactory, changes: list[float]) -> None:
    from scipy import stats

    differences = np.array(changes)
    folder = tmp_path_factory.mktemp("findings")
    sentence = compared(folder, np.zeros(len(differences)), differences)[0]
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    claimed = "rises" in sentence or "falls" in sentence
    if not np.isclose(abs(differences.mean()), half, rtol=1e-6):
        assert claimed == (abs(differences.mean()) > half)


def test_images_or_layers_that_differ_are_not_compared(tmp_path: Path) -> None:
    assert compared(tmp_path, CALM, CALM + 0.3, rows=np.arange(30) + 1) == []
    other_layer = compared(tmp_path, CALM, CALM + 0.3, layer="fc2")
    assert len(other_layer) == 1 and "not comparable" in other_layer[0] and "rises" not in other_layer[0]


def test_other_data_or_models_are_not_compared(tmp_path: Path) -> None:
    results = [inversion(tmp_path, "plain", CALM), inversion(tmp_path, "sparse", CALM + 0.3)]
    for other in (subject("sparse", "suppress", data_digest="e"), subject("sparse", "suppress", model="lstm_rnn"),
                  subject("sparse", "elsewhere")):
        found = findings(body(subjects=[subject("plain", "ordinary"), other], inversion=results), tmp_path)
        assert not any(sentence.startswith("Suppress") for sentence in found)


def test_one_image_or_undefined_measures_are_not_judged(tmp_path: Path) -> None:
    assert "cannot be compared" in compared(tmp_path, CALM[:1], CALM[:1] + 0.3)[0]
    assert "cannot be compared" in compared(tmp_path, CALM, np.full(30, np.nan))[0]


@pytest.mark.parametrize("difference, verdict", [
    (metric(0.1, 0.05, 0.2), "above the mean image's"),
    (metric(0.0, -0.1, 0.1), "not distinguishable from the mean image's"),
    (metric(0.1, 0.0, 0.2), "not distinguishable from the mean image's"),
    (metric(-0.3, -0.4, -0.2), "below the mean image's"),
])
def test_an_inversion_is_held_against_the_mean_image_by_paired_differences(
        tmp_path: Path, difference: dict[str, Any], verdict: str) -> None:
    found = findings(body(inversion=[inversion(tmp_path, "plain", CALM, difference=difference)]), tmp_path)
    assert len(found) == 1 and verdict in found[0] and "is 0.500" in found[0] and "30 images, paired" in found[0]


def test_a_difference_without_interval_is_left_out(tmp_path: Path) -> None:
    for difference in (metric(None, reason="x"), metric(0.4), metric(float("inf"), None, None)):
        assert findings(body(inversion=[inversion(tmp_path, "plain", CALM, difference=difference)]), tmp_path) == []


def with_strangers(folder: Path, source: str, ssim: dict[str, Any]) -> str:
    differences = {"non_members": {"confidence": metric(0.01, -0.1, 0.1), "ssim": ssim}}
    results = inversion(folder, "plain", CALM, non_members={"source": source, "n": 28}, differences=differences)
    (sentence,) = findings(body(inversion=[results]), folder)
    assert "28 pairs" in sentence and source in sentence
    return sentence


def test_members_and_non_members_differ_only_where_an_interval_excludes_zero(tmp_path: Path) -> None:
    assert "no difference was detected" in with_strangers(tmp_path, "test split", metric(0.1, 0.0, 0.2))
    differing = with_strangers(tmp_path, "test split", metric(0.1, 0.05, 0.2))
    assert "they differ in SSIM, though training and test split may differ" in differing
    assert "though" not in with_strangers(tmp_path, "training split", metric(0.1, 0.05, 0.2))


@pytest.mark.parametrize("low, verdict", [(0.01, "above chance"), (0.0001, "not distinguishable from chance")])
def test_finding_the_very_original_is_held_against_chance(tmp_path: Path, low: float, verdict: str) -> None:
    nearest = {"candidates": 1000, "top1": metric(0.05, low, 0.1), "median_rank": 17.0, "chance": {"top1": 0.001}}
    results = inversion(tmp_path, "plain", CALM, differences={}, nearest=nearest)
    (sentence,) = findings(body(inversion=[results]), tmp_path)
    assert verdict in sentence and "Of 1,000 training images" in sentence and "median rank is 17" in sentence


def test_an_optimiser_that_cannot_copy_an_image_is_told(tmp_path: Path) -> None:
    for psnr, told in ((43.0, False), (31.0, True)):
        controls = {"identity": {"psnr": metric(psnr, 30, 45)}}
        results = inversion(tmp_path, "plain", CALM, differences={}, controls=controls)
        found = findings(body(inversion=[results]), tmp_path)
        assert any("Control failed" in sentence and "31.0 dB" in sentence for sentence in found) == told


def test_each_layer_is_compared_with_its_like(tmp_path: Path) -> None:
    results = [inversion(tmp_path, name, CALM + shift, layer=layer) for name, shift in (("plain", 0.0), ("sparse", 0.2))
               for layer in ("conv1", "fc1")]
    subjects = [subject("plain", "ordinary"), subject("sparse", "suppress")]
    found = [line for line in findings(body(subjects=subjects, inversion=results), tmp_path) if line.startswith("Supp")]
    assert sum("layer conv1:" in line for line in found) == sum("layer fc1:" in line for line in found) == 2
    assert not any("not comparable" in line for line in found)


def test_attacks_of_different_strength_are_not_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, CALM, CALM + 0.3, optimizer="adam")
    assert len(found) == 1 and "not comparable, the attacks differ in optimizer" in found[0]


def test_images_without_features_are_counted(tmp_path: Path) -> None:
    found = findings(body(inversion=[inversion(tmp_path, "plain", CALM, dead=4)]), tmp_path)
    assert "4 of 30 images gave the attack nothing to follow" in found[0] and "no protection" in found[0]


def test_a_fall_that_comes_of_a_stuck_attack_is_not_sold_as_protection(tmp_path: Path) -> None:
    for sentence in compared(tmp_path, CALM + 0.3, CALM, dead=30):
        assert "no gradient to follow on 30 of 30 for sparse, which is no protection" in sentence


def test_what_was_not_done_is_named() -> None:
    skipped = [{"subject": "mine", "attack": "membership", "reason": "members unknown"}]
    assert findings(body(skipped=skipped), NOWHERE) == ["Not done: membership on mine: members unknown."]


def test_a_change_between_different_recipes_is_not_put_down_to_suppression(tmp_path: Path) -> None:
    from mindleak.jobs.inversion_findings import _differing

    same = {"recipe": {"method": "ordinary", "learning_rate": 0.05, "epochs": 10}}
    other = {"recipe": {"method": "suppress", "learning_rate": 0.1, "epochs": 10}}
    assert _differing(same, {"recipe": {**same["recipe"], "method": "suppress"}}) == ""
    assert "differ in learning_rate," in _differing(same, other)
