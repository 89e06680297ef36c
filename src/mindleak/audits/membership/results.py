"""What kinds of results membership inference has, and how a record tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindleak.evaluation.metric import Record

# Under the key "kind" of every result.
SHADOWS, REFERENCES, ABLATION, RNN_TUTORIAL = "shadows", "references", "ablation", "rnn_tutorial"


def of_kind(results: Sequence[Record], kind: str) -> list[Record]:
    """Return the results of one kind."""
    return [result for result in results if result["kind"] == kind]
