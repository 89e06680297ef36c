"""The questions that a sweep's conclusions answer, each with all differences that were looked at to answer it.

A sweep looks at hundreds of differences over a handful of networks, many of which say the same of another layer or
rate. Their verdicts keep the share of false ones among those named at 5 % (Benjamini-Hochberg), question by question.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mindleak.audits.questions import Questions
from mindleak.evaluation.comparisons import BENJAMINI_HOCHBERG, Comparison, Family
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Record

ACCURACY = "accuracy"
# Accuracies closer than this count as equal, where that is shown: one percentage point.
MARGIN = 0.01


class SweepQuestions:
    """What was shown of the differences between the variants of a sweep.

    Args:
        sweep: its record, with ``variants``, ``baseline``, ``leaks`` and ``comparisons``.
    """

    def __init__(self, sweep: Record) -> None:
        self._questions = Questions(BENJAMINI_HOCHBERG)
        compared = differences(sweep)
        others = {pair: changes for pair, changes in compared.items() if sweep["baseline"] not in pair}
        with_baseline = {pair: changes for pair, changes in compared.items() if pair not in others}
        margins = [pair for entry in sweep["comparisons"] if (pair := _pair(entry))[1] != sweep["baseline"]]
        self._leaks = [self._ask(f"changes of leaks {words}", changes, sweep["leaks"])
                       for words, changes in (("against the baseline", with_baseline),
                                              ("between other variants", others))]
        self._accuracy = self._ask("changes of accuracy", compared, [ACCURACY])
        self._equal = self._questions.ask("accuracies against a margin of one point", _margins(sweep, margins))

    def direction(self, variant: str, other: str, measure: str) -> int:
        """Return −1 or +1 where ``variant`` was shown to be lower or higher than ``other``, else 0."""
        families = [self._accuracy] if measure == ACCURACY else self._leaks
        return sum(family.direction((variant, other, measure)) - family.direction((other, variant, measure))
                   for family in families)

    def not_lower(self, variant: str, other: str) -> bool:
        """Tell whether the variant's accuracy was shown to be less than ``MARGIN`` lower; not asked of the baseline."""
        return self._equal.direction((variant, other, -MARGIN)) > 0

    def not_higher(self, variant: str, other: str) -> bool:
        """Tell whether the variant's accuracy was shown to be less than ``MARGIN`` higher, as ``not_lower``."""
        return self._equal.direction((variant, other, MARGIN)) < 0

    def ask(self, question: str, comparisons: Mapping[Any, Comparison | None]) -> Family:
        """Return the family of a further question, corrected like the others."""
        return self._questions.ask(question, comparisons)

    def correction(self) -> str:
        """Say what was corrected for what."""
        return "".join(f" {sentence}" for sentence in self._questions.correction())

    def _ask(self, question: str, compared: Mapping[tuple[str, str], Record], measures: Sequence[str]) -> Family:
        return self._questions.ask(question, {
            (*pair, measure): Comparison.of(changes[measure]) for pair, changes in compared.items()
            for measure in measures if measure in changes})


def differences(sweep: Record) -> dict[tuple[str, str], Record]:
    """Return the changes of each pair of variants, once: a pair with the baseline is compared in both directions."""
    found: dict[tuple[str, str], Record] = {}
    for entry in sweep["comparisons"]:
        if _pair(entry)[::-1] not in found:
            found[_pair(entry)] = entry["changes"]
    return found


def _pair(entry: Record) -> tuple[str, str]:
    return entry["variant"], entry["against"]


def _margins(sweep: Record, pairs: Sequence[tuple[str, str]]) -> dict[Hashable, Comparison | None]:
    """Return the accuracies' differences against either end of the margin, network by network."""
    accuracies = {variant["name"]: variant["measures"][ACCURACY]["values"] for variant in sweep["variants"]}
    return {(one, other, margin): Comparison.of(
        mean_metric(np.subtract(accuracies[one], accuracies[other]), null=margin).to_json(), margin)
            for one, other in pairs for margin in (-MARGIN, MARGIN)}
