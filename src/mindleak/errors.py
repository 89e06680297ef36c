"""The one exception that means "the user's input is at fault", and the wording helpers around it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager


class Key(str):
    """A configuration key in a message, as the room that raises it knows it: ``training.epochs``.

    Whoever knows under which full key the setting stands renames it (``keys_renamed``).
    """


class InputError(Exception):
    """Something the user gave is wrong; ends a command with exit code 2 and this one line on stderr.

    The message names what is wrong, where, and what would be right.

    Args:
        parts: the message, in one piece or, where it names keys that stand elsewhere in the user's configuration, in
            several: ``InputError(Key("training.epochs"), " is 0; expected at least 1")``.
    """

    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))
        self.parts = parts

    @property
    def fields(self) -> list[Key]:
        """The keys that the message names and that nobody has renamed yet."""
        return [part for part in self.parts if isinstance(part, Key)]

    def renamed(self, full: Callable[[Key], str]) -> InputError:
        """Return the same error with ``full(key)`` for each of its keys; only a ``Key`` can be renamed again."""
        return type(self)(*(full(part) if isinstance(part, Key) else part for part in self.parts))


class NotFiniteError(InputError):
    """Weights, losses or answers of a network are infinite or no numbers; other settings may do better."""


@contextmanager
def keys_renamed(full: Callable[[Key], str]) -> Iterator[None]:
    """Raise an InputError from within with ``full(key)`` for each of its keys."""
    try:
        yield
    except InputError as error:
        raise error.renamed(full) from error


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return what of ``known`` is most like a name; None where nothing is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


def nearest(name: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``known``, or a list when none is close.

    The list is ``known``, or ``listed`` where that would be too long.
    """
    candidates = sorted(known)
    match = closest(name, candidates)
    if match is not None:
        return f"; did you mean '{match}'?"
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
