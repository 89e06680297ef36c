"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindleak.evaluation.intervals import mean_metric

Record = Mapping[str, Any]


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document.
        run_dir: what the inversions' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*_privacy(body["subjects"]), *_membership(body["membership"]),
            *_suppression(body["inversion"], subjects, run_dir), *_inversion(body["inversion"]),
            *_skipped(body["skipped"])]


def _privacy(subjects: Sequence[Record]) -> Iterator[str]:
    """Say what DP-SGD promises, and what that means for anybody who tells members from non-members.

    A test of (ε, δ) differential privacy has TPR ≤ e^ε·FPR + δ (Kairouz et al., arXiv 1311.0776, theorem 2.1).
    """
    for subject in subjects:
        privacy = subject.get("privacy")
        if privacy is None:
            continue
        if privacy["epsilon"] is None:
            yield f"{subject['id']} was trained by DP-SGD without a promise: {privacy['reason']}."
            continue
        bound = math.exp(privacy["epsilon"]) * 0.01 + privacy["delta"]
        meaning = (f"no attack on one sample has a TPR above {bound:.3f} at 1 % FPR" if bound < 1
                   else "too large to bound any attack's TPR at 1 % FPR")
        yield (f"{subject['id']} was trained by DP-SGD: epsilon {privacy['epsilon']:.2f} at delta {privacy['delta']:g} "
               f"({privacy['accountant']}, Poisson sampling, one sample added or removed): {meaning}.")


def _membership(results: Sequence[Record]) -> Iterator[str]:
    """Say for each attack whether it beats chance, and what its sample could have shown."""
    for result in results:
        area = result["overall"]["auc"]
        interval = _interval(area)
        if interval is None:
            yield f"Membership of {result['subject']}: no AUC ({area.get('reason') or 'it has no interval'})."
            continue
        low, high = interval
        found = f"Membership of {result['subject']}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
        if low > 0.5:
            yield f"{found}; the attack tells members from non-members better than chance."
        elif high < 0.5:
            yield f"{found}; below chance: one null attack in forty ends there, or the shadows are unlike it."
        else:
            yield f"{found}; no leak was detected. {_could_have_shown(result)}"
        if result.get("skipped_classes"):
            yield (f"Membership of {result['subject']}: not attacked: "
                   + "; ".join(f"class {name}, {reason}" for name, reason in result["skipped_classes"].items()) + ".")


def _could_have_shown(result: Record) -> str:
    """Say what was out of the sample's reach."""
    sizes = f"{result['n_in']} members and {result['n_out']} non-members"
    smallest = (result.get("detectable") or {}).get("auc")
    if smallest is None:
        return f"{sizes} are too few to have shown any."
    return (f"Eight of ten samples of {sizes} would show an AUC of {smallest:.3f}; a smaller leak, or one to a "
            "stronger attack, is not excluded.")


def _suppression(results: Sequence[Record], subjects: Mapping[str, Record], run_dir: Path) -> Iterator[str]:
    """Compare inversions of ordinary and suppressed subjects, alike in architecture and data, image by image."""
    kinds = {name: (record["model"], record.get("data_digest")) for name, record in subjects.items()}
    by_training = {training: [result for result in results
                              if subjects.get(result["subject"], {}).get("training") == training]
                   for training in ("ordinary", "suppress")}
    for ordinary in by_training["ordinary"]:
        for suppressed in by_training["suppress"]:
            if kinds[ordinary["subject"]] == kinds[suppressed["subject"]]:
                differing = _differing(subjects[ordinary["subject"]], subjects[suppressed["subject"]])
                yield from (f"{sentence}{differing}" for sentence in _change(ordinary, suppressed, run_dir))


