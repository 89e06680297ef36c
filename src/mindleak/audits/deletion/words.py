"""What methods and measures of a deletion audit are called on the page and in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindleak.audits.deletion.requests import CLASS, EXPOSED, FRACTION, GROUP, parse_request
from mindleak.evaluation.metric import Record

# Networks and ways to retrain them, as the record calls them.
BEFORE, FULL, NEVER, DROP_GROUP = "before", "full", "never", "drop_group"
SHARDED_BEFORE, SHARDED = "sharded_before", "sharded"
# Areas under the ROC curve of deleted against never-seen samples.
LOSS, U_LIRA, TWO_MODELS = "auc/loss", "auc/u_lira", "auc/two_models"
METHOD_NAMES = {
    "before": "before the deletion", "full": "full retraining", "never": "never saw them (control)",
    "sharded_before": "shards before the deletion",
    "drop_group": "dropping a group at random",
    "sharded": "sharded retraining", "fine_tune": "fine-tuning on the rest", "gradient_ascent": "gradient ascent",
    "random_labels": "random labels", "bad_teacher": "bad teacher", "ssd": "selective synaptic dampening",
    "scrub": "SCRUB", "sparse_fine_tune": "pruning, then fine-tuning",
    "suppress_fine_tune": "suppression, then fine-tuning",
}
# What methods are held against, and are none themselves.
CONTROLS = (BEFORE, NEVER, SHARDED_BEFORE)
# What a ledger says of a deletion whose shards are retrained.
DONE = "done"
COLUMNS = {
    "accuracy/test": "Test accuracy", "accuracy/retained": "Accuracy, retained",
    "accuracy/forgotten": "Accuracy, deleted",
    "accuracy/never_seen": "Accuracy, never seen",
    "balanced_accuracy/retained": "Success by the loss, retained",
}
ATTACKS = {
    "balanced_accuracy/forgotten": "Success by the loss", "auc/loss": "AUC, loss alone", "auc/u_lira": "AUC, U-LiRA",
    "excess@0.01/u_lira": "TPR − FPR at 1 %, U-LiRA", "auc/two_models": "AUC, both models",
    "change/phi": "Fall of φ beyond never-seen samples', nats",
    "auc/retained": "AUC, retained against never seen",
}


def request_words(written: str) -> str:
    """Return what a request deletes, in a few words.

    Example:
        >>> request_words("0.05"), request_words("class:3"), request_words("exposed:100")
        ('5 % deleted', 'class 3 deleted', '100 of the 200 most exposed samples deleted')
    """
    request = parse_request(written)
    value = request.value
    if request.kind == FRACTION:
        return f"{100 * float(value):g} % deleted"
    if request.kind == EXPOSED:
        return f"{value} of the {2 * int(value)} most exposed samples deleted"
    named = {CLASS: f"class {value}", GROUP: f"one of {value} groups"}
    return f"{named.get(request.kind, f'samples of {Path(str(value)).name}')} deleted"


def audited(results: Sequence[Record]) -> list[Record]:
    """Return those results that are of a request."""
    return [result for result in results if "ledger" not in result]


def recorded(results: Sequence[Record]) -> list[Record]:
    """Return those results that are the ledger of a run directory."""
    return [result for result in results if "ledger" in result]


def ledger_words(ledger: Record) -> str:
    """Say what a ledger records."""
    done = [entry for entry in ledger["entries"] if entry["state"] == DONE]
    gone, begun = sum(entry["count"] for entry in done), len(ledger["entries"]) - len(done)
    return (f"the ledger records {counted(len(done), 'deletion')}, {gone:,} of {ledger['samples']:,} samples in all"
            + (f", and {begun} that was begun and is not finished" if begun else ""))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: one deletion, two deletions."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
