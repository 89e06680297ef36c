"""The configuration: defaults < YAML file < command line, every key known and of the right type.

``DEFAULTS`` is the one list of all keys; what a value may be beyond its type is checked by the room that uses
it. A run directory keeps the merged result.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from easydict import EasyDict

from mindleak.errors import InputError, nearest

DEFAULTS: dict[str, Any] = {
    "name": None,
    "seed": 0,
    "device": {"target": "CPU", "id": 0, "threads": 0},
    "data": {"name": "digits", "dir": None, "image_size": None, "resize": "bilinear"},
    "model": {
        "name": "lenet5",
        "hidden_size": 128,
        "layers": 1,
        "sequence": "rows",
        "checkpoint": None,
        "members": None,
    },
    "training": {
        "method": "ordinary",
        "epochs": 10,
        "batch_size": 32,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "constant",
        "schedule_every": 10,
        "schedule_factor": 0.5,
        "schedule_patience": 3,
    },
    "suppress": {
        "sparse_end": 0.95,
        "sparse_start": 0.0,
        "start_epoch": 3,
        "mask_times": 1000,
        "layers": "auto",
    },
    "judge": {
        "model": "lenet5",
        "epochs": 5,
        "batch_size": 32,
        "optimizer": "momentum",
        "learning_rate": 0.01,
        "momentum": 0.9,
    },
    "inversion": {
        "enabled": True,
        "layer": None,
        "images": 30,
        "iterations": 100,
        "loss_weights": [1.0, 0.1, 5.0],
    },
    "membership": {
        "enabled": True,
        "target_in": 10000,
        "target_out": 10000,
        "population": 5000,
        "shadow_pool": 35000,
        "shadows": 4,
        "training": {},
        "suppress": {},
        "attack": {
            "dim_hidden": 20,
            "epochs": 50,
            "batch_size": 100,
            "learning_rate": 0.01,
            "patience": 5,
        },
    },
    "subjects": {},
}

# Keys whose default does not tell the type: what they may hold besides null.
_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "data.dir": (str,),
    "data.image_size": (int,),
    "model.checkpoint": (str,),
    "model.members": (str,),
    "inversion.layer": (str,),
    "suppress.layers": (str, list),
}

# Sections whose keys are those of another section, all optional.
_PARTIAL = {"membership.training": "training", "membership.suppress": "suppress"}

# What a subject of ``subjects`` may set for itself, over the sections of the same name.
SUBJECT_SECTIONS = ("data", "model", "training", "suppress", "inversion", "membership")

# Where and how fast a run is computed does not change what it is.
_VOLATILE = ("data.dir", "device.threads", "device.id", "name")


def load(path: str | None, assignments: Sequence[str] = ()) -> EasyDict:
    """Return the merged configuration.

    Args:
        path: a YAML file, or None for the defaults alone.
        assignments: ``key.path=value`` from the command line; values are read as YAML. They win over the
            file, also over what ``subjects`` sets for itself.

    Raises:
        InputError: unreadable file, unknown key (the nearest known one is named), or a value of the wrong type.
    """
    where = f"in '{path}'" if path else ""
    merged = copy.deepcopy(DEFAULTS)
    _merge(merged, _read_yaml(path) if path else {}, "", where)
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        _merge(overrides, _parse_assignment(assignment), "", "on the command line")
    _deep_update(merged, overrides)
    if path and merged["name"] is None:
        merged["name"] = Path(path).stem
    for subject in merged["subjects"].values():
        _deep_update(subject, {key: copy.deepcopy(overrides[key]) for key in SUBJECT_SECTIONS if key in overrides})
    _deep_update(merged["subjects"], overrides.get("subjects", {}))
    return EasyDict(merged)


def for_subject(config: Mapping[str, Any], name: str) -> EasyDict:
    """Return the configuration as subject ``name`` sees it: its own settings over the common ones."""
    merged = copy.deepcopy(dict(config))
    own = copy.deepcopy(dict(merged["subjects"][name]))
    merged["subjects"] = {}
    _deep_update(merged, own)
    return EasyDict(merged)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the configuration that says what a run is, without where it is computed."""
    plain = to_plain(config)
    for key in _VOLATILE:
        *parents, last = key.split(".")
        section = plain
        for parent in parents:
            section = section[parent]
        section.pop(last, None)
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
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"configuration '{path}' cannot be read: {error.__class__.__name__}: {error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise InputError(f"configuration '{path}' is no valid YAML: {line}") from error
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
    try:
        value = yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError as error:
        raise InputError(f"--set {key}: '{text}' is no valid YAML value") from error
    *parents, last = key.strip().split(".")
    nested: dict[str, Any] = {last: value}
    for part in reversed(parents):
        nested = {part: nested}
    return nested


