"""The one exception that means "the user's input is at fault", and the wording helpers around it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave is wrong; ends a command with exit code 2 and this one line on stderr.

    The message names what is wrong, where, and what would be right.
    """


def nearest(name: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``known``, or a list when none is close.

    The list is ``known``, or ``listed`` where that would be too long.
    """
    candidates = sorted(known)
    match = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if match:
        return f"; did you mean '{match[0]}'?"
    return f"; known: {', '.join(candidates if listed is None else sorted(listed))}"
