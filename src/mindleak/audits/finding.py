"""A finding: one sentence or two with a verdict, and the metrics of the record that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

SHOWN, NOT_SHOWN, CANNOT_TELL = "shown", "not shown", "cannot tell"


@dataclass(frozen=True, eq=False)
class Finding:
    """What a report says of one question.

    Attributes:
        text: one sentence or two, whole without what stands around them.
        subject: id of the subject that it is about; None where it is about several, or about the run.
        verdict: ``SHOWN``, ``NOT_SHOWN`` or ``CANNOT_TELL``; None for a note that limits what other findings say.
        metrics: the very objects of the record that it rests on; ``pointers`` tells where they stand, and what stands
            nowhere, such as None, is left out.

    Example:
        >>> auc = {"value": 0.61, "ci": [0.58, 0.64]}
        >>> finding = Finding("Membership of net: AUC 0.610.", "net", SHOWN, (auc,))
        >>> finding.record("membership", "Who was in the training set?", pointers({"results": {"membership": [auc]}}))
        {'subject': 'net', 'family': 'membership', 'question': 'Who was in the training set?', 'verdict': 'shown', \
'text': 'Membership of net: AUC 0.610.', 'metrics': ['/results/membership/0']}
    """

    text: str
    subject: Optional[str] = None
    verdict: Optional[str] = None
    metrics: Sequence[Any] = ()

    def record(self, family: Optional[str], question: Optional[str], places: Mapping[int, str]) -> dict[str, Any]:
        """Return the finding as a plain value.

        Args:
            family: that has found it; None for the run as a whole.
            question: which the family answers.
            places: of the record's objects, as ``pointers`` returns them.
        """
        return {"subject": self.subject, "family": family, "question": question, "verdict": self.verdict,
                "text": self.text, "metrics": [places[id(metric)] for metric in self.metrics if id(metric) in places]}


def verdict(shown: bool | int) -> str:
    """Return ``SHOWN`` for what holds after correction, in whichever direction, and ``NOT_SHOWN`` for what does not."""
    return SHOWN if shown else NOT_SHOWN


def pointers(record: Mapping[str, Any]) -> dict[int, str]:
    """Return, by the identity of every object in a record, where it stands: a JSON pointer (RFC 6901)."""
    return dict(_walk(record, ""))


def _walk(value: Any, place: str) -> Iterator[tuple[int, str]]:
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        if isinstance(item, (Mapping, list)):
            here = f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield id(item), here
            yield from _walk(item, here)
