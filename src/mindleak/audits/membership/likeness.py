"""Whether a subject has learnt anything, and behaves like the shadows or references that an attack has learnt from.

An attack carries over from models that were trained as the subject was. Where these are more often right on what they
have seen, or less often on what they have not, no verdict stands on its figures, and the verdict itself says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mindleak.evaluation.intervals import difference_of_independent
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.sentences import percent

# By how much a subject's accuracy must be shown to lie beyond every other model's to be called unlike them.
THRESHOLD = 0.02

_PARTS = {"train": "accuracy on what it was trained on", "test": "accuracy on what it was not trained on",
          "gap": "gap between these accuracies"}


def caution(*sentences: str) -> str:
    """Return what is to be added to a verdict of these sentences, of which any may be empty."""
    return "".join(f" Caution: {sentence}" for sentence in sentences if sentence)


def unlike(subject: Mapping[str, Any] | None, others: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Return the sentence that tells of a subject unlike the other models; empty where they are alike.

    Unlike is a subject whose interval lies wholly more than ``THRESHOLD`` beyond every other model's accuracy, on one
    side of all. The gap is looked at where neither accuracy is unlike.

    Args:
        subject: its accuracies, ``attacks.membership.report.generalisation`` or ``train`` and ``test`` as metrics.
        others: the other models' accuracies, ``train`` and ``test`` as numbers or metrics.
        kind: what these are called, 'shadow' or 'reference'.

    Returns:
        It begins with "its".
    """
    if not subject or not others:
        return ""
    seen, unseen = _metric(subject, "train"), _metric(subject, "test")
    seens, unseens = ([_value(other[part]) for other in others] for part in ("train", "test"))
    said = [*_unlike("train", seen, seens, kind), *_unlike("test", unseen, unseens, kind)]
    if not said and seen is not None and unseen is not None:
        gaps = [one - other for one, other in zip(seens, unseens)]
        said = list(_unlike("gap", difference_of_independent(seen, unseen), gaps, kind))
    if not said:
        return ""
    return (f"its {', and its '.join(said)}. The attack has learnt from models unlike it, so its figures may "
            f"miss what better {kind}s would find, and are no all-clear.")


def learnt_nothing(subject: Mapping[str, Any] | None, commonest: float | None) -> str:
    """Return the sentence for a subject that is not shown to be better than naming the commonest class; else nothing.

    That is asked of what it was trained on.

    Args:
        subject: as of ``unlike``.
        commonest: the share of the commonest class there; None if it is not known.
    """
    seen = _metric(subject, "train") if subject else None
    if seen is None or seen.ci is None or commonest is None or seen.ci[0] > commonest:
        return ""
    return (f"the subject classifies {percent(seen.value)} ({percent(seen.ci[0])} to "
            f"{percent(seen.ci[1])}) of its own members rightly, not shown to be more than naming the commonest class "
            f"gives ({percent(commonest)}): it may have learnt nothing that could leak; train it longer.")


def _unlike(part: str, own: Metric | None, others: Sequence[float], kind: str) -> Iterator[str]:
    """Yield how one accuracy lies beyond all others, if it does."""
    if own is None or own.ci is None:
        return
    low, high = own.ci
    if any(map(math.isnan, others)):
        return
    above, below = low > max(others) + THRESHOLD, high < min(others) - THRESHOLD
    if above or below:
        yield (f"{_PARTS[part]} is {percent(own.value)} ({percent(low)} to {percent(high)}), more than "
               f"{100 * THRESHOLD:g} points {'above' if above else 'below'} every {kind}'s ({percent(min(others))} to "
               f"{percent(max(others))})")


def _metric(subject: Mapping[str, Any], part: str) -> Metric | None:
    """Return a subject's accuracy with its interval; None where it has none."""
    found = subject.get({"train": "seen", "test": "unseen"}[part], subject.get(part))
    return Metric.from_json(found) if isinstance(found, Mapping) and found.get("ci") else None


def _value(accuracy: Any) -> float:
    """Return an accuracy as a number, NaN where there is none: nothing lies beyond that."""
    value = accuracy["value"] if isinstance(accuracy, Mapping) else accuracy
    return math.nan if value is None else float(value)
