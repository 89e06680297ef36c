"""Configuration keys in messages, as the user would have to write them.

The rooms below know of ``training`` and ``suppress`` only. The same settings also stand under ``judge``,
``membership.training``, ``subjects.NAME.training`` and ``sweep.variants.NAME.training``, and a message must name the
key that is to be changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mindleak.errors import InputError

JUDGE, MEMBERSHIP = "judge", "membership"
_KEY = re.compile(r"(?<![\w.])(training|suppress|dp|prune)\.(\w+)")


@dataclass(frozen=True)
class KeyNames:
    """Where the settings of one training come from.

    Attributes:
        config: what the subject's configuration has, common and own settings merged.
        subject: name of the subject, or of the sweep's variant, and
        own: what ``subjects``, or ``sweep.variants``, gives for it alone.
        section: ``judge``, ``membership``, or nothing for a headline subject.
        among: which of these two it is named in.
    """

    config: Mapping[str, Any]
    subject: str
    own: Mapping[str, Any]
    section: str = ""
    among: str = "subjects"

    def name(self, part: str, key: str) -> str:
        """Return the key that sets ``part.key`` for this training."""
        if self.section == JUDGE:
            return f"judge.{key}" if part == "training" and key in self.config["judge"] else f"{part}.{key}"
        path = [part, key]
        if self.section == MEMBERSHIP and key in self.config["membership"][part]:
            path = ["membership", part, key]
        return ".".join([self.among, self.subject, *path] if _has(self.own, path) else path)

    @contextmanager
    def in_messages(self) -> Iterator[None]:
        """Give the keys in an InputError from within their right names."""
        try:
            yield
        except InputError as error:
            message = _KEY.sub(lambda match: self.name(match[1], match[2]), str(error))
            if self.section == JUDGE and "judge." not in message:
                message = f"judge.model: {message}"
            raise InputError(message) from error


def _has(section: Any, path: list[str]) -> bool:
    """Return whether nested mappings have a value at a path."""
    for part in path:
        if not isinstance(section, Mapping) or part not in section:
            return False
        section = section[part]
    return True
