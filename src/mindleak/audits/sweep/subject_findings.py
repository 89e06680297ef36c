"""What a sweep of the subject itself says: which networks leak more, and whether the generalisation gap tells.

The RNN tutorial suspects that networks of another size, data or training would leak more; the gap between training and
test accuracy is the usual explanation (Yeom et al., arXiv 1709.01604).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from mindleak.audits.finding import CANNOT_TELL, verdict
from mindleak.audits.sweep.findings import against, by_pair, caution, label_of
from mindleak.audits.sweep.questions import MARGIN, SweepQuestions
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Record
from mindleak.evaluation.ranks import RankCorrelation, kendall

GAP = "gap"
FEWEST_RANKED = 4


def subject_findings(sweep: Record) -> list[str]:
    """Return the conclusions of a sweep of the subject in words, from tests corrected for their number."""
    shown = SweepQuestions(sweep)
    found = [_pair(*pair, changes, sweep, shown) for pair, changes in by_pair(sweep).items()]
    return [*found, " ".join(_rankings(sweep, shown)), caution(sweep, shown)]


def _pair(variant: str, other: str, changes: Record, sweep: Record, shown: SweepQuestions) -> str:
    """Compare two variants, saying whether their accuracies may be taken as equal."""
    said = against(variant, other, changes, sweep, shown)
    if other == sweep["baseline"]:
        return said
    equal = shown.not_lower(variant, other) and shown.not_higher(variant, other)
    margin = f"{100 * MARGIN:g} percentage point"
    return (f"At equal accuracy, within {margin}: " if equal
            else f"Equal accuracy, within {margin}, was not shown: ") + said


def _rankings(sweep: Record, shown: SweepQuestions) -> Iterator[str]:
    """Say, per membership measure, whether variants with a wider gap were shown to leak more.

    Kendall's τ over the variants' means with its permutation test: ranks need no model of how one follows from the
    other.
    """
    pairs, ranked = _pairs(sweep), _ranked(sweep)
    family = _asked(ranked, shown)
    words = {1: "follows", -1: "falls with", 0: "was not shown to follow"}
    for leak, values in pairs.items():
        label = label_of(sweep, leak)
        if leak not in ranked:
            yield f"{label}: {len(values)} variants are too few to rank against their gaps."
        elif math.isnan(ranked[leak].p):
            yield f"{label}: all variants are alike in gap or leak, so there is nothing to rank."
        else:
            tau, p = ranked[leak].tau, ranked[leak].p
            kind = "exact p" if ranked[leak].exact else "p by drawn permutations"
            yield (f"{label} {words[family.direction(leak)]} the generalisation gap over {len(values)} variants "
                   f"(Kendall's τ {tau:+.2f}, {kind} {p:.2g}).")


def verdict_of(sweep: Record) -> str:
    """Return whether any leak was shown to follow the generalisation gap, or to fall with it."""
    ranked = _ranked(sweep)
    if all(math.isnan(found.p) for found in ranked.values()):
        return CANNOT_TELL
    family = _asked(ranked, SweepQuestions(sweep))
    return verdict(any(family.direction(leak) for leak in ranked))


def _pairs(sweep: Record) -> dict[str, list[tuple[float, float]]]:
    """Return, per leak, the mean gap and the mean leak of every variant that has both."""
    return {leak: [(variant["measures"][GAP]["value"], variant["measures"][leak]["value"])
                   for variant in sweep["variants"] if GAP in variant["measures"] and leak in variant["measures"]]
            for leak in sweep["leaks"]}


def _ranked(sweep: Record) -> dict[str, RankCorrelation]:
    """Return the rank correlations of leaks with the gap, of those that enough variants have."""
    # Equal means must tie whatever their last digits.
    return {leak: kendall(*np.round(values, 12).T) for leak, values in _pairs(sweep).items()
            if len(values) >= FEWEST_RANKED}


def _asked(ranked: Mapping[str, RankCorrelation], shown: SweepQuestions) -> Family:
    """Ask all rankings together."""
    return shown.ask("rankings of leaks by the generalisation gap", {
        leak: None if math.isnan(found.p) else Comparison(found.tau, found.p) for leak, found in ranked.items()})