def _merge(target: dict[str, Any], values: Mapping[str, Any], prefix: str, where: str) -> None:
    """Set ``values`` into ``target`` (whole or partial), refusing unknown keys and wrong types.

    ``prefix`` is the section that ``target`` stands for, with a dot behind it, or nothing for the top.
    """
    section = _default(prefix.rstrip(".")) if prefix else DEFAULTS
    for key, value in values.items():
        path = f"{prefix}{key}"
        if key not in section:
            raise InputError(f"unknown key '{path}' {where}".rstrip() + nearest(path, _known_keys(prefix)))
        if not isinstance(section[key], dict):
            target[key] = _checked(path, value, section[key], where)
            continue
        _require_mapping(path, value, where)
        inner = target.setdefault(key, {})
        if path == "subjects":
            _merge_subjects(inner, value, where)
        elif path in _PARTIAL:
            _merge(inner, value, f"{_PARTIAL[path]}.", f"{where} (in '{path}')".lstrip())
        else:
            _merge(inner, value, f"{path}.", where)


def _merge_subjects(target: dict[str, Any], values: Mapping[str, Any], where: str) -> None:
    """Set what each subject gives for itself, all of it checked like the common sections."""
    for name, sections in values.items():
        _require_mapping(f"subjects.{name}", sections, where)
        for section in sections:
            if section not in SUBJECT_SECTIONS:
                raise InputError(f"unknown key 'subjects.{name}.{section}' {where}".rstrip()
                                 + nearest(str(section), SUBJECT_SECTIONS))
        _merge(target.setdefault(str(name), {}), sections, "", f"{where} (subject '{name}')".lstrip())


def _checked(path: str, value: Any, default: Any, where: str) -> Any:
    """Return ``value`` in the type of the key, or refuse it."""
    wanted = _TYPES.get(path) or (type(default),)
    if value is None and default is None:
        return None
    if isinstance(value, bool) and bool not in wanted:
        raise InputError(_wrong_type(path, value, wanted, where))
    if float in wanted and isinstance(value, (int, str)):
        value = _as_float(path, value, wanted, where)
    if not isinstance(value, wanted):
        raise InputError(_wrong_type(path, value, wanted, where))
    if isinstance(default, list) and isinstance(value, list):
        return [_checked(path, item, default[0], where) for item in value]
    return value


def _as_float(path: str, value: int | str, wanted: tuple[type, ...], where: str) -> float:
    """Read a float that YAML took for an int or, like 1e-3, for a string."""
    try:
        return float(value)
    except ValueError:
        raise InputError(_wrong_type(path, value, wanted, where)) from None


def _wrong_type(path: str, value: Any, wanted: tuple[type, ...], where: str) -> str:
    """Say what a key should hold."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
    return (f"'{path}' {where} is {value!r}; right is "
            + " or ".join(names.get(kind, kind.__name__) for kind in wanted)).replace("  ", " ")


def _require_mapping(path: str, value: Any, where: str) -> None:
    """Refuse a plain value where a section stands."""
    if not isinstance(value, Mapping):
        raise InputError(f"'{path}' {where} is {value!r}; right is a section of keys and values".replace("  ", " "))


def _default(path: str) -> Any:
    """Return the default of a dotted key."""
    value: Any = DEFAULTS
    for part in path.split("."):
        value = value[part]
    return value


def _known_keys(prefix: str) -> list[str]:
    """Return the dotted keys that could have been meant: those of the section, or all."""
    keys = list(_leaves(DEFAULTS))
    return [key for key in keys if key.startswith(prefix)] or keys


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a section, sections included."""
    for key, value in section.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")


def _deep_update(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Update nested dicts in place."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _deep_update(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
