"""The ledger of deletions: when, which samples, which shards and slices, and the shards' digests before and after.

``deletions.json`` lies in the run directory, the row numbers of every request beside it in ``deletions/``. Every entry
carries the hash of the one before, so that none can be changed or left out without all that follow. Whoever can write
the file can compute the hashes anew: what proves an entry is training the recorded shards again and finding the
recorded digests (``mindleak delete --verify``). A shard's digest is that of its network's weights, or of a fitted model
and its answers (``ModelTask.fingerprint``).
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mindleak.audits.deletion.requests import rows_digest
from mindleak.audits.deletion.words import DONE
from mindleak.data.custom import read_rows
from mindleak.errors import InputError
from mindleak.files import read_text
from mindleak.runs.atomic import atomic_json, atomic_write_bytes
from mindleak.runs.digest import stable_hash

NAME, FOLDER = "deletions.json", "deletions"
SCHEMA = 2
BEGUN = "begun"


@dataclass(frozen=True)
class Entry:
    """One deletion.

    Attributes:
        number: from 1 on.
        when: local time of its beginning, with the zone.
        request: as the user wrote it.
        rows: file with the row numbers, from the run directory.
        rows_digest: SHA-256 of these.
        count: how many samples.
        copies: how many samples that stay are copies of deleted images.
        first_slices: by shard that held any, the first slice that did.
        before, after: SHA-256 of each shard; ``after`` is empty until all are retrained.
        sample_epochs: that the retraining took, and those of training all shards anew.
        seconds: of the retraining.
        state: ``begun`` until shards without the samples stand and those with them are removed.
        previous: hash of the entry before; of the ledger's head for the first.
    """

    number: int
    when: str
    request: str
    rows: str
    rows_digest: str
    count: int
    copies: int
    first_slices: dict[str, int]
    before: list[str]
    previous: str
    after: list[str] = field(default_factory=list)
    sample_epochs: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    state: str = BEGUN

    @property
    def hash(self) -> str:
        """SHA-256 of all of it."""
        return stable_hash(asdict(self))


@dataclass(frozen=True)
class Ledger:
    """All deletions from one model.

    Attributes:
        run_dir: where it lies.
        head: what the model is: subject, recipe, data, sharding, seed; plain values.
        initial: SHA-256 of each shard before any deletion.
        entries: the deletions, oldest first.
        call: names of the requests of the call that is not at its end, as it gave them; empty where there is none.
        left: those of them that are not met yet.
    """

    run_dir: Path
    head: dict[str, Any]
    initial: tuple[str, ...]
    entries: tuple[Entry, ...] = ()
    call: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.run_dir / NAME

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each shard as it is now."""
        done = [entry for entry in self.entries if entry.state == DONE]
        return list(done[-1].after if done else self.initial)

    @property
    def pending(self) -> Entry | None:
        """The deletion that was begun and not finished, if any."""
        return self.entries[-1] if self.entries and self.entries[-1].state == BEGUN else None

    @property
    def last_hash(self) -> str:
        """What the next entry names as the one before it."""
        return self.entries[-1].hash if self.entries else stable_hash([self.head, list(self.initial)])

    def deleted(self) -> np.ndarray:
        """Return the rows that were deleted, sorted int64 (n,)."""
        parts = [self.rows(entry) for entry in self.entries]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def rows(self, entry: Entry) -> np.ndarray:
        """Return the rows of an entry.

        Raises:
            InputError: their file is gone or altered.
        """
        path = self.run_dir / entry.rows
        rows = read_rows(path)
        if rows.dtype.kind not in "iu" or rows_digest(rows) != entry.rows_digest:
            raise InputError(f"'{path}' was altered: its rows are not those that deletion {entry.number} of "
                             f"'{self.path}' records")
        return rows.astype(np.int64)

    def begun(self, entry: Entry, rows: np.ndarray) -> Ledger:
        """Write down that a deletion has begun, its rows first; return the ledger with it."""
        (self.run_dir / FOLDER).mkdir(parents=True, exist_ok=True)
        memory = io.BytesIO()
        np.save(memory, rows, allow_pickle=False)
        atomic_write_bytes(self.run_dir / entry.rows, memory.getvalue())
        return replace(self, entries=(*self.entries, entry)).written()

    def finished(self, entry: Entry, name: str) -> Ledger:
        """Write down that the last deletion is done, and the request of that name met; return the ledger with it."""
        return replace(self, entries=(*self.entries[:-1], replace(entry, state=DONE)),
                       left=tuple(other for other in self.left if other != name)).written()

    def called(self, names: Sequence[str], left: Sequence[str]) -> Ledger:
        """Write down what a call asks for, and what of it is left; return the ledger with it."""
        return replace(self, call=tuple(names), left=tuple(left)).written()

    def written(self) -> Ledger:
        """Write the file whole, and return the ledger."""
        body = {"schema": SCHEMA, "head": self.head, "initial": list(self.initial),
                "entries": [asdict(entry) for entry in self.entries], "call": list(self.call), "left": list(self.left)}
        as_read_back = json.loads(json.dumps(body))
        atomic_json(self.path, {**as_read_back, "checksum": stable_hash(as_read_back)})
        return self


