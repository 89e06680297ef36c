"""Deletion requests: which samples must be forgotten.

A request is written as a fraction of the training data (``0.05``), ``class:3``, ``group:20`` (the data in 20 groups of
neighbouring rows, of which one is drawn, as a public RNN tutorial does), ``exposed:100`` (those that a membership
attack is surest of), or the path of a ``.npy`` file with row numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindleak.data.custom import read_rows
from mindleak.data.splits import check_rows
from mindleak.errors import InputError, nearest
from mindleak.runs.digest import stable_hash

FRACTION, CLASS, GROUP, EXPOSED, ROWS = "fraction", "class", "group", "exposed", "rows"
COUNTED = (CLASS, GROUP, EXPOSED)
EXPECTED = "expected a fraction such as 0.05, class:3, group:20, exposed:100, or the path of a .npy file of row numbers"

# Returns, for rows of the training split (n,), how sure an attack is that the model was trained on each, (n,).
Exposure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Request:
    """What a user asks to be deleted.

    Attributes:
        kind: ``fraction``, ``class``, ``group``, ``exposed`` or ``rows``.
        value: the fraction, the number behind the colon, or the path.
    """

    kind: str
    value: float | str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.kind in COUNTED else str(self.value)


@dataclass(frozen=True)
class Present:
    """The samples that a model is trained on.

    Attributes:
        rows: of the training split, sorted int64 (n,).
        labels: of the whole training split, (N,).
        class_names: of the data set.
    """

    rows: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def parse_request(given: object) -> Request:
    """Return the request that a text or a number stands for.

    Raises:
        InputError: it stands for none, or for a fraction or number out of range.

    Example:
        >>> parse_request("class:3")
        Request(kind='class', value=3)
    """
    text = str(given).strip()
    kind, colon, number = text.partition(":")
    if colon and "/" not in kind and not text.endswith(".npy"):
        if kind not in COUNTED:
            raise InputError(f"request '{text}': '{kind}' is unknown{nearest(kind, COUNTED)}")
        least = {CLASS: 0, GROUP: 2, EXPOSED: 1}[kind]
        if not number.strip().isdecimal() or int(number) < least:
            raise InputError(f"request '{text}': '{number}' is no number; expected {kind}:N with N from {least} on")
        return Request(kind, int(number))
    try:
        fraction = float(text)
    except ValueError:
        if text.endswith(".npy"):
            return Request(ROWS, text)
        raise InputError(f"request '{text}' is unknown; {EXPECTED}") from None
    if not 0 < fraction < 1:
        raise InputError(f"request '{text}': {fraction:g} is no fraction of the data to delete; expected a number "
                         "between 0 and 1, both excluded")
    return Request(FRACTION, fraction)


def check_request(request: Request, samples: int, class_names: tuple[str, ...]) -> None:
    """Raise InputError for what of a request can be known to fail before anything is trained.

    Args:
        request: what is asked for.
        samples: of the training split.
        class_names: of the data set.
    """
    if request.kind == ROWS:
        rows_of_file(request, samples)
    elif request.kind == CLASS:
        _class(int(request.value), class_names)


def check_together(requests: Sequence[Request], labels: np.ndarray) -> None:
    """Raise InputError where one request deletes what another deletes, too, as far as that is known beforehand.

    The same request twice is refused as well: after a kill nobody could tell which of them was met.

    Args:
        requests: to be met one after the other.
        labels: of the whole training split, (N,).
    """
    gone: dict[str, np.ndarray] = {}
    for place, request in enumerate(requests):
        if request in requests[:place]:
            raise InputError(f"request '{request}' is asked for twice; expected different ones, or a call for each")
        if request.kind not in (CLASS, ROWS):
            continue
        rows = (np.flatnonzero(labels == request.value) if request.kind == CLASS
                else rows_of_file(request, len(labels)))
        for other, before in gone.items():
            both = np.intersect1d(rows, before)
            if len(both):
                raise InputError(f"requests '{other}' and '{request}' both delete row {both[0]}; expected every sample "
                                 "once")
        gone[str(request)] = rows


def requested_rows(request: Request, present: Present, seed: int, exposure: Exposure | None = None) -> np.ndarray:
    """Return the rows of the training split that a request names, sorted int64 (n,).

    Args:
        request: what is asked for.
        present: what the model is trained on.
        seed: of what is drawn at random.
        exposure: how sure an attack is of rows; for ``exposed`` alone.

    Raises:
        InputError: rows that the model is not trained on or that are listed twice, no row at all, or all of a class.
    """
    generator = np.random.default_rng(seed)
    rows, labels = present.rows, present.labels
    if request.kind == FRACTION:
        # As many as the tutorial's int(len(dataset) * percentage), whatever the binary fraction is.
        count = math.floor(float(request.value) * len(rows) + 1e-9)
        found = generator.permutation(rows)[:count]
    elif request.kind == CLASS:
        found = rows[labels[rows] == _class(int(request.value), present.class_names)]
    elif request.kind == GROUP:
        found = _group(int(request.value), rows, generator)
    elif request.kind == EXPOSED:
        assert exposure is not None
        found = rows[np.argsort(-exposure(rows), kind="stable")[:int(request.value)]]
    else:
        found = rows_of_file(request, len(labels))
    _require_present(request, found, present)
    return np.sort(found).astype(np.int64)


def rows_digest(rows: np.ndarray) -> str:
    """Return the SHA-256 by which a request's rows are recorded."""
    return stable_hash(np.sort(rows).astype(np.int64))


