"""What an audit found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.jobs.inversion_findings import inversion_findings, suppression_findings
from mindleak.jobs.membership_findings import membership_findings

Record = Mapping[str, Any]


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document.
        run_dir: what the inversions' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    return [*_answers(body["subjects"]), *_privacy(body["subjects"]),
            *membership_findings(body["membership"], subjects, run_dir),
            *suppression_findings(body["inversion"], subjects, run_dir), *inversion_findings(body["inversion"]),
            *(body["sweep"]["conclusions"][-2:] if "sweep" in body else []), *_skipped(body["skipped"])]


def _answers(subjects: Sequence[Record]) -> Iterator[str]:
    """Say where a network does not answer with plain logits, and where its answers do not fit the data."""
    for name, subject in {subject.get("name", subject["id"]): subject for subject in subjects}.items():
        if "answers" in subject:
            yield (f"{name} answers with {subject['answers']}; they are taken for logits, since their softmax gives "
                   "the same probabilities.")
        if "misfit" in subject:
            yield (f"{name}: {subject['misfit']}. No figure for it, inversion's included, says anything about what it "
                   "gives away.")


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


def _skipped(records: Sequence[Record]) -> Iterator[str]:
    """Name what could not be done."""
    for record in records:
        yield f"Not done: {record['attack']} on {record['subject']}: {record['reason']}."
