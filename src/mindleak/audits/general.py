"""What an audit says of its subjects before any family is asked: how they answer, and what their training promises."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mindleak.audits.finding import Finding
from mindleak.evaluation.metric import Record


def subject_findings(subjects: Sequence[Record]) -> Iterator[Finding]:
    """Yield what is unusual of subjects, and what DP-SGD promises of them.

    Args:
        subjects: of the record of a run.
    """
    for name, subject in _by_name(subjects).items():
        if "answers" in subject:
            yield Finding(f"{name} answers with {subject['answers']}; they are taken for logits, since their softmax "
                          "gives the same probabilities.", subject["id"])
    yield from (Finding(text, subject) for subject, text in _doubts(subjects))
    yield from _privacy(subjects)


def subject_doubts(subjects: Sequence[Record]) -> Iterator[str]:
    """Yield what makes all figures of a subject doubtful, a sentence each."""
    return (text for _, text in _doubts(subjects))


def unfit_split(name: str, record: Record) -> Iterator[str]:
    """Yield that the test split does not fit what a network was trained on, where it does not."""
    if "split_misfit" in record:
        yield f"{name}: {record['split_misfit']}. Its test accuracy says nothing."


def _doubts(subjects: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield (id, sentence) where answers do not fit the data, or the test split not the training split."""
    for name, subject in _by_name(subjects).items():
        if "misfit" in subject:
            yield subject["id"], (f"{name}: {subject['misfit']}. No figure for it, of whichever attack, says anything "
                                  "about what it gives away.")
    for subject in subjects:
        yield from ((subject["id"], text) for text in unfit_split(subject["id"], subject))


def _by_name(subjects: Sequence[Record]) -> dict[str, Record]:
    """Return one record of every subject, whatever roles it has."""
    return {subject.get("name", subject["id"]): subject for subject in subjects}


def _privacy(subjects: Sequence[Record]) -> Iterator[Finding]:
    """Say what DP-SGD promises, and what that means for anybody who tells members from non-members.

    A test of (ε, δ) differential privacy has TPR ≤ e^ε·FPR + δ (Kairouz et al., arXiv 1311.0776, theorem 2.1).
    """
    for subject in subjects:
        privacy = subject.get("privacy")
        if privacy is None:
            continue
        if privacy["epsilon"] is None:
            yield Finding(f"{subject['id']} was trained by DP-SGD without a promise: {privacy['reason']}.",
                          subject["id"], None, (privacy,))
            continue
        bound = math.exp(privacy["epsilon"]) * 0.01 + privacy["delta"]
        meaning = (f"no attack on one sample has a TPR above {bound:.3f} at 1 % FPR" if bound < 1
                   else "too large to bound any attack's TPR at 1 % FPR")
        yield Finding(f"{subject['id']} was trained by DP-SGD: epsilon {privacy['epsilon']:.2f} at delta "
                      f"{privacy['delta']:g} ({privacy['accountant']}, Poisson sampling, one sample added or removed): "
                      f"{meaning}.", subject["id"], None, (privacy,))
