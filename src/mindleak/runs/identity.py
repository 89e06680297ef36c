"""What a run is: the part of its configuration that may not change within it, kept in its ``identity.yaml``.

A run directory may be older than the program. Keys that it has never heard of had no value there and have their
defaults now; keys that nobody knows any more decide nothing now. Neither makes another run of it: whatever they
changed for a stage is in that stage's key, so it is computed again and the others are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mindleak.errors import InputError
from mindleak.files import read_text
from mindleak.yaml_text import parse_yaml

CONFIG_NAME = "config.yaml"
IDENTITY_NAME = "identity.yaml"

Key = tuple[str, ...]


class _Marker:
    """Stands for a value in comparisons and messages."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return self._shown


_ABSENT = _Marker("absent")
_GIVEN = _Marker("given")


def is_run(run_dir: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a run directory already, or holds a ``config.yaml`` that is not ours to replace."""
    return any((Path(run_dir) / name).exists() for name in (IDENTITY_NAME, CONFIG_NAME))


def is_older_run(run_dir: str | os.PathLike[str]) -> bool:
    """Return whether a folder is a run directory from before there was an ``identity.yaml``: it has finished stages."""
    folder = Path(run_dir)
    return (not (folder / IDENTITY_NAME).exists() and (folder / CONFIG_NAME).exists()
            and any((folder / "stages").glob("*/result.json")))


def saved_identity(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what may not change within a run.

    Raises :class:`InputError` when ``run_dir`` is no run directory or its ``identity.yaml`` cannot be read.
    """
    path = Path(run_dir) / IDENTITY_NAME
    try:
        config = parse_yaml(read_text(path), f"cannot read {path}")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{os.fspath(run_dir)} is no run directory: it has no {IDENTITY_NAME}; "
                         "give another --run_dir") from error
    except InputError as error:
        raise InputError(f"{error}; give another --run_dir") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cannot read {path}: {reason}; give another --run_dir") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no configuration; give another --run_dir")
    return config


def require_same(run_dir: Path, there: dict[str, Any], now: dict[str, Any],
                 defaults: Mapping[str, Any] | None = None) -> list[str]:
    """Refuse a run directory made with another configuration; return the keys in it that are not known any more.

    ``there`` is what the directory holds, ``now`` what is asked for, as nested dicts. ``defaults`` holds every key
    known; without it every key is, and none has a default. An empty section in it is an open one, whose keys cannot be
    listed: names of the user's (``subjects``), or the keys of another section, all optional (``membership.training``).
    There, absent is a value of its own. A key below it means the known key in which it ends:
    ``subjects.mine.training.epochs`` means ``training.epochs``.

    Raises:
        InputError: the first key that differs, with both values.
    """
    known = None if defaults is None else _Known(defaults)
    before, after = (dict(_leaves(config, (), known)) for config in (there, now))
    forgotten = []
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if repr(old) == repr(new):
            continue
        if known is not None and new is _ABSENT and known.has_lost(key, old):
            forgotten.append(".".join(key))
        elif known is None or old is not _ABSENT or not known.is_new_default(key, new, before):
            raise InputError(
                f"{run_dir} holds a run made with another configuration: {'.'.join(key)} is {old!r} there and "
                f"{new!r} now; give another --run_dir, or that value again"
            )
    return forgotten


class _Known:
    """The keys that this version knows, with their defaults."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        self._values = dict(_leaves(defaults, (), None))

    def is_open(self, key: Key) -> bool:
        """Return whether a section's keys are not listed in the defaults."""
        section: Any = self._defaults
        for part in key:
            section = section.get(part) if isinstance(section, Mapping) else None
        return isinstance(section, Mapping) and not section and bool(key)

    def _meant(self, key: Key) -> Key | None:
        """Return the key with a default that ``key`` is, or below an open section means; None where there is none."""
        if key in self._values:
            return key
        if not any(self.is_open(key[:count]) for count in range(1, len(key))):
            return None
        return next((key[start:] for start in range(1, len(key)) if key[start:] in self._values), None)

    def has_lost(self, key: Key, value: Any) -> bool:
        """Return whether a key of an earlier version is not known any more."""
        return value is not _GIVEN and self._meant(key) is None

    def is_new_default(self, key: Key, value: Any, before: Mapping[Key, Any]) -> bool:
        """Return whether a key that a run lacks was not known to it, and has its default now."""
        meant = self._meant(key)
        return meant is not None and meant not in before and repr(self._values[meant]) == repr(value)


def _leaves(section: Mapping[str, Any], prefix: Key, known: _Known | None) -> Iterator[tuple[Key, Any]]:
    """Yield every key with its value, and every name in an open section: one without settings is there all the same."""
    for key, value in section.items():
        path = (*prefix, str(key))
        if not isinstance(value, Mapping):
            yield path, value
            continue
        if known is None and not value:
            yield path, {}
        elif known is not None and known.is_open(prefix):
            yield path, _GIVEN
        yield from _leaves(value, path, known)
