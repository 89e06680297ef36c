"""Parts of the merged configuration: what one subject sees of it, what says which run it is, and plain values."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from easydict import EasyDict

from mindleak.settings.fields import Named, Overrides, Setting
from mindleak.settings.merge import deep_update
from mindleak.settings.schema import SCHEMA, Schema, value_at


def for_subject(config: Mapping[str, Any], name: str, schema: Schema = SCHEMA) -> EasyDict:
    """Return the configuration as subject ``name`` sees it: its own settings over the common ones."""
    return _narrowed(config, "subjects", name, schema)


def for_variant(config: Mapping[str, Any], name: str, schema: Schema = SCHEMA) -> EasyDict:
    """Return the configuration as variant ``name`` of the sweep sees it: its own settings over the common ones."""
    return _narrowed(config, "sweep.variants", name, schema)


def _narrowed(config: Mapping[str, Any], path: str, name: str, schema: Schema) -> EasyDict:
    """Return the configuration of one of several subjects or variants, the others left out."""
    merged = copy.deepcopy(dict(config))
    own = copy.deepcopy(dict(value_at(config, path)[name]))
    for named in schema.named:
        section, _, key = named.rpartition(".")
        (merged[section] if section else merged)[key] = {}
    deep_update(merged, own)
    return EasyDict(merged)


def identity(config: Mapping[str, Any], schema: Schema = SCHEMA) -> dict[str, Any]:
    """Return the part of the configuration that says what a run is, without where and how fast it is computed."""
    plain = _of_run(to_plain(config), schema, "")
    for name, sections in plain["subjects"].items():
        plain["subjects"][name] = {key: section for key, section in sections.items() if section}
    return plain


def _of_run(section: Mapping[str, Any], schema: Schema, prefix: str) -> dict[str, Any]:
    """Return what of a section is part of what a run is; ``prefix`` is where its keys are declared."""
    kept: dict[str, Any] = {}
    for key, value in section.items():
        declared = schema.declared[f"{prefix}{key}"]
        if isinstance(declared, Named):
            kept[key] = {name: _of_run(own, schema, "") for name, own in value.items()}
        elif isinstance(declared, Overrides):
            kept[key] = _of_run(value, schema, f"{declared.source}.")
        elif declared.of_run:
            kept[key] = value if isinstance(declared, Setting) else _of_run(value, schema, f"{prefix}{key}.")
    return kept


def named_parts(config: Mapping[str, Any], schema: Schema = SCHEMA) -> dict[str, Mapping[str, Any]]:
    """Return, by the path of every section whose keys are names of the user's, what it has by name."""
    return {path: value_at(config, path) for path in schema.named}


def to_plain(value: Any) -> Any:
    """Return nested EasyDicts and tuples as plain dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value
