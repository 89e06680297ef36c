"""What no single key's type can say: configurations whose keys contradict each other, or name what is not there.

``config.load`` asks these once the file and the command line are merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mindleak.defaults import DEFAULTS, METHOD_SECTIONS, VARIANT_SWEEP_KEYS
from mindleak.errors import InputError, nearest

# What says which one network is meant, and so cannot be said to several subjects at once.
_ONE_NETWORK = ("name", "checkpoint", "members")

# Subjects name stages and folders; a dot would end the name in --set subjects.NAME.training.epochs=3.
_SUBJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def check_reach(overrides: Mapping[str, Any], subjects: Mapping[str, Any], variants: Mapping[str, Any]) -> None:
    """Refuse a command line that would make one network of several subjects, or a new one by a slip."""
    for kind, given, known in (("subject", overrides.get("subjects", {}), subjects),
                               ("variant", overrides.get("sweep", {}).get("variants", {}), variants)):
        for name in given if known else ():
            if name not in known:
                raise InputError(f"the command line sets {kind} '{name}', which the configuration does not have"
                                 + nearest(name, known))
    if len(subjects) > 1:
        for key in _ONE_NETWORK:
            if key in overrides.get("model", {}):
                raise InputError(f"the configuration has {len(subjects)} subjects ({', '.join(subjects)}) and 'model."
                                 f"{key}' on the command line would be that of all; set subjects.NAME.model.{key}")


def check_sweep(sweep: Mapping[str, Any]) -> None:
    """Refuse a sweep that compares variants which it does not have, and variants that each go their own way."""
    if not sweep["variants"]:
        return
    for pair in sweep["pairs"]:
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"sweep.pairs holds {pair!r}; expected a list of two different names of sweep.variants")
    named = [("baseline", sweep["baseline"]), *(("pairs", str(name)) for pair in sweep["pairs"] for name in pair)]
    for key, name in named:
        if name not in sweep["variants"]:
            raise InputError(f"sweep.{key} {'is' if key == 'baseline' else 'names'} '{name}', which is none of "
                             f"sweep.variants{nearest(name, sweep['variants'])}")
    for name, sections in sweep["variants"].items():
        for key in sections.get("sweep", {}):
            if key not in VARIANT_SWEEP_KEYS:
                raise InputError(f"sweep.variants.{name}.sweep.{key}: a variant sets none of 'sweep' for itself but "
                                 f"{', '.join(VARIANT_SWEEP_KEYS)}")


def check_methods(merged: Mapping[str, Any]) -> None:
    """Refuse settings of a way to train that no network is trained in: they would do nothing without a word."""
    used: set[str] = set()
    for kind, named in (("subjects", merged["subjects"]), ("sweep.variants", merged["sweep"]["variants"])):
        for name, own in named.items():
            methods = _methods(merged, own)
            _refuse_idle({section: own.get(section, {}) for section in METHOD_SECTIONS}, methods, f"{kind}.{name}.")
            used |= methods
    used = used or _methods(merged)
    _refuse_idle({section: {key: value for key, value in merged[section].items() if value != DEFAULTS[section][key]}
                  for section in METHOD_SECTIONS}, used, "")
    _refuse_idle(merged["membership"], used, "membership.")


def _methods(merged: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> set[str]:
    """Return in which ways a network is trained: for itself, and to be attacked by membership inference."""
    itself = {**merged["training"], **(own or {}).get("training", {})}
    attacked = {**itself, **merged["membership"]["training"],
                **(own or {}).get("membership", {}).get("training", {})}
    return {itself["method"], attacked["method"]}


def _refuse_idle(sections: Mapping[str, Any], methods: set[str], prefix: str) -> None:
    """Raise InputError for the first key that is set for another way to train than ``methods``."""
    if not methods <= {"ordinary", *METHOD_SECTIONS.values()}:
        return  # one is misspelt, maybe the very one that the key is for; the recipe refuses it by its name
    for section, method in METHOD_SECTIONS.items():
        for key in sections[section] if method not in methods else ():
            raise InputError(f"{prefix}{section}.{key} has no effect unless training.method={method}, which here is "
                             f"{' and '.join(sorted(methods))}; set that too, or omit {section}.{key}")


def check_identifiers(merged: Mapping[str, Any]) -> None:
    """Refuse a negative seed and names that are unfit for a folder."""
    if merged["seed"] < 0:
        raise InputError(f"'seed' is {merged['seed']}; expected a whole number from 0 on")
    if merged["name"] is not None and (not merged["name"].strip(". ") or "/" in merged["name"]):
        raise InputError(f"'name' is '{merged['name']}'; expected a name fit for a folder")
    for kind, names in (("subject", merged["subjects"]), ("variant", merged["sweep"]["variants"])):
        for name in names:
            # EasyDict makes attributes of keys: 'items' would hide the method.
            if not _SUBJECT_NAME.fullmatch(name) or hasattr(dict, name):
                raise InputError(f"{kind} '{name}' cannot be a name: expected up to 100 letters, digits, "
                                 "'_' and '-', a letter or digit first, and no word like 'items'")
