"""What an audit found, in words that follow from tests and never from the sign of a difference.

Every question (which attack tells members from non-members, what suppression changes, ...) is answered from all of its
comparisons together, corrected for their number; see ``jobs.questions``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mindleak.attacks.membership import report
from mindleak.audits.inversion.findings import inversion_findings, suppression_findings
from mindleak.audits.membership import reference_findings as of_references
from mindleak.audits.membership import rnn_tutorial_findings as of_document
from mindleak.audits.membership import shadow_findings as of_membership
from mindleak.audits.membership.improved_findings import improved_findings
from mindleak.audits.membership.reference_findings import reference_findings
from mindleak.audits.membership.rnn_tutorial_findings import document_findings
from mindleak.audits.membership.shadow_findings import membership_findings
from mindleak.audits.questions import LeakFamilies, Questions, leak_families
from mindleak.evaluation.metric import Record


def findings(body: Record, run_dir: Path) -> list[str]:
    """Return the findings of an audit, one sentence or two each.

    Args:
        body: ``subjects``, ``inversion``, ``membership`` and ``skipped`` of the audit document, and what there is of
            ``reference_attacks``, ``ablations``, ``document_attack`` and ``sweep``.
        run_dir: what the records' ``arrays`` are relative to.
    """
    subjects = {record["id"]: record for record in body["subjects"]}
    memberships, inversions = body["membership"], body["inversion"]
    references, documents = body.get("reference_attacks", []), body.get("document_attack", [])
    questions = Questions()
    leaks = _leaks(body, questions)
    return [*_answers(body["subjects"]), *_unfit_splits(body), *_privacy(body["subjects"]),
            *membership_findings(memberships, subjects, run_dir, leaks, questions),
            *suppression_findings(inversions, subjects, run_dir, questions),
            *inversion_findings(inversions, questions),
            *(body["sweep"]["conclusions"][-2:] if "sweep" in body else []), *_skipped(body["skipped"]),
            *improved_findings(memberships, body.get("ablations", []), run_dir, questions),
            *reference_findings(references, memberships, run_dir, leaks, questions),
            *document_findings(documents, leaks, questions),
            *questions.correction()]


def with_power(body: Record) -> list[dict[str, Any]]:
    """Return the membership results of an audit with what their samples could have shown as its verdicts are made.

    Verdicts are corrected for the number of comparisons in the whole audit, of which a stage knows nothing.

    Args:
        body: as of ``findings``.
    """
    leaks = _leaks(body, Questions())
    compared = {"auc": leaks.areas.size, "rates": leaks.rates.size}
    return [{**result, "detectable": {
        **report.detectable(result["n_in"], result["n_out"], n_threshold=result["thresholds"]["n_out"],
                            areas=leaks.areas.strictest, rates=leaks.rates.strictest), "compared": compared}}
            if result.get("detectable") else result for result in body["membership"]]


def _leaks(body: Record, questions: Questions) -> LeakFamilies:
    """Ask which attacks of an audit tell members from non-members."""
    return leak_families(body["membership"], body.get("reference_attacks", []), body.get("document_attack", []),
                         questions)


def cautions(body: Record) -> list[str]:
    """Return what makes figures of an audit doubtful, each once: for a terminal, whose table has figures alone.

    Args:
        body: as of ``findings``.
    """
    said = [*_misfits(body["subjects"]), *_unfit_splits(body)]
    for part, doubts in (("membership", of_membership.doubts), ("reference_attacks", of_references.doubts),
                         ("document_attack", of_document.doubts)):
        for result in body.get(part, []):
            said += [f"{result['subject']}: {sentence}" for sentence in doubts(result) if sentence]
    return list(dict.fromkeys(said))


def _answers(subjects: Sequence[Record]) -> Iterator[str]:
    """Say where a network does not answer with plain logits, and where its answers do not fit the data."""
    for name, subject in {subject.get("name", subject["id"]): subject for subject in subjects}.items():
        if "answers" in subject:
            yield (f"{name} answers with {subject['answers']}; they are taken for logits, since their softmax gives "
                   "the same probabilities.")
    yield from _misfits(subjects)


def _misfits(subjects: Sequence[Record]) -> Iterator[str]:
    """Say where a network's answers do not fit the data."""
    for name, subject in {subject.get("name", subject["id"]): subject for subject in subjects}.items():
        if "misfit" in subject:
            yield (f"{name}: {subject['misfit']}. No figure for it, inversion's included, says anything about what it "
                   "gives away.")


def _unfit_splits(body: Record) -> Iterator[str]:
    """Say of subjects and of a sweep's networks where the test split does not fit what they were trained on."""
    variants = body["sweep"]["variants"] if body.get("sweep") else []
    for record in (*body["subjects"], *variants):
        if "split_misfit" in record:
            yield f"{record.get('id', record.get('name'))}: {record['split_misfit']}. Its test accuracy says nothing."


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
