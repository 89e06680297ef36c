"""A sweep's conclusions follow from intervals over networks, never from the sign of a difference."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from example_sweep import written
from mindleak.audits.gauge import Measure
from mindleak.audits.sweep import defence_findings as of_defences
from mindleak.audits.sweep import subject_findings as of_subjects
from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import comparisons, summarise
from mindleak.audits.sweep.questions import SweepQuestions
from mindleak.audits.sweep.subject_findings import subject_findings

MEASURES = written({
    "accuracy": Measure("Test accuracy"), "gap": Measure("Gap"), "auc/loss": Measure("AUC, loss attack"),
    "confidence/fc1": Measure("Confidence, fc1", failures="silent/fc1"),
    "silent/fc1": Measure("Without", failed="inversions from fc1 had no features.")})


def defence(name: str, training: str, accuracy: list[float], confidence: list[float],
            auc: list[float]) -> dict[str, Any]:
    measures = summarise({"accuracy": accuracy, "confidence/fc1": confidence, "auc/loss": auc})
    return {"name": name, "training": training, "measures": measures}


ORDINARY = defence("ordinary", "ordinary", [.98, .981, .979, .98], [.9, .92, .88, .9], [.55, .56, .54, .55])


def sweep(*others: dict[str, Any]) -> dict[str, Any]:
    defences = [ORDINARY, *others]
    return {"baseline": "ordinary", "models": 4, "variants": defences, "measures": MEASURES,
            "leaks": ["confidence/fc1", "auc/loss"], "comparisons": comparisons(defences, "ordinary")}


def test_the_mean_over_networks_has_students_interval_and_keeps_the_values() -> None:
    figures = summarise({"accuracy": [0.5, 0.6, 0.7]})["accuracy"]
    assert figures["value"] == pytest.approx(0.6) and figures["sd"] == pytest.approx(0.1)
    assert figures["values"] == [0.5, 0.6, 0.7]
    # t(2) at 97.5 % is 4.30265; half the interval is t/√3 · .1.
    assert figures["ci"] == pytest.approx([0.6 - 0.248414, 0.6 + 0.248414], abs=1e-5)


def test_intervals_end_where_the_values_must() -> None:
    figures = summarise({"accuracy": [0.98, 1.0], "ssim/fc1": [0.01, 0.0], "gap_ssim/fc1": [-0.9, 0.9]},
                        lowest={"ssim/fc1": -1.0, "gap_ssim/fc1": -1.0})
    assert figures["accuracy"]["ci"][1] == 1.0
    assert figures["ssim/fc1"]["ci"][0] < 0 < figures["ssim/fc1"]["ci"][1] < 1
    assert figures["gap_ssim/fc1"]["ci"] == [-1.0, 1.0]


def test_differences_are_paired_network_by_network() -> None:
    # Spread of .04 between networks, but each network differs from its twin by .099 to .101.
    other = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.801, .82, .78, .799], [.55, .56, .54, .55])
    (found,) = comparisons([ORDINARY, other], "ordinary")
    assert found["changes"]["confidence/fc1"]["value"] == pytest.approx(-.1)
    assert SweepQuestions(sweep(other)).direction("suppress-95", "ordinary", "confidence/fc1") == -1


def test_suppressed_defences_are_also_compared_with_every_other_one() -> None:
    one = defence("suppress-95", "suppress", [.97] * 4, [.8] * 4, [.55] * 4)
    two = defence("prune", "prune", [.97] * 4, [.8] * 4, [.55] * 4)
    pairs = [(entry["variant"], entry["against"]) for entry in comparisons([ORDINARY, one, two], "ordinary")]
    assert pairs == [("suppress-95", "ordinary"), ("prune", "ordinary"), ("suppress-95", "prune")]


def test_a_fall_that_the_spread_explains_is_no_finding() -> None:
    noisy = defence("suppress-95", "suppress", [.97, .99, .96, .99], [.6, 1.0, .7, .9], [.5, .6, .52, .57])
    *_, verdict, caution = defence_findings(sweep(noisy))
    assert verdict.startswith("None of 1 degrees of suppression was shown to lower any measure")
    assert "not shown to raise any" in verdict
    assert "3 differences were looked at" in caution


def test_a_fall_beyond_the_spread_is_named_with_where() -> None:
    strong = defence("suppress-95", "suppress", [.97, .972, .968, .97], [.4, .43, .37, .4], [.6, .62, .58, .6])
    found = defence_findings(sweep(strong))
    assert "test accuracy -1.00 (-1.13 to -0.87) percentage points, lower" in found[0]
    assert "lower: Confidence, fc1 -0.500" in found[0] and "higher: AUC, loss attack +0.050" in found[0]
    verdict = found[-2]
    assert "shown to lower Confidence, fc1 at suppress-95" in verdict
    assert "shown to raise AUC, loss attack at suppress-95" in verdict


def test_a_change_of_a_difference_of_rates_is_in_percentage_points_like_the_table() -> None:
    pair = [{"name": name, "training": "ordinary", "measures": summarise(
        {"accuracy": [.9, .91, .89], "excess@0.01/loss": rates})} for name, rates in (("a", [.010, .012, .011]),
                                                                                     ("b", [.016, .017, .018]))]
    found = subject_findings({"baseline": "a", "models": 3, "variants": pair, "leaks": ["excess@0.01/loss"],
                              "measures": written({"excess@0.01/loss": Measure("TPR − FPR at 1 %", points=True)}),
                              "comparisons": comparisons(pair, "a")})
    # Differences .006, .005, .007: mean .6 points, t(2) · .1/√3 = .25.
    assert "higher: TPR − FPR at 1 % +0.60 (+0.35 to +0.85) percentage points." in found[0]


def test_an_alternative_shown_to_be_as_accurate_that_does_as_well_is_named() -> None:
    strong = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.4, .43, .37, .4], [.55, .56, .54, .55])
    pruned = defence("prune-95", "prune", [.975, .9765, .9735, .975], [.4, .41, .39, .4], [.55, .56, .54, .55])
    found = defence_findings(sweep(strong, pruned))
    assert any(sentence.startswith("Shown to be less than 1 point more accurate, if at all: suppress-95 against prune-")
               for sentence in found)
    assert "(prune-95, shown to be less than 1 point less accurate if at all, lowered it too" in found[-2]


def test_an_accuracy_that_nothing_is_known_of_is_not_taken_for_an_equal_one() -> None:
    # Thirteen points worse on average; four networks that disagree leave the interval wide enough for zero.
    strong = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.4, .43, .37, .4], [.55, .56, .54, .55])
    unsteady = defence("dp", "dp_sgd", [.97, .98, .97, .45], [.4, .41, .39, .4], [.55, .56, .54, .55])
    found = defence_findings(sweep(strong, unsteady))
    assert SweepQuestions(sweep(strong, unsteady)).direction("suppress-95", "dp", "accuracy") == 0
    assert not any(sentence.startswith("Shown to be less") for sentence in found) and "lowered it too" not in found[-2]


def test_inversions_that_had_nothing_to_follow_are_no_protection() -> None:
    dead = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.1, .12, .1, .1], [.55, .56, .54, .55])
    dead["measures"].update(summarise({"silent/fc1": [1.0, 1.0, 0.9, 1.0]}))
    found = defence_findings(sweep(dead))
    assert any(sentence.startswith("suppress-95: 97.5 % of the inversions from fc1 had no") for sentence in found)
    assert found[-2].startswith("None of 1 degrees of suppression was shown to lower any measure")


def test_an_alternative_that_costs_more_accuracy_is_no_rival() -> None:
    strong = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.4, .43, .37, .4], [.55, .56, .54, .55])
    costly = defence("dp", "dp_sgd", [.90, .901, .899, .90], [.3, .31, .29, .3], [.5, .51, .49, .5])
    found = defence_findings(sweep(strong, costly))
    assert not any(sentence.startswith("Shown to be less") for sentence in found)
    assert "lowered it too" not in found[-2]


def test_networks_that_differ_alike_have_no_interval_and_show_nothing() -> None:
    shifted = defence("suppress-95", "suppress", [.97, .971, .969, .97], [.8, .82, .78, .8], [.6, .61, .59, .6])
    shifted["measures"]["auc/loss"]["values"] = [value + .25 for value in ORDINARY["measures"]["auc/loss"]["values"]]
    shown = SweepQuestions(sweep(shifted))
    assert shown.direction("suppress-95", "ordinary", "auc/loss") == 0
    assert shown.direction("suppress-95", "ordinary", "never measured") == 0


NULL_LEAKS = [f"auc/attack{number}" for number in range(12)]
NULL_MEASURES = written({name: Measure(name) for name in ("accuracy", "gap", *NULL_LEAKS)})


def null_sweep(generator: np.random.Generator) -> dict[str, Any]:
    """A sweep whose variants differ in seeds only: no measure is lower or higher, and no accuracy."""
    made = []
    for name, training in (("ordinary", "ordinary"), ("suppress-90", "suppress"), ("suppress-95", "suppress"),
                           ("prune", "prune"), ("decay", "decay")):
        networks = generator.normal(size=6)
        values = {leak: .6 + .01 * (networks + generator.normal(size=6)) for leak in NULL_LEAKS}
        measures = summarise({"accuracy": .9 + .01 * generator.normal(size=6), "gap": .1 + .01 * networks, **values})
        made.append({"name": name, "training": training, "measures": measures})
    return {"baseline": "ordinary", "models": 6, "variants": made, "leaks": NULL_LEAKS,
            "measures": NULL_MEASURES, "comparisons": comparisons(made, "ordinary")}


@pytest.mark.parametrize("sweeps", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_sweeps_of_equal_variants_say_something_in_at_most_one_of_twenty(sweeps: int) -> None:
    generator = np.random.default_rng(3)
    alarms: Counter[str] = Counter()
    for _ in range(sweeps):
        made = null_sweep(generator)
        shown = SweepQuestions(made)
        ways = {(entry["against"] == "ordinary", measure == "accuracy"): False for entry in made["comparisons"]
                for measure in entry["changes"]}
        for entry in made["comparisons"]:
            for measure in (*NULL_LEAKS, "accuracy"):
                if shown.direction(entry["variant"], entry["against"], measure):
                    ways[entry["against"] == "ordinary", measure == "accuracy"] = True
        alarms["leaks against the baseline"] += ways[True, False]
        alarms["leaks between others"] += ways[False, False]
        alarms["accuracies"] += ways[True, True] or ways[False, True]
        alarms["verdict"] += not defence_findings(made)[-2].startswith("None of 2 degrees of suppression was shown")
    tolerated = 0.05 * sweeps + 3 * np.sqrt(sweeps * 0.05 * 0.95)
    assert all(count <= tolerated for count in alarms.values()), alarms


def test_the_last_sentence_says_what_was_corrected_for_what() -> None:
    strong = defence("suppress-95", "suppress", [.97, .972, .968, .97], [.4, .43, .37, .4], [.6, .62, .58, .6])
    last = defence_findings(sweep(strong))[-1]
    assert "3 differences were looked at, over 4 networks per variant. Verdicts in words are Benjamini-Hochberg" in last
    assert "corrected at 5 % within each question: 2 changes of leaks against the baseline, of which 2 hold" in last


def variants_of_the_subject(gaps: list[float], areas: list[float]) -> dict[str, Any]:
    found = [{"name": f"net{number}", "training": "ordinary", "measures": summarise(
        {"accuracy": [.9, .91, .89, .9], "gap": [gap, gap + .001], "auc/loss": [area, area + .001]})}
             for number, (gap, area) in enumerate(zip(gaps, areas))]
    return {"baseline": "net0", "models": 4, "variants": found, "leaks": ["auc/loss"],
            "measures": MEASURES,
            "comparisons": comparisons(found, "net0", [["net2", "net1"]])}


def test_a_wider_gap_is_said_to_leak_more_only_where_the_ranks_show_it() -> None:
    # Six in one order: 2 of 720 orders are as extreme, p = .0028. Swapped pairwise: τ = 9/15, p = .136.
    gaps = [.1, .2, .3, .4, .5, .6]
    *_, ranked, _ = subject_findings(variants_of_the_subject(gaps, [.51, .52, .53, .54, .55, .56]))
    assert "AUC, loss attack follows the generalisation gap over 6 variants" in ranked
    assert "(Kendall's τ +1.00, exact p 0.0028)" in ranked
    *_, unsure, _ = subject_findings(variants_of_the_subject(gaps, [.52, .51, .54, .53, .56, .55]))
    assert "was not shown to follow" in unsure and "exact p 0.14" in unsure
    *_, inverse, _ = subject_findings(variants_of_the_subject(gaps, [.56, .55, .54, .53, .52, .51]))
    assert "falls with the generalisation gap" in inverse


def test_ties_among_few_variants_are_counted_and_not_approximated() -> None:
    # Of 720 orders of six with three ties among the areas, 36 are as extreme on either side: p = .1; scipy says .044.
    gaps = [.1, .2, .3, .4, .5, .6]
    *_, ranked, _ = subject_findings(variants_of_the_subject(gaps, [.5, .5, .5, .6, .6, .6]))
    assert "was not shown to follow" in ranked and "exact p 0.1)" in ranked
    # More than eight with ties: permutations are drawn, and that is said.
    many = subject_findings(variants_of_the_subject([*gaps, .7, .8, .9], [.5, .5, .5, .6, .6, .6, .7, .7, .7]))
    assert "p by drawn permutations" in many[-2]


def test_too_few_or_equal_variants_are_not_ranked() -> None:
    *_, few, _ = subject_findings(variants_of_the_subject([.1, .2, .3], [.5, .6, .7]))
    assert "3 variants are too few" in few
    *_, equal, _ = subject_findings(variants_of_the_subject([.1] * 5, [.5, .6, .7, .8, .9]))
    assert "nothing to rank" in equal


def test_pairs_asked_for_are_compared_and_say_whether_accuracies_differ() -> None:
    found = subject_findings(variants_of_the_subject([.1, .2, .3, .4], [.5, .5, .6, .6]))
    (pair,) = (sentence for sentence in found if "net2 against net1" in sentence)
    # Equal to the last digit has no interval, and so shows nothing.
    assert pair.startswith("Equal accuracy, within 1 percentage point, was not shown: ")
    sweep = variants_of_the_subject([.1, .2, .3, .4], [.5, .5, .6, .6])
    sweep["variants"][2]["measures"].update(summarise({"accuracy": [.9, .912, .889, .9]}))
    sweep["comparisons"] = comparisons(sweep["variants"], "net0", [["net2", "net1"]])
    assert any(sentence.startswith("At equal accuracy, within 1 percentage point: net2 against net1")
               for sentence in subject_findings(sweep))


def test_a_pair_with_the_baseline_is_tested_once_and_has_one_verdict_in_either_direction() -> None:
    sweep = variants_of_the_subject([.1, .2, .3, .4], [.5, .6, .5, .5])
    for number, areas in ((1, [.6, .602]), (2, [.5, .503])):
        sweep["variants"][number]["measures"].update(summarise({"auc/loss": areas}))
    sweep["comparisons"] = comparisons(sweep["variants"], "net0", [["net0", "net1"]])
    shown = SweepQuestions(sweep)
    assert shown.direction("net1", "net0", "auc/loss") == 1 == -shown.direction("net0", "net1", "auc/loss")
    said = shown.correction()
    assert "2 changes of leaks against the baseline, of which 1 hold" in said and "other variants" not in said
    assert subject_findings(sweep)[-1].startswith("9 differences were looked at")


def test_only_what_suppression_changes_is_a_defences_verdict() -> None:
    strong = defence("suppress-95", "suppress", [.97, .972, .968, .97], [.4, .43, .37, .4], [.6, .62, .58, .6])
    noisy = defence("suppress-95", "suppress", [.97, .99, .96, .99], [.6, 1.0, .7, .9], [.5, .6, .52, .57])
    pruned = {**strong, "name": "prune", "training": "prune"}
    assert of_defences.verdict_of(sweep(strong)) == "shown"
    assert of_defences.verdict_of(sweep(noisy)) == of_defences.verdict_of(sweep(noisy, pruned)) == "not shown"
    assert of_defences.verdict_of(sweep(pruned)) == "cannot tell", "nothing was suppressed"


def test_the_verdict_on_subjects_is_whether_a_leak_follows_the_gap() -> None:
    def varied(gaps: list[float], leaks: list[float]) -> dict[str, Any]:
        variants = [{"name": f"v{gap}", "training": "ordinary", "measures": summarise(
            {"accuracy": [.9, .91], "gap": [gap, gap + .001], "auc/loss": [leak, leak + .001]})}
            for gap, leak in zip(gaps, leaks)]
        return {"baseline": variants[0]["name"], "models": 2, "variants": variants, "leaks": ["auc/loss"],
                "measures": MEASURES,
                "comparisons": comparisons(variants, variants[0]["name"])}

    gaps = [.01, .02, .03, .04, .05, .06, .07]
    assert of_subjects.verdict_of(varied(gaps, [.51, .52, .53, .54, .55, .56, .57])) == "shown"
    assert of_subjects.verdict_of(varied(gaps, [.53, .51, .56, .52, .57, .54, .53])) == "not shown"
    assert of_subjects.verdict_of(varied(gaps[:3], [.51, .52, .53])) == "cannot tell", "three cannot be ranked"
