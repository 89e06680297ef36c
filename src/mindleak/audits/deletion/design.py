"""Who learns what in an audit of deletions, and what is deleted from whom.

There are retained samples, which all networks learn from, and a pool, of which each network learns from one half and
never sees the other. Its half is what is deleted from it; the other half are the never-seen samples, of the same
classes and the same split. Every sample of the pool was thus deleted from half of the networks and never seen by the
others, so that each network can be attacked with the rest as references, by whatever method all of them were deleted
from: per-sample U-LiRA (Hayes et al., arXiv 2403.01218).

What the pool is follows from the request: samples at random, two neighbouring groups, samples of one class, the samples
of a file, or those that an attack on other networks is surest of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mindleak.audits.deletion.requests import (
    CLASS,
    EXPOSED,
    FRACTION,
    GROUP,
    ROWS,
    Request,
    check_request,
    rows_of_file,
)
from mindleak.data.dataset import Dataset
from mindleak.data.samples import stratified
from mindleak.data.splits import apart, copied_images, deal, free_rows, halves
from mindleak.errors import InputError

# Spawn keys of the streams that draw for the request, for its validation, and for finding the most exposed.
_POOL, _VALIDATION, _SCOUTS = 0, 1, 2
# Fewer deleted samples of one class, of a file or of the most exposed ones have no area worth a word.
FEWEST = 5
NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Design:
    """One request of the audit: who is trained on what.

    Attributes:
        retained: rows that every network is trained on, sorted (R,).
        pool: rows of which each network is trained on half, sorted (P,).
        keep: bool (models, P), who is trained on which.
        shown: some of the retained rows, as many as are deleted, to be asked about.
        comparable: whether these differ from the never-seen rows in nothing but being trained on: where the pool was
            drawn like them, and not by class, by group, by exposure or by a user.
    """

    retained: np.ndarray
    pool: np.ndarray
    keep: np.ndarray
    shown: np.ndarray
    comparable: bool = True

    def forgotten(self, model: int) -> np.ndarray:
        """Return the rows that are deleted from a network."""
        return self.pool[self.keep[model]]

    def members(self, model: int) -> np.ndarray:
        """Return the rows that a network is trained on before the deletion."""
        return np.sort(np.concatenate([self.retained, self.forgotten(model)]))


@dataclass(frozen=True, eq=False)
class Dealer:
    """Deals the training split out for one request.

    Attributes:
        data: whose training split.
        request: what is deleted.
        members: rows that a network is trained on before the deletion.
        seed: of all that is drawn.
    """

    data: Dataset
    request: Request
    members: int
    seed: int

    @property
    def deleted(self) -> int:
        """How many rows are deleted from a network, as asked for; rows of odd classes and copies may make it fewer."""
        labels, value = self.data.y_train, self.request.value
        if self.request.kind == ROWS:
            return len(rows_of_file(self.request, len(labels))) // 2
        number = float(value)
        return {FRACTION: math.floor(number * self.members + 1e-9), GROUP: self.members // max(int(number), 1),
                CLASS: min(int((labels == number).sum()) // 2, self.members // self.data.num_classes),
                EXPOSED: int(number)}[self.request.kind]

    def check(self) -> None:
        """Raise InputError for a request that these data cannot meet, or that deletes too few to be measured."""
        check_request(self.request, len(self.data.y_train), self.data.class_names)
        deleted, rows = self.deleted, len(self.data.y_train)
        of_all = self.request.kind in (FRACTION, GROUP)
        if deleted < (self.data.num_classes if of_all else FEWEST):
            least = f"one of each of {self.data.num_classes} classes" if of_all else str(FEWEST)
            raise InputError(f"deletion.requests has '{self.request}', which deletes {deleted} of a network's "
                             f"{self.members} samples (deletion.members); expected at least {least}")
        if deleted >= self.members:
            raise InputError(f"deletion.members is {self.members}; expected more than the {deleted} samples that "
                             f"'{self.request}' deletes")
        if self.request.kind == EXPOSED and deleted > self.members // 3:
            # The ranking has two samples per member: a pool, and another for validation, must leave enough behind.
            raise InputError(f"deletion.requests has '{self.request}'; expected at most a third of a network's "
                             f"{self.members} samples (deletion.members)")
        if self.members + deleted > rows:
            raise InputError(f"deletion.members is {self.members}; with {deleted} never-seen samples beside them that "
                             f"is more than the {rows} of the training split")

    def scouts(self, models: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and who of so many networks is trained on which, for an attack that finds the most exposed.

        These networks serve for nothing else: samples that were chosen by how well a network is attacked would look
        exposed in that very network even where nothing leaks.

        Returns:
            (rows, keep): sorted int64 (N,), and bool (models, N).
        """
        rows, images = free_rows(self.data), copied_images(self.data)
        size = min(2 * self.members, len(rows))
        labels = self.data.y_train
        scouted = deal(labels, rows, {"scouted": size}, self._generator(_SCOUTS), images)["scouted"]
        return halves(labels, scouted, models, int(self._seed(_SCOUTS, 1).generate_state(1)[0]), images)

    def design(self, models: int, exposed: np.ndarray = NONE) -> Design:
        """Deal for the request.

        Args:
            models: how many networks.
            exposed: rows, the most exposed first; for a request of these.

        Raises:
            InputError: too few samples.
        """
        return self._dealt(self._pool(exposed, _POOL), models, NONE, _POOL)

    def validation(self, models: int, reported: Design, exposed: np.ndarray = NONE) -> Design:
        """Deal for another request of the kind, none of whose samples is among those of the reported pool.

        A request for a class becomes one for the next class, one for a file one for as many samples at random, and one
        for the most exposed samples one for those that come after them.

        Raises:
            InputError: too few samples beside the reported ones.
        """
        pool = self._pool(exposed, _VALIDATION, reported.pool)
        return self._dealt(pool, models, reported.pool, _VALIDATION)

    def _pool(self, exposed: np.ndarray, stream: int, away: np.ndarray = NONE) -> np.ndarray:
        """Return the rows of which half are deleted from each network."""
        labels, images, deleted = self.data.y_train, copied_images(self.data), self.deleted
        rows, generator, kind = apart(images, free_rows(self.data), away), self._generator(stream), self.request.kind
        if kind == ROWS and stream == _POOL:
            return rows_of_file(self.request, len(labels))
        if kind == EXPOSED and len(exposed):
            ranked: np.ndarray = exposed[np.isin(exposed, rows)][:2 * deleted]
            return ranked
        if kind == CLASS:
            number = (int(self.request.value) + stream) % self.data.num_classes
            of_class = rows[labels[rows] == number]
            return generator.permutation(of_class)[:2 * min(deleted, len(of_class) // 2)]
        if kind == GROUP:
            return self._neighbours(rows, generator)
        return deal(labels, rows, {"pool": 2 * deleted}, generator, images)["pool"]

    def _neighbours(self, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return two neighbouring groups, of which each network's half is one group of its own training rows."""
        count, size = int(self.request.value), self.deleted
        size_in_all = min(self.members + size, len(rows))
        sample = deal(self.data.y_train, rows, {"all": size_in_all}, generator, copied_images(self.data))["all"]
        start = min(int(generator.integers(count)) * size, len(sample) - 2 * size)
        neighbours: np.ndarray = sample[start:start + 2 * size]
        return neighbours

    def _dealt(self, given: np.ndarray, models: int, away: np.ndarray, stream: int) -> Design:
        """Deal the pool out to networks, and draw what all of them are trained on."""
        labels, images = self.data.y_train, copied_images(self.data)
        seed = int(self._seed(stream, 1).generate_state(1)[0])
        pool, keep = halves(labels, given, models, seed, images)
        deleted = int(keep[0].sum())
        if deleted < FEWEST:
            raise InputError(f"deletion.requests has '{self.request}', of which a network can learn {deleted} samples "
                             f"and never see as many of the same classes; expected at least {FEWEST}")
        rows = apart(images, free_rows(self.data), np.concatenate([given, away]))
        if self.request.kind == CLASS:
            rows = rows[~np.isin(labels[rows], labels[pool])]
        if self.request.kind == GROUP:
            # What stays must not lie between the neighbours.
            rows = rows[(rows < given.min()) | (rows > given.max())]
        wanted = self.members - deleted
        if wanted > len(rows) and stream == _POOL:
            raise InputError(f"deletion.members is {self.members}; beside the samples of '{self.request}' there are "
                             f"{len(rows)} to be retained; expected at most {len(rows) + deleted}")
        if wanted > 2 * len(rows):
            raise InputError(f"deletion.members is {self.members}; beside the samples of '{self.request}' and of the "
                             f"request that hyper-parameters are chosen on there are {len(rows)} to be retained; "
                             f"expected at most {2 * len(rows) + deleted}, or deletion.validation_models=0")
        sizes = {"retained": min(wanted, len(rows))}
        retained = deal(labels, rows, sizes, self._seed(stream, 2), images)["retained"]
        shown = np.sort(stratified(labels, retained, min(len(retained), deleted), seed))
        return Design(retained, pool, keep, shown, self.request.kind == FRACTION)

    def _seed(self, stream: int, *keys: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(stream, *keys))

    def _generator(self, stream: int, *keys: int) -> np.random.Generator:
        return np.random.default_rng(self._seed(stream, *keys))