def _differing(ordinary: Record, suppressed: Record) -> str:
    """Say what else than suppression tells two subjects apart, since a change may then be that one's doing."""
    recipes = [record.get("recipe") or {} for record in (ordinary, suppressed)]
    keys = sorted(key for key in set(recipes[0]) & set(recipes[1])
                  if key != "method" and recipes[0][key] != recipes[1][key])
    if not keys:
        return ""
    return f" Their recipes also differ in {', '.join(keys)}, so the change is not suppression's alone."


def _change(ordinary: Record, suppressed: Record, run_dir: Path) -> Iterator[str]:
    """Say what suppression changed, where the two attacks can be compared at all."""
    pair = f"Suppress training, {suppressed['subject']} against {ordinary['subject']}"
    if ordinary["layer"] != suppressed["layer"]:
        yield f"{pair}: not comparable, layer {suppressed['layer']} against {ordinary['layer']} was inverted."
        return
    for measure, meaning in (("confidence", "the judge's confidence in the true label"), ("ssim", "SSIM")):
        change = _paired_change(ordinary, suppressed, measure, run_dir)
        if change is not None:
            yield f"{pair}: {_in_words(meaning, change)}"


def _paired_change(ordinary: Record, suppressed: Record, measure: str, run_dir: Path) -> Optional[Record]:
    """Return the mean change of a measure over the images that both inversions share; None if they differ."""
    with np.load(run_dir / ordinary["arrays"], allow_pickle=False) as before, \
            np.load(run_dir / suppressed["arrays"], allow_pickle=False) as after:
        if not np.array_equal(before["rows"], after["rows"]):
            return None
        return mean_metric(after[measure] - before[measure]).to_json()


def _in_words(meaning: str, change: Record) -> str:
    """Say a change only where its interval excludes zero; the interval is over images, not over trainings."""
    interval = _interval(change)
    if interval is None:
        return f"{meaning} of inverted images cannot be compared ({change.get('reason') or 'no interval'})."
    low, high = interval
    amount = f"{change['value']:+.3f} ({low:+.3f} to {high:+.3f}, {change['n']} images, one network of each kind)"
    if low > 0:
        return f"{meaning} of inverted images rises by {amount}: they are easier to recognise by this measure."
    if high < 0:
        return f"{meaning} of inverted images falls by {amount}: they are harder to recognise by this measure."
    return f"no change of {meaning} of inverted images was detected, {amount}."


def _inversion(results: Sequence[Record]) -> Iterator[str]:
    """Say how an inversion compares with offering the mean image, which knows nothing of the features."""
    for result in results:
        name = f"Inversion of {result['subject']} from layer {result['layer']}"
        if result.get("dead"):
            yield (f"{name}: the features of {result['dead']} of {result['n']} images are all zero, so there was "
                   "nothing to invert.")
        metric, control = (part["confidence"] for part in (result["metrics"], result["controls"]["mean_image"]))
        found, baseline = _interval(metric), _interval(control)
        if found is None or baseline is None:
            continue
        yield (f"{name}: confidence {metric['value']:.3f} ({found[0]:.3f} to {found[1]:.3f}), "
               f"{_compared(found, baseline)} the mean image's {control['value']:.3f} "
               f"({baseline[0]:.3f} to {baseline[1]:.3f}).")


def _compared(found: tuple[float, float], baseline: tuple[float, float]) -> str:
    """Put two intervals in words."""
    if found[0] > baseline[1]:
        return "above"
    return "below" if found[1] < baseline[0] else "not distinguishable from"


def _skipped(records: Sequence[Record]) -> Iterator[str]:
    """Name what could not be done."""
    for record in records:
        yield f"Not done: {record['attack']} on {record['subject']}: {record['reason']}."


def _interval(metric: Record) -> Optional[tuple[float, float]]:
    """Return a metric's interval, or None where the metric has no value or an end has no bound."""
    interval = metric.get("ci") or ()
    known = [float(number) for number in (metric.get("value"), *interval) if number is not None]
    if len(known) != 3 or not np.isfinite(known).all():
        return None
    return known[1], known[2]
