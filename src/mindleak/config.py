"""The configuration: defaults < YAML file < command line, every key known and of the right type.

``defaults.DEFAULTS`` is the one list of all keys; what a value may be beyond its type is checked by the room that
uses it, except where no one room does (seed, names that become folders). A run directory keeps the merged result.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from easydict import EasyDict

from mindleak.config_checks import check_identifiers, check_methods, check_reach, check_sweep
from mindleak.defaults import DEFAULTS, LARGEST, NAMED, PARTIAL, SUBJECT_SECTIONS, TYPES, VARIANT_SECTIONS
from mindleak.errors import InputError, nearest
from mindleak.files import open_plain
from mindleak.yaml_text import parse_yaml

# Of 'membership': no part of what a run is.
_ASKED = ("attacks", "improved", "ablation")
_LARGEST_FILE = 256 * 1024
# As long as a path can be on Linux.
_LONGEST_TEXT = 4096
_LONGEST_LIST = 1000


def load(path: str | None, assignments: Sequence[str] = ()) -> EasyDict:
    """Return the merged configuration.

    Args:
        path: a YAML file, or None for the defaults alone.
        assignments: ``key.path=value`` from the command line; values are read as YAML. They win over the
            file, also over what ``subjects`` sets for itself.

    Raises:
        InputError: unreadable file, unknown key (the nearest known one is named), or a value of the wrong type.
    """
    merged = copy.deepcopy(DEFAULTS)
    _merge(merged, {} if path is None else _read_yaml(path), "", f"in '{path}'")
    overrides = _overrides(assignments)
    check_reach(overrides, merged["subjects"], merged["sweep"]["variants"])
    _deep_update(merged, overrides)
    if path is not None and merged["name"] is None:
        merged["name"] = Path(path).stem
    for named, sections in ((merged["subjects"], SUBJECT_SECTIONS), (merged["sweep"]["variants"], VARIANT_SECTIONS)):
        for own in named.values():
            _drop(own, {key: overrides[key] for key in sections if key in overrides})
    _deep_update(merged["subjects"], overrides.get("subjects", {}))
    _deep_update(merged["sweep"], overrides.get("sweep", {}))
    check_sweep(merged["sweep"])
    check_methods(merged)
    check_identifiers(merged)
    return EasyDict(merged)


def for_subject(config: Mapping[str, Any], name: str) -> EasyDict:
    """Return the configuration as subject ``name`` sees it: its own settings over the common ones."""
    return _narrowed(config, config["subjects"][name])


def for_variant(config: Mapping[str, Any], name: str) -> EasyDict:
    """Return the configuration as variant ``name`` of the sweep sees it: its own settings over the common ones."""
    return _narrowed(config, config["sweep"]["variants"][name])


def _narrowed(config: Mapping[str, Any], own: Mapping[str, Any]) -> EasyDict:
    """Return the configuration of one of several subjects or variants, the others left out."""
    merged = copy.deepcopy(dict(config))
    own = copy.deepcopy(dict(own))
    merged["subjects"] = {}
    merged["sweep"] = {**merged["sweep"], "variants": {}}
    _deep_update(merged, own)
    return EasyDict(merged)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the configuration that says what a run is, without where and how fast it is computed."""
    plain = to_plain(config)
    plain["device"] = {"target": plain["device"]["target"]}
    del plain["name"], plain["data"]["dir"]
    # Which membership attacks are done, and how the improved one, is what a call asks for; stages' keys tell apart.
    for key in _ASKED:
        del plain["membership"][key]
    for name, sections in plain["subjects"].items():
        sections.get("data", {}).pop("dir", None)
        for key in _ASKED:
            sections.get("membership", {}).pop(key, None)
        plain["subjects"][name] = {key: section for key, section in sections.items() if section}
    return plain


def to_plain(value: Any) -> Any:
    """Return nested EasyDicts and tuples as plain dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


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


def _overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Return what the command line sets, refusing one key set to two values."""
    overrides: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for assignment in assignments:
        one: dict[str, Any] = {}
        _merge(one, _parse_assignment(assignment), "", "on the command line")
        for key, value in _values(one):
            # Compared as text: not a number is not equal to itself.
            if repr(given.setdefault(key, value)) != repr(value):
                raise InputError(f"the command line sets '{key}' twice, to {given[key]!r} and to {value!r}")
        _deep_update(overrides, one)
    return overrides


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


def _merge(target: dict[str, Any], values: Mapping[str, Any], prefix: str, where: str,
           shown: str | None = None) -> None:
    """Set ``values`` into ``target`` (whole or partial), refusing unknown keys and wrong types.

    ``prefix`` is the section that ``target`` stands for, with a dot behind it, or nothing for the top; ``shown`` is
    the same as the user writes it, where that is another (``membership.training.`` has the keys of ``training.``).
    """
    section = _default(prefix.rstrip(".")) if prefix else DEFAULTS
    shown = prefix if shown is None else shown
    for key, value in values.items():
        path, written = f"{prefix}{key}", f"{shown}{key}"
        if key not in section:
            raise InputError(f"unknown key '{written}' {where}{_suggestion(str(key), prefix, shown)}")
        if not isinstance(section[key], dict):
            target[key] = _checked(path, value, section[key], f"'{written}' {where}")
            continue
        value = _section(written, value, where)
        inner = target.setdefault(key, {})
        if path in NAMED:
            _merge_named(inner, value, path, where)
        else:
            _merge(inner, value, f"{PARTIAL.get(path, path)}.", where, f"{written}.")


