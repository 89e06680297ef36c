"""The one exception that means "the user's input is at fault", and the wording helpers around it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


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


def known_names(names: Sequence[str], known: Sequence[str], key: str) -> tuple[str, ...]:
    """Return the names given under a configuration key, each once, in the order given.

    Raises:
        InputError: none at all, or one that is not ``known``; the message names the key and the nearest known name.
    """
    if not names:
        raise InputError(f"{key} is empty; expected any of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise InputError(f"{key}: '{name}' is unknown{nearest(name, known)}")
    return tuple(dict.fromkeys(names))


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text that says something, with the exception's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
