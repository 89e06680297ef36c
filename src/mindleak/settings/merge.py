"""The configuration: defaults < YAML file < command line, every key known and of the right type.

A run directory keeps the merged result.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from easydict import EasyDict

from mindleak.errors import InputError, closest, nearest
from mindleak.files import open_plain
from mindleak.settings.contradictions import check_merged, check_reach
from mindleak.settings.fields import Named, Overrides, Setting
from mindleak.settings.schema import SCHEMA, Schema, value_at
from mindleak.settings.values import checked
from mindleak.yaml_text import parse_yaml

_LARGEST_FILE = 256 * 1024

# Keys of earlier versions that go by another name now.
RENAMED = {"membership.document": "membership.rnn_tutorial"}


def load(path: str | None, assignments: Sequence[str] = (), schema: Schema = SCHEMA) -> EasyDict:
    """Return the merged configuration.

    Args:
        path: a YAML file, or None for the defaults alone.
        assignments: ``key.path=value`` from the command line; values are read as YAML. They win over the
            file, also over what ``subjects`` sets for itself.
        schema: which keys there are.

    Raises:
        InputError: unreadable file, unknown key (the nearest known one is named), a value of the wrong type or out of
            its range, or keys that contradict each other.
    """
    merging = _Merging(schema)
    merged = copy.deepcopy(schema.defaults)
    merging.merge(merged, {} if path is None else _read_yaml(path), f"in '{path}'")
    overrides = merging.command_line(assignments)
    check_reach(schema, merged, overrides)
    deep_update(merged, overrides)
    if path is not None and merged["name"] is None:
        merged["name"] = Path(path).stem
    for place in schema.named:
        common = {key: overrides[key] for key in schema.named_sections(place) if key in overrides}
        for own in value_at(merged, place).values():
            _drop(own, common)
        deep_update(value_at(merged, place), value_at(overrides, place))
    check_merged(schema, merged)
    return EasyDict(merged)


def option_keys(schema: Schema = SCHEMA) -> dict[str, str]:
    """Return, for the last part of every key, the first full path that ends in it: epochs → training.epochs."""
    paths: dict[str, str] = {}
    for path in schema.declared:
        paths.setdefault(path.rpartition(".")[2], path)
    return paths


def unknown_key(schema: Schema, key: str, prefix: str = "", shown: str = "") -> str:
    """Name what could have been meant by an unknown key: in its section, else anywhere, else what there is.

    Args:
        schema: which keys there are.
        key: the key.
        prefix: the section that has it, with a dot behind it, or nothing for the top.
        shown: the same as the user writes it, with which the keys of the section are named.
    """
    if f"{prefix}{key}" in RENAMED:
        return f"; it is called '{RENAMED[f'{prefix}{key}']}'"
    elsewhere = option_keys(schema).get(key)
    if elsewhere is not None:
        return f"; did you mean '{elsewhere}'?"
    # Compared as they are declared: behind a long name of the user's, which all would share, anything would be near.
    match = closest(f"{prefix}{key}", [path for path in schema.declared if path.startswith(prefix)])
    if match is not None:
        return f"; did you mean '{shown}{match[len(prefix):]}'?"
    return f"; known: {', '.join(sorted(schema.keys(prefix)))}"


def deep_update(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Update nested dicts in place."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            deep_update(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


class _Merging:
    """Takes up values into a configuration, refusing unknown keys and wrong types."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def command_line(self, assignments: Sequence[str]) -> dict[str, Any]:
        """Return what the command line sets, refusing one key set to two values."""
        overrides: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for assignment in assignments:
            one: dict[str, Any] = {}
            self.merge(one, _parse_assignment(assignment), "on the command line")
            for key, value in _values(one):
                # Compared as text: not a number is not equal to itself.
                if repr(given.setdefault(key, value)) != repr(value):
                    raise InputError(f"the command line sets '{key}' twice, to {given[key]!r} and to {value!r}")
            deep_update(overrides, one)
        return overrides

    def merge(self, target: dict[str, Any], values: Mapping[str, Any], where: str, prefix: str = "",
              shown: str = "") -> None:
        """Set ``values`` into ``target``, whole or partial.

        ``prefix`` is the section that ``target`` stands for, with a dot behind it, or nothing for the top; ``shown``
        is the same as the user writes it: ``membership.training.`` has the keys of ``training.``.
        """
        for key, value in values.items():
            path, written = f"{prefix}{key}", f"{shown}{key}"
            declared = self._schema.declared.get(path) if "." not in str(key) else None
            if declared is None:
                raise InputError(f"unknown key '{written}' {where}{unknown_key(self._schema, str(key), prefix, shown)}")
            if isinstance(declared, Setting):
                target[key] = checked(declared, value, f"'{written}' {where}")
                continue
            section, inner = _section(written, value, where), target.setdefault(key, {})
            if isinstance(declared, Named):
                self._merge_named(inner, section, path, where)
            else:
                source = declared.source if isinstance(declared, Overrides) else path
                self.merge(inner, section, where, f"{source}.", f"{written}.")

    def _merge_named(self, target: dict[str, Any], values: Mapping[str, Any], path: str, where: str) -> None:
        """Set what each subject or variant gives for itself, all of it checked like the common sections."""
        known = self._schema.named_sections(path)
        for name, given in values.items():
            sections = _section(f"{path}.{name}", given, where)
            for section in sections:
                if section not in known:
                    raise InputError(f"unknown key '{path}.{name}.{section}' {where}{nearest(str(section), known)}")
            self.merge(target.setdefault(str(name), {}), sections, where, "", f"{path}.{name}.")


def _read_yaml(path: str) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader."""
    try:
        with open_plain(path) as stream:
            content = stream.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"configuration '{path}' cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise InputError(f"configuration '{path}' is no UTF-8 text: {error}") from error
    if len(content) > _LARGEST_FILE:
        raise InputError(f"configuration '{path}' is larger than {_LARGEST_FILE // 1024} kB; expected a YAML file of "
                         "settings")
    values = parse_yaml(text, f"configuration '{path}' is no valid YAML")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"configuration '{path}' must hold keys and values, not a {type(values).__name__}")
    return values


def _parse_assignment(assignment: str) -> dict[str, Any]:
    """Turn ``a.b=3`` into {"a": {"b": 3}}."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set takes key.path=value, got '{assignment}'")
    *parents, last = key.strip().split(".")
    nested: dict[str, Any] = {last: parse_yaml(text, f"--set {key}: '{text}' is no valid YAML value")}
    for part in reversed(parents):
        nested = {part: nested}
    return nested


def _section(path: str, value: Any, where: str) -> Mapping[str, Any]:
    """Return a section, empty where only its heading stands; refuse a plain value in its place."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"'{path}' {where} is {value!r}; expected a section of keys and values")
    return value


def _values(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of everything in a section that is not a section itself."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _drop(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Remove from nested dicts what ``values`` sets, so that a common value holds for a subject too."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _drop(target[key], value)
        else:
            target.pop(key, None)