def rows_of_file(request: Request, samples: int) -> np.ndarray:
    """Return the rows of a request's file, sorted int64.

    Raises:
        InputError: no file of distinct row numbers of the training split, which has so many samples.
    """
    path = Path(str(request.value))
    return check_rows(read_rows(path), samples, f"request '{path}'")


def _class(number: int, class_names: tuple[str, ...]) -> int:
    """Return the number of a class that the data set has."""
    if number >= len(class_names):
        raise InputError(f"request 'class:{number}': the data have {len(class_names)} classes; expected 0 to "
                         f"{len(class_names) - 1}")
    return number


def _group(count: int, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one of ``count`` groups of neighbouring rows; what does not divide is in none, as in the tutorial.

    There, row i belongs to group i // (n // count), so that up to count - 1 last rows make a group of their own that is
    never drawn.
    """
    size = len(rows) // count
    if size == 0:
        raise InputError(f"request 'group:{count}': {len(rows)} samples make no {count} groups; expected at most "
                         f"{len(rows)}")
    drawn = int(generator.integers(count))
    return rows[drawn * size:(drawn + 1) * size]


def _require_present(request: Request, found: np.ndarray, present: Present) -> None:
    """Refuse rows that are not there to be deleted, and deletions that leave nothing to learn a class from.

    Raises:
        InputError: the message names the request.
    """
    if len(found) == 0:
        raise InputError(f"request '{request}' names no sample; the model is trained on {len(present.rows):,}")
    missing = np.setdiff1d(found, present.rows)
    if len(missing):
        raise InputError(f"request '{request}': row {missing[0]} is not among the {len(present.rows):,} samples that "
                         "the model is trained on; it was deleted before, or never was")
    labels = present.labels
    left = np.setdiff1d(present.rows, found)
    for label in np.setdiff1d(labels[found], labels[left]):
        if request.kind == FRACTION:
            raise InputError(f"request '{request}' leaves no sample of class {label}; expected a smaller fraction")
        if request.kind != CLASS:
            raise InputError(f"request '{request}' names all samples of class {label}; to delete a whole class ask for "
                             f"'class:{label}'")
    if len(np.unique(labels[left])) < 2:
        raise InputError(f"request '{request}' leaves {len(np.unique(labels[left]))} class(es); a classifier needs two")