def read_ledger(run_dir: Path) -> Ledger | None:
    """Return the ledger of a run directory; None where there is none.

    Raises:
        InputError: it is damaged, of another version, or was altered.
    """
    path = run_dir / NAME
    if not path.exists():
        return None
    try:
        body = json.loads(read_text(path))
        if body["schema"] != SCHEMA:
            raise InputError(f"'{path}' has schema {body['schema']!r}; this version reads {SCHEMA}")
        if body.pop("checksum") != stable_hash(body):
            raise InputError(f"'{path}' was altered after it was written: its checksum does not fit")
        entries = tuple(Entry(**{**entry, "sample_epochs": tuple(entry["sample_epochs"])}) for entry in body["entries"])
        ledger = Ledger(run_dir, body["head"], tuple(body["initial"]), entries, tuple(body["call"]),
                        tuple(body["left"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
    _require_chain(ledger)
    return ledger


def ledger_results(run_dir: Path, subject: str) -> list[dict[str, Any]]:
    """Return what a report says of the ledger of a run directory, where it has one of this subject.

    Raises:
        InputError: it is damaged, of another version, or was altered.
    """
    ledger = read_ledger(run_dir)
    if ledger is None or ledger.head.get("subject") != subject:
        return []
    shown = ("number", "when", "request", "rows_digest", "count", "copies", "seconds", "state")
    entries = [{**{name: getattr(entry, name) for name in shown}, "shards": len(entry.first_slices),
                "sample_epochs": list(entry.sample_epochs)} for entry in ledger.entries]
    return [{"subject": subject, "ledger": {
        **{name: ledger.head[name] for name in ("shards", "slices", "samples")}, "entries": entries,
        "last_hash": ledger.last_hash}}]


def _require_chain(ledger: Ledger) -> None:
    """Raise InputError where an entry does not follow from the one before it, or its rows are not those recorded."""
    last, digests = replace(ledger, entries=()).last_hash, list(ledger.initial)
    gone = np.zeros(0, np.int64)
    for place, entry in enumerate(ledger.entries, 1):
        if entry.number != place or entry.previous != last or entry.before != digests:
            raise InputError(f"'{ledger.path}' was altered: deletion {place} does not follow from what is before it")
        rows = ledger.rows(entry)
        if len(rows) != entry.count or np.isin(rows, gone).any():
            raise InputError(f"'{ledger.path}' was altered: deletion {place} deletes other rows than it records, or "
                             "some that were deleted before")
        gone, last = np.concatenate([gone, rows]), entry.hash
        digests = entry.after if entry.state == DONE else digests
