"""The sweep as a family of the audit: one setting varied, judged by what the other families measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from mindleak.audits.family import Context, Family

if TYPE_CHECKING:
    from mindleak.audits.finding import Finding
    from mindleak.audits.sweep.stages import SweepPlan
    from mindleak.evaluation.metric import Record
    from mindleak.reporting.page import Page, Section
    from mindleak.subjects.session import Session
    from mindleak.subjects.subject import SubjectPlan


class Sweep(Family["SweepPlan"]):
    """Trains several networks per variant and compares what they give away, network by network."""

    name = "sweep"
    question = "What does a setting cost, and what does it hide?"
    help = "several variants of a network, all attacked alike"
    attacks = False

    def plan(self, subject: SubjectPlan) -> Optional[SweepPlan]:
        """Nothing: a sweep has variants of its own."""
        return None

    def plan_run(self, session: Session) -> Optional[SweepPlan]:
        """Plan the variants of the configuration, if it has any."""
        if not session.config.sweep.variants:
            return None
        from mindleak.audits.sweep.stages import SweepPlan

        return SweepPlan(session)

    def run(self, plan: SweepPlan) -> list[dict[str, Any]]:
        """Train and attack all networks of all variants."""
        return [plan.record()]

    def assist(self, plan: SweepPlan) -> None:
        """Compute from the end what the main process computes from the beginning."""
        plan.assist()

    def findings(self, results: Sequence[Record], context: Context) -> Iterator[Finding]:
        """Yield the sweep's last two conclusions: what was shown over all variants, and how it was corrected."""
        from mindleak.audits.finding import Finding
        from mindleak.audits.general import unfit_split
        from mindleak.audits.sweep import defence_findings, subject_findings

        for sweep in results:
            for variant in sweep["variants"]:
                yield from (Finding(text) for text in unfit_split(variant["name"], variant))
            *_, overall, corrected = sweep["conclusions"]
            of_question = {"defence": defence_findings, "subject": subject_findings}[sweep["question"]]
            yield Finding(overall, None, of_question.verdict_of(sweep), _compared(sweep))
            yield Finding(corrected)

    def doubts(self, results: Sequence[Record]) -> Iterator[str]:
        """Yield the networks whose test split does not fit what they were trained on."""
        from mindleak.audits.general import unfit_split

        for sweep in results:
            for variant in sweep["variants"]:
                yield from unfit_split(variant["name"], variant)

    def named(self, results: Sequence[Record]) -> list[str]:
        """Name the variants and how many networks each has."""
        return [f"sweep of {', '.join(variant['name'] for variant in sweep['variants'])} "
                f"({sweep['models']} networks each)" for sweep in results]

    def sections(self, results: Sequence[Record], page: Page) -> list[Section]:
        """Return tables, the figure of all leaks, and every comparison."""
        from mindleak.audits.sweep.section import sweep_sections

        return sweep_sections(results, page)

    def lines(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return a line per variant, and the conclusions."""
        from mindleak.audits.sweep.text import sweep_lines

        return ["\n".join(sweep_lines(sweep)) for sweep in results]


def _compared(sweep: Record) -> list[Mapping[str, Any]]:
    """Return the differences that the conclusions rest on."""
    return [change for entry in sweep["comparisons"] for change in entry["changes"].values()]
