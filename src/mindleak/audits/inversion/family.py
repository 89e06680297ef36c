"""Inversion as a family of the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional

from mindleak.audits.family import Context, Family

if TYPE_CHECKING:
    from mindleak.audits.finding import Finding
    from mindleak.audits.inversion.gauge import InversionGauge
    from mindleak.audits.inversion.plan import InversionPlan
    from mindleak.evaluation.metric import Record
    from mindleak.reporting.page import Page, Section, SummaryColumn
    from mindleak.subjects.subject import SubjectPlan
    from mindleak.subjects.variant import Variant


class Inversion(Family["InversionPlan"]):
    """Reconstructs training images from a layer's output, and holds them against images nobody trained on."""

    name = "inversion"
    question = "What does a layer's output give back of an image?"
    help = "reconstruct images from a layer's output"

    def plan(self, subject: SubjectPlan) -> InversionPlan:
        """Choose the images, the judge and an attack per layer."""
        from mindleak.audits.inversion.plan import plan_inversion

        return plan_inversion(subject)

    def gauge(self, variants: Sequence[Variant]) -> Optional[InversionGauge]:
        """Invert from the networks of those variants for which it is switched on."""
        from mindleak.audits.inversion.gauge import InversionGauge, is_inverted

        return InversionGauge(variants) if any(map(is_inverted, variants)) else None

    def run(self, plan: InversionPlan) -> list[dict[str, Any]]:
        """Invert from every layer."""
        from mindleak.audits.inversion.stages import inversion_results

        return inversion_results(plan)

    def findings(self, results: Sequence[Record], context: Context) -> Iterator[Finding]:
        """Yield what suppression changes, and how each inversion does against its controls."""
        from mindleak.audits.inversion.findings import inversion_findings, suppression_findings

        yield from suppression_findings(results, context.subjects, context.run_dir, context.questions)
        yield from inversion_findings(results, context.questions)

    def named(self, results: Sequence[Record]) -> list[str]:
        """Name engines and layers."""
        layers: dict[str, list[str]] = {}
        for entry in results:
            layers.setdefault(entry["attack"], []).append(entry["layer"])
        return [f"inversion ({engine} from {', '.join(dict.fromkeys(names))})" for engine, names in layers.items()]

    def sections(self, results: Sequence[Record], page: Page) -> list[Section]:
        """Return pictures and the table of all metrics and controls."""
        from mindleak.audits.inversion.section import inversion_sections

        return inversion_sections(results, page)

    def summary(self, results: Sequence[Record], page: Page) -> list[SummaryColumn]:
        """Return confidence and SSIM of the inverted images."""
        from mindleak.audits.inversion.section import inversion_columns

        return inversion_columns(results, page)

    def lines(self, results: Sequence[Record], page: Page) -> list[str]:
        """Return the tutorial's five lines for every inversion of few enough images."""
        from mindleak.audits.inversion.text import inversion_lines

        return ["\n".join(inversion_lines(results, page.subjects))]
