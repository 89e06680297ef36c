"""Who was called a member, counted by who is one: the four numbers behind every rate at a fixed threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Decisions(NamedTuple):
    """Counts of an attack's decisions.

    Attributes:
        hits: members that are called members, of ``n_in``.
        alarms: non-members that are called members, of ``n_out``.
    """

    hits: int
    n_in: int
    alarms: int
    n_out: int


def decisions(called: NDArray[np.bool_], members: NDArray[np.bool_]) -> Decisions:
    """Count who is called a member against who is one, both booleans of shape (N,)."""
    hits, n_in = int(np.count_nonzero(called & members)), int(np.count_nonzero(members))
    return Decisions(hits, n_in, int(np.count_nonzero(called)) - hits, members.size - n_in)
