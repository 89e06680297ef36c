"""Membership inference as a family of the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mindleak.audits.family import Context, Family, Option
from mindleak.audits.membership.results import ABLATION, REFERENCES, RNN_TUTORIAL, SHADOWS, of_kind

if TYPE_CHECKING:
    from mindleak.audits.finding import Finding
    from mindleak.audits.membership.gauge import MembershipGauge
    from mindleak.audits.membership.plan import MembershipPlan
    from mindleak.evaluation.metric import Record
    from mindleak.reporting.page import Page, Section, SummaryColumn
    from mindleak.subjects.subject import SubjectPlan
    from mindleak.subjects.variant import Variant


class Membership(Family["MembershipPlan"]):
    """Tells members from non-members of one split, by shadows and by reference models."""

    name = "membership"
    question = "Who was in the training set?"
    help = "tell members from non-members"
    options = (Option("--attack", "membership.attacks", "NAME,...",
                      "which: shadow, rnn_tutorial, lira_online, rmia_offline, loss, ... (membership.attacks)",
                      many=True),)

    def plan(self, subject: SubjectPlan) -> MembershipPlan:
        """Divide the data into roles, and plan subject, shadows and references."""
        from mindleak.audits.membership.plan import plan_attacks

        return plan_attacks(subject)

    def gauge(self, variants: Sequence[Variant]) -> MembershipGauge:
        """Attack every network with the others of its variant as shadows and references."""
        from mindleak.audits.membership.gauge import MembershipGauge

        return MembershipGauge(variants)

    def run(self, plan: MembershipPlan) -> list[dict[str, Any]]:
        """Attack in every way that was asked for."""
        from mindleak.audits.membership.stages import membership_results

        return membership_results(plan)

    def completed(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results with what their samples could have shown as the verdicts of the whole audit are made."""
        from mindleak.audits.membership.findings import with_power

        return with_power(results)

    def findings(self, results: Sequence[Record], context: Context) -> Iterator[Finding]:
        """Yield what each attack shows, and what tells the attacks apart."""
        from mindleak.audits.membership.findings import all_findings

        return all_findings(results, context)

    def doubts(self, results: Sequence[Record]) -> Iterator[str]:
        """Yield where a subject has learnt nothing, or is unlike the models that an attack has learnt from."""
        from mindleak.audits.membership.findings import all_doubts

        return all_doubts(results)

    def named(self, results: Sequence[Record]) -> list[str]:
        """Name the attacks and how many models they use."""
        return [
            *(f"membership ({each['attack']}, {each['n_shadows']} shadows)" for each in of_kind(results, SHADOWS)),
            *(f"membership (rnn_tutorial, {each['n_shadows']} shadows)" for each in of_kind(results, RNN_TUTORIAL)),
            *(f"membership by {each['n_references']} references "
              f"({', '.join(attack['attack'] for attack in each['attacks'])})"
              for each in of_kind(results, REFERENCES))]

    def sections(self, results: Sequence[Record], page: Page) -> list[Section]:
        """Return the attacks by shadows, the RNN tutorial's, those by references, and what samples could show."""
        from mindleak.audits.membership.section import membership_sections

        return membership_sections(results, page)

    def summary(self, results: Sequence[Record], page: Page) -> list[SummaryColumn]:
        """Return AUC and TPR at 1 % FPR."""
        from mindleak.audits.membership.section import membership_columns

        return membership_columns(results, page)

    def summary_notes(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return what intervals there are, and what the samples could have shown."""
        from mindleak.audits.membership.text import summary_notes

        return summary_notes(results, page.subjects)

    def lines(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return the attacks side by side, the RNN tutorial's report, and the ablation."""
        from mindleak.audits.membership.ablation_table import ablation_lines
        from mindleak.audits.membership.rnn_tutorial_tables import rnn_tutorial_lines
        from mindleak.audits.membership.text import membership_lines

        blocks = [rnn_tutorial_lines(of_kind(results, RNN_TUTORIAL), page.subjects),
                  membership_lines(results, page.subjects), ablation_lines(of_kind(results, ABLATION), page.subjects)]
        return ["\n".join(block) for block in blocks if block]
