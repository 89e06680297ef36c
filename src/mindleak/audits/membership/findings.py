"""What membership inference found, over all of its attacks on all subjects of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mindleak.attacks.membership import report
from mindleak.audits.family import Context
from mindleak.audits.finding import Finding
from mindleak.audits.membership import reference_findings as of_references
from mindleak.audits.membership import rnn_tutorial_findings as of_rnn_tutorial
from mindleak.audits.membership import shadow_findings as of_shadows
from mindleak.audits.membership.improved_findings import improved_findings
from mindleak.audits.membership.questions import LeakFamilies, leak_families
from mindleak.audits.membership.results import ABLATION, REFERENCES, RNN_TUTORIAL, SHADOWS, of_kind
from mindleak.audits.questions import Questions
from mindleak.evaluation.metric import Record


def all_findings(results: Sequence[Record], context: Context) -> Iterator[Finding]:
    """Yield the findings of all attacks, verdicts corrected for all of them together.

    Args:
        results: of the family.
        context: of the audit.
    """
    by_shadows, by_references = of_kind(results, SHADOWS), of_kind(results, REFERENCES)
    leaks = _leaks(results, context.questions)
    yield from of_shadows.membership_findings(by_shadows, context.subjects, context.run_dir, leaks, context.questions)
    yield from improved_findings(by_shadows, of_kind(results, ABLATION), context.run_dir, context.questions)
    yield from of_references.reference_findings(by_references, by_shadows, context.run_dir, leaks, context.questions)
    yield from of_rnn_tutorial.rnn_tutorial_findings(of_kind(results, RNN_TUTORIAL), leaks, context.questions)


def all_doubts(results: Sequence[Record]) -> Iterator[str]:
    """Yield what makes figures doubtful, each once, with the subject's name before it."""
    for kind, doubts in ((SHADOWS, of_shadows.doubts), (REFERENCES, of_references.doubts),
                         (RNN_TUTORIAL, of_rnn_tutorial.doubts)):
        for result in of_kind(results, kind):
            yield from (f"{result['subject']}: {sentence}" for sentence in doubts(result) if sentence)


def with_power(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results with what the samples of attacks by shadows could have shown as the verdicts are made.

    Verdicts are corrected for the number of comparisons in the whole audit, of which a stage knows nothing.
    """
    leaks = _leaks(results, Questions())
    compared = {"auc": leaks.areas.size, "rates": leaks.rates.size}
    return [{**result, "detectable": {
        **report.detectable(result["n_in"], result["n_out"], n_threshold=result["thresholds"]["n_out"],
                            areas=leaks.areas.strictest, rates=leaks.rates.strictest), "compared": compared}}
            if result.get("detectable") else result for result in results]


def _leaks(results: Sequence[Record], questions: Questions) -> LeakFamilies:
    """Ask which attacks tell members from non-members."""
    return leak_families(of_kind(results, SHADOWS), of_kind(results, REFERENCES), of_kind(results, RNN_TUTORIAL),
                         questions)
