"""``mindleak delete``: train a model that samples can be deleted from, delete some, and verify what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.audits.deletion.exact import ExactDeletion
from mindleak.audits.deletion.ledger import Entry, Ledger
from mindleak.audits.deletion.requests import check_request, check_together, parse_request
from mindleak.errors import InputError
from mindleak.subjects.session import Session
from mindleak.subjects.subject import SubjectPlan, require_subjects, subject_plans


def run_delete(session: Session, requests: Sequence[str], verifies: bool) -> None:
    """Meet requests one after the other, or hold the ledger against the shards; without either, train the model.

    Raises:
        InputError: requests or settings that cannot work, or a ledger that is not as it should be.
    """
    asked = [parse_request(request) for request in requests]
    subject = _subject(session)
    for request in asked:
        check_request(request, len(subject.dataset.y_train), subject.dataset.class_names)
    check_together(asked, subject.dataset.y_train)
    deletion = ExactDeletion(subject)
    if verifies:
        found = deletion.verify()
        session.say(f"verified: {found.entries} deletions; {found.retrained} shards trained again without the deleted "
                    f"samples are the recorded ones, bit for bit; {found.read} shards in the run directory are the "
                    "recorded ones")
        session.say(f"last hash: {found.last_hash}")
        return
    call = deletion.begin(asked)
    if call.dropped:
        session.warn(f"an earlier call ended before it met {', '.join(call.dropped)}; give what of it still stands "
                     "again")
    if call.finished is not None:
        _say_entry(session, call.finished)
    for request in call.left:
        _say_entry(session, deletion.delete(request)[1])
    _say_state(session, deletion, deletion.opened())
    deletion.end()


def _subject(session: Session) -> SubjectPlan:
    """Return the one subject that the configuration describes, to be trained here."""
    plans = require_subjects(subject_plans(session), session.config)
    if len(plans) > 1:
        raise InputError(f"the configuration has {len(plans)} subjects ({', '.join(plan.name for plan in plans)}); "
                         "expected one to delete from")
    if plans[0].is_trained:
        raise InputError("a deletion trains its own networks; omit --ckpt")
    if session.device.world_size > 1:
        raise InputError(f"{session.device.world_size} processes would write one ledger; expected one process")
    return plans[0]


def _say_entry(session: Session, entry: Entry) -> None:
    """Say what a deletion took."""
    cost, full = entry.sample_epochs
    shards = ", ".join(f"{shard} from slice {step + 1}" for shard, step in list(entry.first_slices.items())[:8])
    more = f", and {len(entry.first_slices) - 8} more" if len(entry.first_slices) > 8 else ""
    session.say(f"deletion {entry.number}: {entry.count:,} samples by request '{entry.request}'")
    session.say(f"  retrained: shard {shards}{more}; {cost:,} sample-epochs in {entry.seconds:.1f} s, all anew would "
                f"be {full:,}" + (f" ({full / cost:.1f} times as many)" if cost else ""))
    if entry.copies:
        session.warn(f"{entry.copies:,} samples that stay are copies of deleted images; delete them too, or the model "
                     "still learns from these images")


def _say_state(session: Session, deletion: ExactDeletion, ledger: Ledger) -> None:
    """Say how the model does now, and where its ledger lies."""
    measured = deletion.test_accuracy(ledger)
    assert measured.ci is not None
    left = ledger.head["samples"] - len(ledger.deleted())
    session.say(f"{ledger.head['subject']}: {ledger.head['shards']} shards of {ledger.head['slices']} slices on "
                f"{left:,} samples; test accuracy {measured.value:.4f} ({measured.ci[0]:.4f} to {measured.ci[1]:.4f}, "
                f"n {measured.n})")
    session.say(f"ledger: {ledger.path}")
    session.say(f"last hash: {ledger.last_hash} (kept elsewhere, it shows later that no deletion was left out)")
