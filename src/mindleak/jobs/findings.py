"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Metric


def findings(body: dict[str, Any], run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each."""
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*_membership(body["membership"]), *_suppression(body["inversion"], subjects, run_dir),
            *_inversion(body["inversion"]), *_skipped(body["skipped"])]


def _membership(results: list[dict[str, Any]]) -> Iterator[str]:
    """Say for each attack whether it beats chance, and what its sample could have shown."""
    for result in results:
        area = result["overall"]["auc"]
        low, high = area["ci"]
        found = f"Membership of {result['subject']}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
        if low > 0.5:
            yield f"{found}; the attack tells members from non-members better than chance."
        elif high < 0.5:
            yield f"{found}; the scores point the wrong way, so the shadows do not resemble this subject."
        else:
            yield (f"{found}; no leak was detected. {result['n_in']} members and {result['n_out']} non-members would "
                   f"have shown an AUC of {result['detectable']['auc']:.3f} or more; a smaller leak, or one to a "
                   "stronger attack, is not excluded.")


def _suppression(results: list[dict[str, Any]], subjects: dict[str, Any], run_dir: Path) -> Iterator[str]:
    """Compare inversions of an ordinary and a suppressed subject of one architecture, image by image."""
    by_kind = {(subjects[result["subject"]]["model"], subjects[result["subject"]]["training"]): result
               for result in results}
    for (model, training), ordinary in by_kind.items():
        suppressed = by_kind.get((model, "suppress"))
        if training != "ordinary" or suppressed is None:
            continue
        for measure, meaning in (("confidence", "the judge's confidence in the true label"), ("ssim", "SSIM")):
            change = _paired_change(ordinary, suppressed, measure, run_dir)
            if change is not None:
                yield f"Suppress training of {model}: {_in_words(meaning, change)}"


def _paired_change(ordinary: dict[str, Any], suppressed: dict[str, Any], measure: str, run_dir: Path) -> Metric | None:
    """Return the mean change of a measure over the images that both inversions share; None if they differ."""
    with np.load(run_dir / ordinary["arrays"], allow_pickle=False) as before, \
            np.load(run_dir / suppressed["arrays"], allow_pickle=False) as after:
        if not np.array_equal(before["rows"], after["rows"]):
            return None
        return mean_metric(after[measure] - before[measure])


def _in_words(meaning: str, change: Metric) -> str:
    """Say a change only where its interval excludes zero."""
    if change.ci is None or not np.isfinite(change.value):
        return f"{meaning} of inverted images cannot be compared ({change.reason})."
    low, high = change.ci
    amount = f"{change.value:+.3f} ({low:+.3f} to {high:+.3f}, {change.n} images)"
    if low > 0:
        return f"{meaning} of inverted images rises by {amount}: they are easier to recognise by this measure."
    if high < 0:
        return f"{meaning} of inverted images falls by {amount}: they are harder to recognise by this measure."
    return f"no change of {meaning} of inverted images was detected, {amount}."


def _inversion(results: list[dict[str, Any]]) -> Iterator[str]:
    """Say how an inversion compares with offering the mean image, which knows nothing of the features."""
    for result in results:
        found, control = (part["confidence"] for part in (result["metrics"], result["controls"]["mean_image"]))
        if found["ci"] is None or control["ci"] is None:
            continue
        values = f"{found['value']:.3f} ({found['ci'][0]:.3f} to {found['ci'][1]:.3f})"
        verdict = "above" if found["ci"][0] > control["ci"][1] else "not distinguishable from, or below,"
        yield (f"Inversion of {result['subject']} from layer {result['layer']}: confidence {values}, {verdict} the "
               f"mean image's {control['value']:.3f} ({control['ci'][0]:.3f} to {control['ci'][1]:.3f}).")


def _skipped(records: list[dict[str, str]]) -> Iterator[str]:
    """Name what could not be done."""
    for record in records:
        yield f"Not done: {record['attack']} on {record['subject']}: {record['reason']}."
