"""Deletion as a family of the audit: what networks still know of samples that were deleted, whichever way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from mindleak.audits.family import Context, Family, Plan

if TYPE_CHECKING:
    from mindleak.audits.deletion.plan import DeletionPlan
    from mindleak.audits.finding import Finding
    from mindleak.evaluation.metric import Record
    from mindleak.reporting.page import Page, Section
    from mindleak.subjects.answering import ModelTask
    from mindleak.subjects.subject import SubjectPlan


@dataclass(frozen=True, eq=False)
class Requests(Plan):
    """All requests on one subject, and the ledger of what was deleted from it in this run directory."""

    subject: None
    requests: Sequence[DeletionPlan]
    ledger: Sequence[dict[str, Any]]

    @property
    def tasks(self) -> list[ModelTask]:
        """The trainings of all of them."""
        return [task for planned in self.requests for task in planned.tasks]


class Deletion(Family[Requests]):
    """Deletes samples from several networks, by retraining and otherwise, and attacks what is left."""

    name = "deletion"
    question = "Are the deleted samples forgotten?"
    help = "what networks still know of deleted samples"

    @property
    def unwanted(self) -> str:
        """Say which key asks for it."""
        return "deletion.requests is empty"

    def wants(self, subject: SubjectPlan) -> bool:
        """Return whether the configuration has any request for an audit, or the run directory a ledger to show."""
        from mindleak.audits.deletion.ledger import NAME

        return bool(subject.config.deletion.requests) or (subject.session.run_dir / NAME).exists()

    def plan(self, subject: SubjectPlan) -> Optional[Requests]:
        """Deal the data out and plan the trainings before and after every request."""
        from mindleak.audits.deletion.ledger import ledger_results
        from mindleak.audits.deletion.plan import plan_deletions

        requests = plan_deletions(subject) if subject.config.deletion.requests else []
        ledger = ledger_results(subject.session.run_dir, subject.name)
        if requests and ledger:
            subject.session.warn("this audit's networks may learn samples that the ledger of this --run_dir records as "
                                 "deleted, and stay in it; expected another --run_dir")
        return Requests(None, requests, ledger)

    def run(self, plan: Requests) -> list[dict[str, Any]]:
        """Delete by every method and attack."""
        from mindleak.audits.deletion.results import deletion_result

        return [*(deletion_result(planned) for planned in plan.requests), *plan.ledger]

    def findings(self, results: Sequence[Record], context: Context) -> Iterator[Finding]:
        """Yield what each method left, and what it is held against."""
        from mindleak.audits.deletion.findings import deletion_findings

        return deletion_findings(results, context.questions)

    def named(self, results: Sequence[Record]) -> list[str]:
        """Name requests and methods."""
        from mindleak.audits.deletion.words import CONTROLS, audited, ledger_words, recorded, request_words

        return [*(f"{request_words(result['request'])} by "
                  f"{', '.join(entry['method'] for entry in result['methods'] if entry['method'] not in CONTROLS)}"
                  for result in audited(results)), *(ledger_words(result["ledger"]) for result in recorded(results))]

    def sections(self, results: Sequence[Record], page: Page) -> list[Section]:
        """Return tables and the picture of gap against cost."""
        from mindleak.audits.deletion.section import deletion_sections

        return deletion_sections(results, page)

    def lines(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return a table per request."""
        from mindleak.audits.deletion.text import deletion_lines

        return ["\n".join(deletion_lines(results))] if results else []
