"""What a sweep of the subject itself says: which networks leak more, and whether the generalisation gap tells.

Seed 000 suspects that networks of another size, data or training would leak more; the gap between training and test
accuracy is the usual explanation (Yeom et al., arXiv 1709.01604).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mindleak.evaluation.ranks import kendall
from mindleak.jobs.sweep_findings import ACCURACY, MARGIN, Record, against, by_pair, caution, not_higher, not_lower

GAP = "gap"
LEVEL = 0.05
FEWEST_RANKED = 4


def subject_findings(sweep: Record) -> list[str]:
    """Return the conclusions of a sweep of the subject in words, each from an interval or a permutation test."""
    found = [_pair(*pair, changes, sweep) for pair, changes in by_pair(sweep).items()]
    return [*found, " ".join(_rankings(sweep)), caution(sweep)]


def _pair(variant: str, other: str, changes: Record, sweep: Record) -> str:
    """Compare two variants, saying whether their accuracies may be taken as equal."""
    said = against(variant, other, changes, sweep)
    if other == sweep["baseline"]:
        return said
    equal = not_lower(changes[ACCURACY]) and not_higher(changes[ACCURACY])
    margin = f"{100 * MARGIN:g} percentage point"
    return (f"At equal accuracy, within {margin}: " if equal
            else f"Equal accuracy, within {margin}, was not shown: ") + said


def _rankings(sweep: Record) -> Iterator[str]:
    """Say, per membership measure, whether variants with a wider gap were shown to leak more.

    Kendall's τ over the variants' means with its permutation test: ranks need no model of how one follows from the
    other.
    """
    for leak in sweep["leaks"]:
        pairs = [(variant["measures"][GAP]["value"], variant["measures"][leak]["value"])
                 for variant in sweep["variants"] if GAP in variant["measures"] and leak in variant["measures"]]
        if len(pairs) < FEWEST_RANKED:
            yield f"{sweep['labels'][leak]}: {len(pairs)} variants are too few to rank against their gaps."
            continue
        # Equal means must tie whatever their last digits.
        ranked = kendall(*np.round(pairs, 12).T)
        tau, p = ranked.tau, ranked.p
        if math.isnan(p):
            yield f"{sweep['labels'][leak]}: all variants are alike in gap or leak, so there is nothing to rank."
            continue
        shown = "follows" if p < LEVEL and tau > 0 else "falls with" if p < LEVEL else "was not shown to follow"
        yield (f"{sweep['labels'][leak]} {shown} the generalisation gap over {len(pairs)} variants "
               f"(Kendall's τ {tau:+.2f}, {'exact p' if ranked.exact else 'p by drawn permutations'} {p:.2g}).")
