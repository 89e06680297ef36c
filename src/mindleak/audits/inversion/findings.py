"""What inversion found, in words that follow from intervals of paired differences, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mindleak.attacks.inversion.quality import DIFFERENCE_RANGES
from mindleak.audits.finding import CANNOT_TELL, NOT_SHOWN, SHOWN, Finding, verdict
from mindleak.audits.inversion.results import TEST_SPLIT
from mindleak.audits.pairs import recipes_differ
from mindleak.audits.questions import Questions, alone, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.means import UNBOUNDED, mean_over_images
from mindleak.evaluation.metric import Record
from mindleak.reporting.wording import has_value, percent

# An optimiser in order returns the image from its own pixels at more than this (dB).
IDENTITY_PSNR = 40.0
# A judge that is wrong about most images it has not seen recognises nothing in rebuilt ones.
JUDGE_RIGHT = 0.5
# Where an interval reaches so far, every second image may have come back.
HALF = 0.5
_MEANINGS = {"confidence": "the judge's confidence in the true label", "ssim": "SSIM"}


def suppression_findings(results: Sequence[Record], subjects: Mapping[str, Record], run_dir: Path,
                         questions: Questions) -> Iterator[Finding]:
    """Compare inversions of ordinary and suppressed subjects, alike in architecture and data, image by image."""
    pairs = [(pair, _differing(*(subjects[result["subject"]] for result in pair)))
             for pair in _pairs(results, subjects)]
    changes = {_key(*pair, measure): change for pair, _ in pairs if not _unlike(*pair) for measure in _MEANINGS
               if (change := _paired_change(*pair, measure, run_dir)) is not None}
    family = questions.ask("changes of inverted images with suppression",
                           {key: Comparison.of(change) for key, change in changes.items()})
    for pair, differing in pairs:
        yield from _change(*pair, changes, family, differing)


def _pairs(results: Sequence[Record], subjects: Mapping[str, Record]) -> Iterator[tuple[Record, Record]]:
    """Yield inversions of an ordinary and of a suppressed subject that are alike."""
    kinds = {name: (record["model"], record.get("data_digest")) for name, record in subjects.items()}
    by_training = {training: [result for result in results
                              if subjects.get(result["subject"], {}).get("training") == training]
                   for training in ("ordinary", "suppress")}
    for suppressed in by_training["suppress"]:
        partners = [result for result in by_training["ordinary"]
                    if kinds[result["subject"]] == kinds[suppressed["subject"]]]
        # Where layers are shared, those are compared; a subject inverted from others only is named once.
        for ordinary in [one for one in partners if one["layer"] == suppressed["layer"]] or partners[:1]:
            yield ordinary, suppressed


def _key(ordinary: Record, suppressed: Record, measure: str) -> tuple[str, str, str, str]:
    return ordinary["subject"], suppressed["subject"], suppressed["layer"], measure


def _differing(ordinary: Record, suppressed: Record) -> str:
    """Say what else than suppression tells two subjects apart."""
    return recipes_differ(*(record.get("recipe") or {} for record in (ordinary, suppressed)))


def _unlike(ordinary: Record, suppressed: Record) -> str:
    """Say why two inversions cannot be compared; empty where they can."""
    if ordinary["layer"] != suppressed["layer"]:
        return f"layer {suppressed['layer']} against {ordinary['layer']} was inverted"
    unlike = [key for key in ("engine", "tv", "optimizer", "loss_weights", "iterations", "restarts", "patience")
              if ordinary.get(key) != suppressed.get(key)]
    return f"the attacks differ in {', '.join(unlike)}" if unlike else ""


def _change(ordinary: Record, suppressed: Record, changes: Mapping[tuple[str, str, str, str], Record],
            family: Family, differing: str) -> Iterator[Finding]:
    """Say what suppression changed, where the two attacks can be compared at all."""
    pair = f"Suppress training, {suppressed['subject']} against {ordinary['subject']}"
    unlike = _unlike(ordinary, suppressed)
    if unlike:
        yield Finding(f"{pair}: not comparable, {unlike}.{differing}", None, CANNOT_TELL)
        return
    stuck = [f"{result['dead']} of {result['n']} for {result['subject']}" for result in (ordinary, suppressed)
             if result.get("dead")]
    caveat = f" The attack had no gradient to follow on {' and '.join(stuck)}, which is no protection." if stuck else ""
    for measure, meaning in _MEANINGS.items():
        key = _key(ordinary, suppressed, measure)
        if key in changes:
            known = known_interval(changes[key]) is not None
            yield Finding(f"{pair}, layer {ordinary['layer']}: {_in_words(meaning, changes[key], family, key)}{caveat}"
                          f"{differing}", None, verdict(family.direction(key)) if known and not stuck else CANNOT_TELL,
                          [each["metrics"].get(measure) for each in (ordinary, suppressed)])


def _paired_change(ordinary: Record, suppressed: Record, measure: str, run_dir: Path) -> Optional[Record]:
    """Return the mean change of a measure over the images that both inversions share; None if they differ."""
    with np.load(run_dir / ordinary["arrays"], allow_pickle=False) as before, \
            np.load(run_dir / suppressed["arrays"], allow_pickle=False) as after:
        if not np.array_equal(before["rows"], after["rows"]):
            return None
        return mean_over_images(after[measure] - before[measure],
                                bounds=DIFFERENCE_RANGES.get(measure, UNBOUNDED), null=0.0).to_json()


def _in_words(meaning: str, change: Record, family: Family, key: tuple[str, str, str, str]) -> str:
    """Say a change only where it holds after correction; its interval is over images, not over trainings."""
    interval = known_interval(change)
    if interval is None:
        return f"{meaning} of inverted images cannot be compared ({change.get('reason') or 'no interval'})."
    low, high = interval
    amount = f"{change['value']:+.3f} ({low:+.3f} to {high:+.3f}, {change['n']} images, one network of each kind)"
    way = family.direction(key)
    if way > 0:
        return f"{meaning} of inverted images rises by {amount}: they are easier to recognise by this measure."
    if way < 0:
        return f"{meaning} of inverted images falls by {amount}: they are harder to recognise by this measure."
    return f"no change of {meaning} of inverted images was detected, {amount}{alone(family, key, (low, high))}."


@dataclass(frozen=True)
class _Families:
    """The questions about single inversions, keyed by subject and layer, that of non-members by measure too."""

    mean_image: Family
    non_members: Family
    nearest: Family


def _families(results: Sequence[Record], questions: Questions) -> _Families:
    """Ask the questions about single inversions, all of them together."""
    by_key = {(result["subject"], result["layer"]): result for result in results}
    nearest = {key: result["nearest"] for key, result in by_key.items() if result.get("nearest")}
    differences = {key: result.get("differences") or {} for key, result in by_key.items()}
    return _Families(
        questions.ask("confidences against the mean image's", {
            key: Comparison.of(each.get("mean_image", {}).get("confidence") or {})
            for key, each in differences.items()}),
        questions.ask("differences between inverted members and non-members", {
            (*key, measure): Comparison.of(each.get("non_members", {}).get(measure) or {})
            for key, each in differences.items() for measure in _MEANINGS}),
        questions.ask("shares of originals found against chance", {
            key: Comparison.of(each["top1"], each["chance"]["top1"]) for key, each in nearest.items()}))


def inversion_findings(results: Sequence[Record], questions: Questions) -> Iterator[Finding]:
    """Say how each inversion does against the mean image, on non-members, and in finding its very original."""
    families = _families(results, questions)
    yield from _identity(results)
    for result in results:
        name = f"Inversion of {result['subject']} from layer {result['layer']}"
        if result.get("dead"):
            yield Finding(f"{name}: {result['dead']} of {result['n']} images gave the attack nothing to follow: their "
                          "features are all zero, or no unit fires at its starting images (inversion.restarts tries "
                          "others). That is no protection.", result["subject"])
        differences = result.get("differences") or {}
        parts = [*_against_mean_image(result, differences.get("mean_image") or {}, families.mean_image),
                 *_against_non_members(result, differences.get("non_members") or {}, families.non_members),
                 *_nearest(result, families.nearest)]
        if parts:
            stated, why = _verdict(result, families)
            yield Finding(f"{name}: {' '.join(parts)}{why}", result["subject"], stated,
                          [*differences.get("mean_image", {}).values(), *differences.get("non_members", {}).values(),
                           *([result["nearest"]["top1"]] if result.get("nearest") else [])])


def _verdict(result: Record, families: _Families) -> tuple[str, str]:
    """Return whether anything was shown to come back, and why nobody can tell where the other parts do not say it.

    More than of the mean image, more than of non-members of the same split, or a find of the very original. The test
    split may differ from the training split by more than membership, so what it differs in is no verdict.
    """
    key = (result["subject"], result["layer"])
    others = result.get("non_members") or {}
    against = [] if others.get("source") == TEST_SPLIT else [
        families.non_members.direction((*key, measure)) > 0 for measure in _MEANINGS]
    if next(_failed(result), None) is not None:
        return CANNOT_TELL, ""
    if families.nearest.direction(key) > 0 or families.mean_image.direction(key) > 0 or any(against):
        return SHOWN, ""
    if result.get("dead"):
        return CANNOT_TELL, ""
    judge = result.get("judge_test_accuracy") or {}
    if has_value(judge) and judge["value"] < JUDGE_RIGHT:
        return CANNOT_TELL, f" The judge is right about {percent(judge['value'], 1)} of the test images only."
    found = [known_interval(metric) for metric in
             ((result.get("differences") or {}).get("mean_image", {}).get("confidence") or {},
              (result.get("nearest") or {}).get("top1") or {})]
    if any(interval is None or interval[1] >= HALF for interval in found):
        return CANNOT_TELL, " So few images could not have shown it, had every second one come back."
    return NOT_SHOWN, ""


def _failed(result: Record) -> Iterator[float]:
    """Yield what the control reached (dB), where it failed."""
    # The median: one image that comes back exactly makes the mean infinite.
    reached = result.get("identity_psnr")
    if reached is not None and has_value(reached) and reached["value"] < IDENTITY_PSNR:
        yield float(reached["value"])


def _identity(results: Sequence[Record]) -> Iterator[Finding]:
    """Say where the optimiser fails on the identity network, since nothing that it finds elsewhere counts then."""
    for result in results:
        for reached in _failed(result):
            yield Finding(f"Control failed: from the pixels themselves the attack on {result['subject']}, layer "
                          f"{result['layer']}, gets {reached:.1f} dB PSNR in the median; more than "
                          f"{IDENTITY_PSNR:.0f} dB are due, so its figures say little.", result["subject"],
                          CANNOT_TELL, (result["identity_psnr"],))


def _against_mean_image(result: Record, differences: Record, family: Family) -> Iterator[str]:
    """Hold the inversions against the mean image, which knows nothing of the features, image by image."""
    interval = known_interval(differences.get("confidence") or {})
    reached = result["metrics"]["confidence"]
    change = differences.get("confidence")
    if change is None or not has_value(change) or not has_value(reached):
        return
    if interval is None:
        if change.get("reason"):
            yield (f"{_MEANINGS['confidence']} is {reached['value']:.3f}, {change['value']:+.3f} against the mean "
                   f"image's ({change['reason']}), so the two cannot be compared.")
        return
    amount = f"{change['value']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f}, {change['n']} images, paired)"
    key = (result["subject"], result["layer"])
    side = {1: "above", -1: "below", 0: "not distinguishable from"}[family.direction(key)]
    yield (f"{_MEANINGS['confidence']} is {reached['value']:.3f}, {side} the mean image's, {amount}"
           f"{alone(family, key, interval)}.")


def _against_non_members(result: Record, differences: Record, family: Family) -> Iterator[str]:
    """Say whether members are inverted better than others: a leak about these samples, not about their class."""
    found = {measure: interval for measure in _MEANINGS
             if (interval := known_interval(differences.get(measure) or {})) is not None}
    others = result.get("non_members")
    if others is None:
        return
    if not found:
        reasons = [each["reason"] for each in differences.values() if has_value(each) and each.get("reason")]
        if reasons:
            yield (f"Members less class-matched non-members ({others['n']} pairs, {others['source']}) cannot be "
                   f"compared ({reasons[0]}).")
        return
    parts = [f"{_MEANINGS[measure]} {differences[measure]['value']:+.3f} ({low:+.3f} to {high:+.3f})"
             for measure, (low, high) in found.items()]
    keys = {measure: (result["subject"], result["layer"], measure) for measure in found}
    differing = [_MEANINGS[measure] for measure, key in keys.items() if family.direction(key)]
    doubtful = next(filter(None, (alone(family, keys[measure], interval) for measure, interval in found.items())), "")
    verdict = f"they differ in {' and '.join(differing)}" if differing else f"no difference was detected{doubtful}"
    if differing and others["source"] == TEST_SPLIT:
        verdict += ", though training and test split may differ by more than who was trained on"
    yield (f"Members less class-matched non-members ({others['n']} pairs, {others['source']}): "
           f"{', '.join(parts)}; {verdict}.")


def _nearest(result: Record, family: Family) -> Iterator[str]:
    """Say how often the inversion is nearest to its very original, of all images that the subject has seen."""
    nearest = result.get("nearest")
    if not nearest:
        return
    interval, chance = known_interval(nearest["top1"]), nearest["chance"]["top1"]
    if interval is None:
        return
    key = (result["subject"], result["layer"])
    verdict = "above chance" if family.direction(key) > 0 else "not distinguishable from chance"
    yield (f"Of {nearest['candidates']:,} training images the original is nearest to its inversion in "
           f"{percent(nearest['top1']['value'], 1)} of cases ({100 * interval[0]:.1f} to {100 * interval[1]:.1f}), "
           f"{verdict} ({percent(chance, 2)}){alone(family, key, interval, chance)}; its median rank is "
           f"{nearest['median_rank']:,.0f}.")
