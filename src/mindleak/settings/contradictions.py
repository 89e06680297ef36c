"""What no single key's type can say: values out of their range, keys that contradict each other or would do nothing.

``load`` asks these once the file and the command line are merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mindleak.errors import InputError, nearest
from mindleak.settings.model_keys import check_models
from mindleak.settings.schema import Schema, value_at

# Subjects name stages and folders; a dot would end the name in --set subjects.NAME.training.epochs=3.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def check_reach(schema: Schema, merged: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse a command line that would make one network of several subjects, or a new one by a slip.

    Args:
        schema: which keys there are.
        merged: defaults and file.
        overrides: what the command line sets.

    Raises:
        InputError: with the key that was meant, as far as can be told.
    """
    for path, named in schema.named.items():
        known = value_at(merged, path)
        for name in value_at(overrides, path) if known else ():
            if name not in known:
                raise InputError(f"the command line sets {named.kind} '{name}', which the configuration does not have"
                                 + nearest(name, known))
    subjects = merged["subjects"]
    for path, setting in schema.settings.items():
        section, _, key = path.rpartition(".")
        if len(subjects) > 1 and setting.one_network and key in overrides.get(section, {}):
            raise InputError(f"the configuration has {len(subjects)} subjects ({', '.join(subjects)}) and '{path}' on "
                             f"the command line would be that of all; set subjects.NAME.{path}")


def check_merged(schema: Schema, merged: Mapping[str, Any]) -> None:
    """Refuse a merged configuration in which something is out of range, unfit or without effect.

    Raises:
        InputError: for the first such key, under its full path.
    """
    _check_identifiers(schema, merged)
    # What overrides hold is looked at with the rest of the training that they are for, which may not be asked for.
    for path, setting, value in schema.values(merged):
        setting.require(path, value)
    _check_own_keys(schema, merged)
    for name, section in schema.sections.items():
        section.contradictions(merged[name])
    check_models(schema, merged)
    _check_methods(schema, merged)


def _check_identifiers(schema: Schema, merged: Mapping[str, Any]) -> None:
    """Refuse a negative seed and names that are unfit for a folder."""
    if merged["seed"] < 0:
        raise InputError(f"'seed' is {merged['seed']}; expected a whole number from 0 on")
    if merged["name"] is not None and (not merged["name"].strip(". ") or "/" in merged["name"]):
        raise InputError(f"'name' is '{merged['name']}'; expected a name fit for a folder")
    for path, named in schema.named.items():
        for name in value_at(merged, path):
            # EasyDict makes attributes of keys: 'items' would hide the method.
            if not _NAME.fullmatch(name) or hasattr(dict, name):
                raise InputError(f"{named.kind} '{name}' cannot be a name: expected up to 100 letters, digits, "
                                 "'_' and '-', a letter or digit first, and no word like 'items'")


def _check_own_keys(schema: Schema, merged: Mapping[str, Any]) -> None:
    """Refuse what a variant sets for itself although it has to be common to all of them."""
    for path, named in schema.named.items():
        for name, own in value_at(merged, path).items():
            for section, declared in schema.named_sections(path).items():
                allowed = named.own_keys(declared)
                for key in own.get(section, {}):
                    if allowed and key not in allowed:
                        raise InputError(f"{path}.{name}.{section}.{key}: a {named.kind} sets none of '{section}' for "
                                         f"itself but {', '.join(allowed)}")


def _check_methods(schema: Schema, merged: Mapping[str, Any]) -> None:
    """Refuse settings of a way to train that no network is trained in: they would do nothing without a word."""
    used: set[str] = set()
    for path in schema.named:
        for name, own in value_at(merged, path).items():
            methods = _methods(schema, merged, own)
            _refuse_idle(schema, own, methods, f"{path}.{name}.")
            used |= methods
    used = used or _methods(schema, merged)
    changed = {section: {key: value for key, value in merged[section].items()
                         if value != schema.defaults[section][key]} for section in schema.methods}
    _refuse_idle(schema, changed, used, "")
    for section in _overriding(schema):
        _refuse_idle(schema, merged[section], used, f"{section}.")


def _overriding(schema: Schema) -> list[str]:
    """Return the sections that may set the training again, for networks of their own."""
    return [path.partition(".")[0] for path, source in schema.overrides.items() if source == "training"]


def _methods(schema: Schema, merged: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> set[str]:
    """Return in which ways a network is trained: for itself, and for the sections that may set that again."""
    own = own or {}
    itself = {**merged["training"], **own.get("training", {})}
    attacked = [{**itself, **merged[section]["training"], **own.get(section, {}).get("training", {})}
                for section in _overriding(schema)]
    return {training["method"] for training in (itself, *attacked)}


def _refuse_idle(schema: Schema, sections: Mapping[str, Any], methods: set[str], prefix: str) -> None:
    """Raise InputError for the first key that is set for another way to train than ``methods``."""
    for section, method in schema.methods.items():
        for key in sections.get(section, {}) if method not in methods else ():
            raise InputError(f"{prefix}{section}.{key} has no effect unless training.method={method}, which here is "
                             f"{' and '.join(sorted(methods))}; set that too, or omit {section}.{key}")
