"""Configuration keys in messages, as the user would have to write them.

The rooms below know of ``training`` and ``suppress`` only, and raise errors with such a ``Key``. The same settings also
stand under ``judge``, ``membership.training``, ``subjects.NAME.training`` and ``sweep.variants.NAME.training``, and a
message must name the key that is to be changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mindleak.errors import InputError, Key


@dataclass(frozen=True)
class KeyNames:
    """Where the settings of one training come from.

    Attributes:
        config: what the subject's configuration has, common and own settings merged.
        place: where the subject's own settings stand: ``subjects.NAME`` or ``sweep.variants.NAME``, and
        own: what is set there.
        section: the section that sets the training again (``membership``) or has one of its own (``judge``); empty for
            a headline subject.
        about: the key that an error is about which names none; empty: it stays as it is.
    """

    config: Mapping[str, Any]
    place: str
    own: Mapping[str, Any]
    section: str = ""
    about: str = ""

    def full(self, key: Key) -> str:
        """Return the key that sets ``key``, such as ``training.epochs``, for this training."""
        part, _, name = key.rpartition(".")
        section = self.config[self.section] if self.section else {}
        path = [part, name]
        if name in section.get(part, {}):
            path = [self.section, part, name]
        elif part == "training" and part not in section and name in section:
            path = [self.section, name]
        return ".".join([self.place, *path] if _has(self.own, path) else path)

    @contextmanager
    def in_messages(self) -> Iterator[None]:
        """Give the keys in an InputError from within their full names."""
        try:
            yield
        except InputError as error:
            renamed = error.renamed(self.full)
            if self.about and not error.fields:
                renamed = InputError(f"{self.about}: ", *renamed.parts)
            raise renamed from error


def _has(section: Any, path: list[str]) -> bool:
    """Return whether nested mappings have a value at a path."""
    for part in path:
        if not isinstance(section, Mapping) or part not in section:
            return False
        section = section[part]
    return True
