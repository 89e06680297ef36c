"""All sections of the configuration put together: which keys there are, under their full paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Union

from mindleak.settings.data import Data
from mindleak.settings.deletion import Deletion
from mindleak.settings.device import Device
from mindleak.settings.dp import Dp
from mindleak.settings.estimator import Estimator
from mindleak.settings.fields import Named, Overrides, Section, Setting
from mindleak.settings.general import General
from mindleak.settings.inversion import Inversion
from mindleak.settings.judge import Judge
from mindleak.settings.membership import Membership
from mindleak.settings.model import Model
from mindleak.settings.prune import Prune
from mindleak.settings.suppress import Suppress
from mindleak.settings.sweep import Sweep
from mindleak.settings.training import Training

Declaration = Union[Setting, type[Section], Overrides, Named]


class Schema:
    """Every key of a configuration, by its full path: ``membership.attack.epochs``.

    Args:
        sections: the sections by name, in the order in which a configuration has them.
        general: the keys outside of them, which come first.

    Attributes:
        declared: what each path is, sections included, in order.
        defaults: the configuration where nobody sets anything, as nested dicts; not to be changed.
    """

    def __init__(self, sections: Mapping[str, type[Section] | Named], general: type[Section] = General) -> None:
        self.sections = {name: section for name, section in sections.items() if not isinstance(section, Named)}
        self.declared: dict[str, Declaration] = {}
        self.defaults = self._add({**general.declared(), **sections}, "")

    def _add(self, declared: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Take up what a section declares, and return its defaults."""
        defaults: dict[str, Any] = {}
        for name, declaration in declared.items():
            self.declared[f"{prefix}{name}"] = declaration
            if isinstance(declaration, Setting):
                defaults[name] = declaration.default
            else:
                inner = {} if isinstance(declaration, (Named, Overrides)) else declaration.declared()
                defaults[name] = self._add(inner, f"{prefix}{name}.")
        return defaults

    def add(self, name: str, section: type[Section]) -> None:
        """Take up a section that a family of audits from another package brings along."""
        self.sections[name] = section
        self.defaults |= self._add({name: section}, "")

    @property
    def settings(self) -> dict[str, Setting]:
        """Every key that holds a value."""
        return {path: declared for path, declared in self.declared.items() if isinstance(declared, Setting)}

    @property
    def overrides(self) -> dict[str, str]:
        """Sections that may set the keys of another one again, each with the other's path."""
        return {path: declared.source for path, declared in self.declared.items() if isinstance(declared, Overrides)}

    @property
    def named(self) -> dict[str, Named]:
        """Sections whose keys are names of the user's."""
        return {path: declared for path, declared in self.declared.items() if isinstance(declared, Named)}

    @property
    def methods(self) -> dict[str, str]:
        """Sections that only one way to train looks at, each with that way."""
        return {name: section.needs_method for name, section in self.sections.items() if section.needs_method}

    def named_sections(self, path: str) -> dict[str, type[Section]]:
        """Return the sections that each name below a path of ``named`` may have."""
        named = self.named[path]
        return {name: section for name, section in self.sections.items() if named.may_set(section)}

    def keys(self, prefix: str) -> dict[str, str]:
        """Return the keys of a section, each with its full path; of an overriding one, with the path in the other."""
        source = self.overrides.get(prefix.rstrip("."), prefix.rstrip("."))
        inside = f"{source}." if source else ""
        return {path[len(inside):]: path for path in self.declared
                if path.startswith(inside) and "." not in path[len(inside):]}

    def values(self, config: Mapping[str, Any], prefix: str = "",
               shown: str = "") -> Iterator[tuple[str, Setting, Any]]:
        """Yield, for every value of a configuration outside of overrides, its full path, its setting and the value.

        Args:
            config: the configuration or a section of it.
            prefix: where the section's keys are declared, with a dot behind it.
            shown: where they stand: ``subjects.NAME.training.`` has the keys of ``training.``.
        """
        for key, value in config.items():
            declared = self.declared[f"{prefix}{key}"]
            if isinstance(declared, Setting):
                yield f"{shown}{key}", declared, value
            elif isinstance(declared, Named):
                for name, own in value.items():
                    yield from self.values(own, "", f"{shown}{key}.{name}.")
            elif not isinstance(declared, Overrides):
                yield from self.values(value, f"{prefix}{key}.", f"{shown}{key}.")

    def find(self, path: str) -> str | None:
        """Return where a key is declared that stands at a path, also in an override or below a name; None: nowhere."""
        place = ""
        parts = path.split(".")
        while parts:
            place = f"{place}.{parts.pop(0)}" if place else parts.pop(0)
            declared = self.declared.get(place)
            if declared is None:
                return None
            if parts and isinstance(declared, Overrides):
                place = declared.source
            elif parts and isinstance(declared, Named):
                del parts[0]
                if parts and parts[0] not in self.named_sections(place):
                    return None
                place = "" if parts else place
        return place


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """Return what a configuration has at a dotted path; an empty dict where it has nothing."""
    for part in path.split("."):
        config = config.get(part, {})
    return config


# A family of audits brings its section along; 'subjects' stands before what compares them.
SECTIONS: dict[str, type[Section] | Named] = {
    "device": Device, "data": Data, "model": Model, "estimator": Estimator, "training": Training,
    "suppress": Suppress, "dp": Dp, "prune": Prune, "judge": Judge}
FAMILIES: dict[str, type[Section] | Named] = {
    "inversion": Inversion, "membership": Membership, "deletion": Deletion,
    "subjects": Named("subject", "networks by name, each with settings of its own over the common ones"),
    "sweep": Sweep}
SCHEMA = Schema({**SECTIONS, **FAMILIES})
