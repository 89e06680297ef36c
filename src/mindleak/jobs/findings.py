"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mindleak.evaluation.intervals import mean_metric
from mindleak.jobs.membership_findings import known_interval as _interval
from mindleak.jobs.membership_findings import membership_findings, recipes_differ

Record = Mapping[str, Any]


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document.
        run_dir: what the inversions' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*membership_findings(body["membership"], subjects, run_dir),
            *_suppression(body["inversion"], subjects, run_dir), *_inversion(body["inversion"]),
            *_skipped(body["skipped"])]


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
    """Say what else than suppression tells two subjects apart."""
    return recipes_differ(*(record.get("recipe") or {} for record in (ordinary, suppressed)))


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
