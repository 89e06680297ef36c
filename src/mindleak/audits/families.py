"""The families of an audit: the only list of them. Other packages add to it by the entry point ``mindleak.families``.

An entry point names a subclass of ``Family`` without parameters::

    [project.entry-points."mindleak.families"]
    fairness = "my_package:Fairness"
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from mindleak.audits.family import Family
from mindleak.errors import InputError, first_line

GROUP = "mindleak.families"
FAMILIES = ("mindleak.audits.inversion.family:Inversion", "mindleak.audits.membership.family:Membership",
            "mindleak.audits.deletion.family:Deletion", "mindleak.audits.sweep.family:Sweep")


@cache
def families() -> Mapping[str, Family[Any]]:
    """Return all families by name, the project's own first.

    The configuration takes up the sections of those from elsewhere.

    Raises:
        InputError: one from elsewhere that does not load, is no family, or has a name that is taken.
    """
    found: dict[str, Family[Any]] = {}
    for place in FAMILIES:
        module, _, name = place.partition(":")
        family = getattr(importlib.import_module(module), name)()
        if family.settings is not None:
            _add_section(family)
        found[family.name] = family
    for entry in sorted(_entry_points(), key=lambda each: each.name):
        family = _from_elsewhere(entry)
        _take_up(family, entry, found)
        found[family.name] = family
    return found


def attack_families() -> Mapping[str, Family[Any]]:
    """Return the families that can be asked for alone."""
    return {name: family for name, family in families().items() if family.attacks}


def _entry_points() -> list[Any]:
    """Return the entry points of other packages; Python 3.9 has another way to ask for them."""
    known: Any = metadata.entry_points()
    return list(known.select(group=GROUP) if hasattr(known, "select") else known.get(GROUP, ()))


def _take_up(family: Family[Any], entry: Any, found: Mapping[str, Family[Any]]) -> None:
    """Give the configuration the section of a family from elsewhere, whose name must not be taken.

    Raises:
        InputError: it is.
    """
    from mindleak.settings.schema import SCHEMA

    if family.name in found or family.name in SCHEMA.declared:
        raise InputError(f"family '{family.name}' of package '{_package(entry)}' has a name that is taken"
                         f"{_by(found.get(family.name))}; remove or rename it")
    if family.settings is not None:
        _add_section(family)


def _add_section(family: Family[Any]) -> None:
    """Give the configuration the section of a family that brings its own."""
    from mindleak.settings.schema import SCHEMA

    assert family.settings is not None
    SCHEMA.add(family.name, family.settings)


def _from_elsewhere(entry: Any) -> Family[Any]:
    """Make the family that an entry point names."""
    try:
        family = entry.load()()
    except Exception as error:
        raise InputError(f"family '{entry.name}' of package '{_package(entry)}' does not load: "
                         f"{first_line(error)}") from error
    if not isinstance(family, Family):
        raise InputError(f"family '{entry.name}' of package '{_package(entry)}' is a {type(family).__name__}; expected "
                         "a mindleak.audits.family.Family")
    return family


def _by(family: Family[Any] | None) -> str:
    return " by a section of the configuration" if family is None else f" by {type(family).__module__}"


def _package(entry: Any) -> str:
    distribution = getattr(entry, "dist", None)
    return entry.value.partition(":")[0] if distribution is None else str(distribution.name)
