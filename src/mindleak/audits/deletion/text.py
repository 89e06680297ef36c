"""A deletion audit as plain text for a terminal: one line per method, the full retraining first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mindleak.audits.deletion.words import (
    LOSS,
    METHOD_NAMES,
    TWO_MODELS,
    U_LIRA,
    audited,
    ledger_words,
    recorded,
    request_words,
)
from mindleak.audits.questions import known_interval
from mindleak.evaluation.metric import Record
from mindleak.reporting.text import plain
from mindleak.reporting.wording import DASH, percent

_COLUMNS = (("test acc.", "accuracy/test"), ("loss", LOSS), ("U-LiRA, 95 %", U_LIRA), ("both", TWO_MODELS))


def deletion_lines(results: Sequence[Record]) -> list[str]:
    """Return a block per request: accuracy, the attacks' areas, and the cost as a share of a full retraining's."""
    lines: list[str] = []
    for result in audited(results):
        head = ["method", *(title for title, _ in _COLUMNS), "cost/full"]
        full = next(entry["sample_epochs"] for entry in result["methods"] if entry["method"] == "full")
        rows = [head, *([METHOD_NAMES[entry["method"]],
                         *(_written(key, entry["measures"].get(key)) for _, key in _COLUMNS),
                         percent(entry["sample_epochs"] / full, 1)] for entry in result["methods"])]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines.append(f"{result['subject']}, {request_words(result['request'])}: AUC of deleted samples, means "
                     f"over {result['models']} networks")
        lines += [("  " + "  ".join([row[0].ljust(widths[0]), *(value.rjust(width) for value, width
                                                              in zip(row[1:], widths[1:]))])).rstrip() for row in rows]
    for result in recorded(results):
        ledger = result["ledger"]
        lines.append(f"{result['subject']}: {ledger_words(ledger)}; last hash {ledger['last_hash'][:16]}…")
    return lines


def _written(key: str, metric: Optional[Record]) -> str:
    """Write a metric; the area that verdicts rest on with its interval."""
    value, interval = plain(key.partition("/")[0], metric), known_interval(metric or {})
    return value if key != U_LIRA or interval is None else f"{value} ({interval[0]:.3f}{DASH}{interval[1]:.3f})"
