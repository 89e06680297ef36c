"""A deletion audit as plain text for a terminal: one line per method, the full retraining first."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.audits.deletion.words import METHOD_NAMES, audited, ledger_words, recorded, request_words
from mindleak.evaluation.metric import Record
from mindleak.reporting.text import plain
from mindleak.reporting.wording import percent

_COLUMNS = (("test acc.", "accuracy/test"), ("loss", "auc/loss"), ("U-LiRA", "auc/u_lira"),
            ("both", "auc/two_models"))


def deletion_lines(results: Sequence[Record]) -> list[str]:
    """Return a block per request: accuracy, the attacks' areas, and the cost as a share of a full retraining's."""
    lines: list[str] = []
    for result in audited(results):
        head = ["method", *(title for title, _ in _COLUMNS), "cost"]
        full = next(entry["sample_epochs"] for entry in result["methods"] if entry["method"] == "full")
        rows = [head, *([METHOD_NAMES[entry["method"]],
                         *(plain(key.partition("/")[0], entry["measures"].get(key)) for _, key in _COLUMNS),
                         percent(entry["sample_epochs"] / full)] for entry in result["methods"])]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines.append(f"{result['subject']}, {request_words(result['request'])}: means over {result['models']} "
                     "networks, AUC of deleted samples")
        lines += [("  " + "  ".join([row[0].ljust(widths[0]), *(value.rjust(width) for value, width
                                                              in zip(row[1:], widths[1:]))])).rstrip() for row in rows]
    for result in recorded(results):
        ledger = result["ledger"]
        lines.append(f"{result['subject']}: {ledger_words(ledger)}; last hash {ledger['last_hash'][:16]}…")
    return lines
