"""Membership attacks on the same samples of one subject, one against each of some others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindleak.evaluation.metric import Record
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc

_OF_REFERENCES = "scores_"


def compared(own: Record, others: Sequence[Record], run_dir: Path) -> list[dict[str, Any]]:
    """Return AUCs of an attack and of another on the samples that both have scored, and their difference.

    Args:
        own: the record of one attack on a subject, by shadows or the RNN tutorial's.
        others: results of attacks by shadows and by references on the same subject.
        run_dir: what the records' ``arrays`` are relative to.

    Returns:
        One record per other attack: ``attack``, ``n_in``, ``n_out``, metrics ``auc``, ``own_auc`` and
        ``difference`` (the other's less ``own``'s, DeLong's paired interval).
    """
    with np.load(run_dir / own["arrays"], allow_pickle=False) as arrays:
        rows, members, scores = arrays["rows"], arrays["members"], arrays["scores"]
    found = []
    for record in others:
        for attack, other_rows, other_scores in _scores(record, run_dir):
            _, here, there = np.intersect1d(rows, other_rows, assume_unique=True, return_indices=True)
            known = np.isfinite(scores[here]) & np.isfinite(other_scores[there])
            first, second, truth = scores[here][known], other_scores[there][known], members[here][known]
            found.append({"attack": attack, "n_in": int(truth.sum()), "n_out": int((~truth).sum()),
                          "auc": auc(second, truth).to_json(), "own_auc": auc(first, truth).to_json(),
                          "difference": auc_difference(first, second, truth).to_json()})
    return found


def _scores(record: Record, run_dir: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, rows and scores of every attack of a record, whichever of the two kinds it is."""
    with np.load(run_dir / record["arrays"], allow_pickle=False) as arrays:
        if "scores" in arrays.files:
            yield record["attack"], arrays["rows"], arrays["scores"]
        for attack in (each["attack"] for each in record.get("attacks", [])):
            yield attack, arrays["rows"], arrays[f"{_OF_REFERENCES}{attack}"]
