"""Exact deletion: a sharded model, its requests one after the other, and the ledger of them.

A deletion is written down before anything is trained, and as done once models without the samples stand and the stages
of those that saw them are gone from the run directory. A kill in between leaves it begun; the next call finishes it,
and the same call meets every one of its requests once.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mindleak.audits.deletion.ledger import Entry, Ledger, read_ledger
from mindleak.audits.deletion.requests import (
    ROWS,
    Present,
    Request,
    parse_request,
    requested_rows,
    rows_digest,
    rows_of_file,
)
from mindleak.audits.deletion.sharded import NONE, ShardedModel, ShardState
from mindleak.data.dataset import TEST, TRAINING
from mindleak.errors import InputError
from mindleak.evaluation.classification import accuracy
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.signals import phi
from mindleak.subjects.subject import SubjectPlan


@dataclass(frozen=True)
class Verified:
    """What a verification has found to be as recorded.

    Attributes:
        entries: deletions in the ledger.
        retrained: shards that were trained again from nothing, and ended as recorded.
        read: shards that are in the run directory as recorded.
        last_hash: of the last entry; who keeps it elsewhere can tell later that no entry was left out.
    """

    entries: int
    retrained: int
    read: int
    last_hash: str


@dataclass(frozen=True)
class Call:
    """What is left to be done for the requests of one call.

    Attributes:
        left: the requests that are not met yet.
        finished: the deletion that was begun before and finished now, if any.
        dropped: names of requests that an earlier call ended without meeting, killed or refused.
    """

    left: list[Request]
    finished: Entry | None
    dropped: list[str]


class ExactDeletion:
    """One sharded model and what has been deleted from it.

    Args:
        plan: of the model.

    Raises:
        InputError: a recipe or sharding that cannot work.
    """

    def __init__(self, plan: SubjectPlan) -> None:
        self._plan = plan
        self._labels = plan.dataset.y_train
        self.model = ShardedModel(plan, np.arange(len(self._labels)))
        self.model.check(NONE)

    def opened(self) -> Ledger:
        """Return the ledger, of a model that is trained now where there is none; a deletion that was begun is finished.

        Raises:
            InputError: the ledger is damaged, was altered, or is of another model.
        """
        ledger = read_ledger(self._plan.session.run_dir)
        if ledger is None:
            states = self.model.run(NONE)
            ledger = Ledger(self._plan.session.run.run_dir, self._head(),
                            tuple(state.digest for state in states)).written()
        self._require_same(ledger)
        return ledger if ledger.pending is None else self._finished(ledger)

    def begin(self, asked: Sequence[Request]) -> Call:
        """Write down the requests of a call, and finish what was begun before.

        The same call once more, after it was killed, has only those left that it had not met. Another one does not
        repeat the deletion that is finished for it.
        """
        names = {self._name(request): request for request in asked}
        before = read_ledger(self._plan.session.run_dir)
        pending = None if before is None else before.pending
        ledger = self.opened()
        finished = None if pending is None else ledger.entries[pending.number - 1]
        if ledger.call and ledger.call == tuple(names):
            return Call([names[name] for name in ledger.left], finished, [])
        made = None if pending is None else self._entry_name(pending)
        left = [name for name in names if name != made]
        dropped = [name for name in ledger.left if name not in names]
        ledger.called(list(names), left)
        return Call([names[name] for name in left], finished, dropped)

    def end(self) -> None:
        """Write down that a call has met all of its requests."""
        self.opened().called([], [])

    def _name(self, request: Request) -> str:
        """Return what tells a request from others; a file's rows count, since it may change."""
        if request.kind != ROWS:
            return str(request)
        return f"{request} {rows_digest(rows_of_file(request, len(self._labels)))}"

    def _entry_name(self, entry: Entry) -> str:
        """Return the name of the request that an entry met."""
        is_file = parse_request(entry.request).kind == ROWS
        return f"{entry.request} {entry.rows_digest}" if is_file else entry.request

    def delete(self, asked: Request) -> tuple[Ledger, Entry]:
        """Delete what a request names, and return the ledger and the entry of it.

        Raises:
            InputError: a request that cannot be met.
        """
        ledger = self._finished(self._begun(self.opened(), asked))
        return ledger, ledger.entries[-1]

    def test_accuracy(self, ledger: Ledger) -> Metric:
        """Return the accuracy of all shards together on the test split."""
        states = self.model.run(ledger.deleted())
        return accuracy(self.model.logits(states, TEST), self._plan.dataset.y_test)

    def verify(self) -> Verified:
        """Hold the ledger against the run directory, and against a training that never had the deleted samples.

        Every shard that a deletion touched is trained again in an empty directory, and must end as recorded. All
        others must be as they were before the first deletion.

        Raises:
            InputError: there is no ledger, or the first thing that is not as recorded.
        """
        ledger = read_ledger(self._plan.session.run_dir)
        if ledger is None:
            raise InputError(f"'{self._plan.session.run_dir}' has no ledger of deletions; expected the --run_dir of a "
                             "'mindleak delete'")
        self._require_same(ledger)
        if ledger.pending is not None:
            raise InputError(f"deletion {ledger.pending.number} of '{ledger.path}' was begun and not finished; the "
                             "same 'mindleak delete' goes on with it")
        deleted, touched = ledger.deleted(), self._require_touched(ledger)
        for number in range(self.model.sharding.shards):
            if number not in touched and ledger.digests[number] != ledger.initial[number]:
                raise InputError(f"'{ledger.path}': shard {number} is another than before, though no deletion touched "
                                 "it")
        for number in range(self.model.sharding.shards):
            self._require_found(ledger, number, deleted)
        for number in touched:
            self._require_equal(ledger, number, self._trained_anew(number, deleted), "trained again from nothing")
        return Verified(len(ledger.entries), len(touched), self.model.sharding.shards, ledger.last_hash)

    def _begun(self, ledger: Ledger, asked: Request) -> Ledger:
        """Draw what a request names and write down that its deletion has begun."""
        gone = ledger.deleted()
        number = len(ledger.entries) + 1
        present = Present(np.setdiff1d(np.arange(len(self._labels)), gone), self._labels,
                          self._plan.dataset.class_names)
        rows = requested_rows(asked, present, self._plan.session.seed("deletion", number),
                              lambda those: self._exposure(those, gone))
        after = np.concatenate([gone, rows])
        self.model.check(after)
        images = self._plan.dataset.copies.train
        staying = np.setdiff1d(present.rows, rows)
        first = {str(shard): step for shard, step in self.model.sharding.touched(rows).items()}
        return ledger.begun(Entry(
            number, datetime.now().astimezone().isoformat(timespec="seconds"), str(asked),
            f"deletions/{number:04d}.npy", rows_digest(rows), len(rows),
            int(np.isin(images[staying], images[rows]).sum()), first, ledger.digests, ledger.last_hash), rows)

    def _finished(self, ledger: Ledger) -> Ledger:
        """Train what the last entry touches, remove what saw its samples, and write down that it is done."""
        entry, deleted, sharding = ledger.entries[-1], ledger.deleted(), self.model.sharding
        started = time.perf_counter()
        states = self.model.run(deleted)
        seconds = time.perf_counter() - started
        # Another version of the code may have made an untouched shard again, to one that nobody recorded.
        for number, state in enumerate(states):
            if str(number) not in entry.first_slices:
                self._require_equal(ledger, number, state.digest, "which this deletion does not touch")
        for number in map(int, entry.first_slices):
            self._remove_others(number, states[number])
        cost = sum(sharding.cost(int(shard), step, deleted) for shard, step in entry.first_slices.items())
        return ledger.finished(dataclasses.replace(
            entry, after=[state.digest for state in states], seconds=round(seconds, 3),
            sample_epochs=(cost, sharding.total_cost(deleted))), self._entry_name(entry))

    def _remove_others(self, number: int, state: ShardState) -> None:
        """Remove every stage of a shard that is not one of those that stand: what it made saw deleted samples."""
        run = self._plan.session.run
        for step, result in enumerate(state.slices):
            run.remove_others(self.model.stage_name(number, step), result)

    def _exposure(self, rows: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """Return how sure an attack is of rows: φ by their own shard, less the mean φ of those that never saw them.

        With a single shard nobody never saw them, and φ stands alone.
        """
        logits = self.model.shard_logits(self.model.run(gone), TRAINING, rows)
        signals = np.stack([phi(each, self._labels[rows]) for each in logits])
        own = np.stack([np.isin(rows, self.model.sharding.rows(shard, self.model.sharding.slices, gone))
                        for shard in range(self.model.sharding.shards)])
        others = np.where(own, 0.0, signals).sum(axis=0) / np.maximum((~own).sum(axis=0), 1)
        return np.where(own, signals, 0.0).sum(axis=0) - others

    def _trained_anew(self, number: int, deleted: np.ndarray) -> str:
        """Return the digest of a shard that is trained without the deleted samples where nothing was trained before."""
        session = self._plan.session
        with tempfile.TemporaryDirectory(prefix="verify-", dir=session.run.run_dir) as folder:
            anew = dataclasses.replace(session, run_dir=Path(folder) / "run", ckpt_dir=Path(folder) / "ckpt",
                                       speaks=False)
            plan = dataclasses.replace(self._plan, session=anew)
            return ShardedModel(plan, np.arange(len(self._labels))).shard(number, deleted).digest

    def _head(self) -> dict[str, Any]:
        """Return what the ledger's model is."""
        plan, task = self._plan, self.model.first_task
        return {"subject": plan.name, "model": plan.model_label, "data": plan.dataset.digest,
                "seed": plan.session.config.seed, **task.made_by(), "shards": self.model.sharding.shards,
                "slices": self.model.sharding.slices, "samples": len(self._labels)}

    def _require_same(self, ledger: Ledger) -> None:
        """Raise InputError for a ledger of another model."""
        for key, value in self._head().items():
            if ledger.head.get(key) != value:
                raise InputError(f"'{ledger.path}' is of another model: its {key} is {ledger.head.get(key)!r}, this "
                                 f"one's {value!r}; give another --run_dir")

    def _require_touched(self, ledger: Ledger) -> list[int]:
        """Return the shards that any deletion touched; the recorded first slices must be those of the rows."""
        for entry in ledger.entries:
            found = {str(shard): step for shard, step in self.model.sharding.touched(ledger.rows(entry)).items()}
            if found != entry.first_slices:
                raise InputError(f"'{ledger.path}' was altered: deletion {entry.number} touches other shards or slices "
                                 "than it records")
        return sorted({int(shard) for entry in ledger.entries for shard in entry.first_slices})

    def _require_found(self, ledger: Ledger, number: int, deleted: np.ndarray) -> None:
        """Raise InputError where a shard in the run directory is not the recorded one, or lies there twice."""
        state = self.model.found(number, deleted)
        if state is None:
            raise InputError(f"'{ledger.path}': shard {number} as it is after {len(ledger.entries)} deletions is not "
                             f"in {ledger.run_dir}, or was made by another version of mindleak")
        self._require_equal(ledger, number, state.digest, "in the run directory")
        for step, result in enumerate(state.slices):
            left = self._plan.session.run.others(self.model.stage_name(number, step), result)
            if left:
                raise InputError(f"'{left[0]}' holds shard {number} from before a deletion, or after one that the "
                                 "ledger does not have")

    @staticmethod
    def _require_equal(ledger: Ledger, number: int, digest: str, where: str) -> None:
        if digest != ledger.digests[number]:
            raise InputError(f"'{ledger.path}': shard {number}, {where}, has the digest {digest[:12]}…; the ledger "
                             f"records {ledger.digests[number][:12]}…")