def _merge_named(target: dict[str, Any], values: Mapping[str, Any], path: str, where: str) -> None:
    """Set what each subject or variant gives for itself, all of it checked like the common sections."""
    for name, sections in values.items():
        sections = _section(f"{path}.{name}", sections, where)
        for section in sections:
            if section not in NAMED[path]:
                raise InputError(f"unknown key '{path}.{name}.{section}' {where}"
                                 + nearest(str(section), NAMED[path]))
        _merge(target.setdefault(str(name), {}), sections, "", where, f"{path}.{name}.")


def _checked(path: str, value: Any, default: Any, subject: str) -> Any:
    """Return ``value`` in the type of the key, or refuse it; ``subject`` is the message's: key and place."""
    wanted = TYPES.get(path) or (type(default),)
    if value is None and default is None:
        return None
    if isinstance(value, bool) and bool not in wanted:
        raise InputError(_wrong_type(subject, value, wanted))
    if float in wanted and isinstance(value, (int, str)):
        value = _as_float(subject, value, wanted)
    if not isinstance(value, wanted):
        raise InputError(_wrong_type(subject, value, wanted))
    if isinstance(value, str):
        _check_text(subject, value)
    if isinstance(value, (int, float)) and value > LARGEST.get(path, math.inf):
        raise InputError(f"{subject} is {value:g}; expected at most {LARGEST[path]:,}")
    if any(isinstance(item, float) and not math.isfinite(item) for item in _items(value)):
        wanted_numbers = "finite numbers" if isinstance(value, list) else "a finite number"
        raise InputError(f"{subject} is {value}; expected {wanted_numbers}")
    if isinstance(default, list) and isinstance(value, list):
        # A list that is empty by default says nothing of its items; who uses it checks them.
        value = [_checked(path, item, default[0], subject) for item in value] if default else list(value)
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST:
            raise InputError(f"{subject} has {len(value):,} items; expected at most {_LONGEST_LIST:,}")
        for item in _items(value):
            if isinstance(item, str):
                _check_text(f"an item of {subject}", item)
    return value


def _check_text(subject: str, text: str) -> None:
    """Refuse text that can name nothing: no file, no data set, no choice."""
    if not text.strip():
        raise InputError(f"{subject} is empty; expected text, or null for the default where there is one")
    if "\0" in text:
        raise InputError(f"{subject} is {text!r}; expected text without a null character")
    if len(text) > _LONGEST_TEXT:
        raise InputError(f"{subject} has {len(text):,} characters; expected at most {_LONGEST_TEXT:,}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise InputError(f"{subject} is {text!r}, which holds half of a character; expected text") from None


def _items(value: Any) -> Iterator[Any]:
    """Yield a value, or all items of nested lists."""
    if isinstance(value, list):
        for item in value:
            yield from _items(item)
    else:
        yield value


def _as_float(subject: str, value: int | str, wanted: tuple[type, ...]) -> float:
    """Read a float that YAML took for an int or, like 1e-3, for a string."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise InputError(_wrong_type(subject, value, wanted)) from None


def _wrong_type(subject: str, value: Any, wanted: tuple[type, ...]) -> str:
    """Say what a key should hold."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
    found = "empty" if value is None else repr(value)
    return f"{subject} is {found}; expected " + " or ".join(names[kind] for kind in wanted)


def _section(path: str, value: Any, where: str) -> Mapping[str, Any]:
    """Return a section, empty where only its heading stands; refuse a plain value in its place."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"'{path}' {where} is {value!r}; expected a section of keys and values")
    return value


def _default(path: str) -> Any:
    """Return the default of a dotted key."""
    value: Any = DEFAULTS
    for part in path.split("."):
        value = value[part]
    return value


def option_keys() -> dict[str, str]:
    """Return, for the last part of every key, the first full path that ends in it: epochs → training.epochs."""
    paths: dict[str, str] = {}
    for path in _leaves(DEFAULTS):
        paths.setdefault(path.rpartition(".")[2], path)
    return paths


def _suggestion(key: str, prefix: str, shown: str) -> str:
    """Name what could have been meant by an unknown ``key``: in its section, else anywhere, else what there is.

    ``shown`` is ``prefix`` as the user writes it; keys of the section are named with it.
    """
    section = _default(prefix.rstrip(".")) if prefix else DEFAULTS
    elsewhere = option_keys().get(key)
    if elsewhere is not None:
        return f"; did you mean '{elsewhere}'?"
    near = [path for path in _leaves(DEFAULTS) if path.startswith(prefix)]
    # Compared without what every candidate would share, or anything would be near.
    return nearest(f"{prefix}{key}", near, listed=section).replace(f"mean '{prefix}", f"mean '{shown}")


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a section, sections included."""
    for key, value in section.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")


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


def _deep_update(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Update nested dicts in place."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _deep_update(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
