"""How a section of the configuration is declared: a frozen dataclass whose fields say all that is known of a key.

``setting`` gives a key its default, its range or choices and a line of help; its annotation gives the type. ``nested``
makes a section within a section, ``overrides`` one that may set any key of another section again, and ``named`` one
whose keys are names of the user's, each with sections of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional, Union, get_args, get_origin, get_type_hints

from mindleak.errors import InputError, Key, closest

_DECLARED = "mindleak"
_ITEM_NAMES = {str: "text", int: "whole numbers", float: "numbers"}
TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


@dataclass(frozen=True)
class Setting:
    """What is known of one key.

    Attributes:
        default: its value where nobody sets it.
        help: what it is for, in a line.
        types: of its value, in the order in which messages name them.
        nullable: it may be null.
        item: type of a list's items; None where they may be anything.
        least, above, most, below: range of a number.
        choices: all that a text may be.
        hint: what is said behind the range where a number is outside of it.
        one_network: it says which one network is meant, so it cannot be said to several subjects at once.
        of_run: it is part of what a run is, not of where, how fast or how far it is computed.
        per_variant: a variant may set it for itself although its section is common to all variants.
        needs_models: the only values of ``model.name`` with which anybody looks at it; empty: all.
    """

    default: Any
    help: str
    types: tuple[type, ...]
    nullable: bool
    item: type | None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    hint: str = ""
    one_network: bool = False
    of_run: bool = True
    per_variant: bool = False
    needs_models: tuple[str, ...] = ()

    def require(self, key: str, value: Any) -> None:
        """Refuse a number that is not finite or out of the range, and text that is none of the choices.

        Raises:
            InputError: with ``key`` as the first part of its message.
        """
        if isinstance(value, str) and self.choices and value not in self.choices:
            match = closest(value.lower(), self.choices)
            raise InputError(key, f" '{value}' is unknown; "
                             + (f"one of {', '.join(self.choices)}" if match is None else f"did you mean '{match}'?"))
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not self._holds(value):
            raise InputError(key, f" is {value}; expected {self._wanted(key.rpartition('.')[2], value)}"
                             + (f", {self.hint}" if self.hint else ""))

    def _holds(self, value: float) -> bool:
        """Return whether a number is finite and within the range."""
        return ((isinstance(value, int) or math.isfinite(value)) and (self.least is None or value >= self.least)
                and (self.above is None or value > self.above) and (self.most is None or value <= self.most)
                and (self.below is None or value < self.below))

    def _wanted(self, name: str, value: float) -> str:
        """Return the range in words: of a whole number the end that ``value`` is beyond."""
        if float in self.types:
            return self.range(name) or "a finite number"
        return f"at most {self.most:,}" if self.least is None or value >= self.least else f"at least {self.least}"

    def expected(self, name: str) -> str:
        """Return in words what the key takes."""
        kinds = [TYPE_NAMES[kind] + (f" of {_ITEM_NAMES[self.item]}" if kind is list and self.item else "")
                 for kind in self.types]
        limits = self.range(name)
        what = f"one of {', '.join(self.choices)}" if self.choices else " or ".join(kinds)
        if limits:
            what = limits if limits.startswith("a finite number") else f"{what}, {limits}"
        return f"{what}, or null" if self.nullable else what

    def range(self, name: str) -> str:
        """Return the range in words, ``name`` standing for the number between two ends; empty where there is none."""
        low = f"{self.least:,} ≤ " if self.least is not None else f"{self.above:,} < " if self.above is not None else ""
        high = f" ≤ {self.most:,}" if self.most is not None else f" < {self.below:,}" if self.below is not None else ""
        if low and high:
            return f"{low}{name}{high}"
        if float in self.types and low:
            return "a finite number " + (f"above {self.above:g}" if self.least is None else f"≥ {self.least:g}")
        return f"at least {self.least:,}" if low else f"at most {self.most:,}" if high else ""


@dataclass(frozen=True)
class Named:
    """A section whose keys are names of the user's, each with sections of its own: ``subjects``, ``sweep.variants``.

    Attributes:
        kind: what a name stands for: ``subject`` or ``variant``.
        help: what it is for, in a line.
    """

    kind: str
    help: str

    def may_set(self, section: type[Section]) -> bool:
        """Return whether a name may set a section for itself, or at least some of its keys."""
        return getattr(section, f"per_{self.kind}") or bool(self.own_keys(section))

    def own_keys(self, section: type[Section]) -> tuple[str, ...]:
        """Return the only keys of a section that a name may set for itself; empty: all of them, or none."""
        return tuple(key for key, declared in section.declared().items()
                     if isinstance(declared, Setting) and getattr(declared, f"per_{self.kind}", False))


@dataclass(frozen=True)
class Overrides:
    """A section that may set any key of the section ``source`` again, for what ``help`` says."""

    source: str
    help: str


class Section:
    """A section of the configuration; subclasses are frozen dataclasses, and their docstring is the section's help.

    Args:
        per_subject: a subject may set it for itself.
        per_variant: a variant of a sweep may set it for itself.
        needs_method: the only value of ``training.method`` with which anybody looks at it.
        of_run: it is part of what a run is, not of how far it is computed.
    """

    per_subject: ClassVar[bool] = False
    per_variant: ClassVar[bool] = False
    # Annotations of a section are evaluated, on Python 3.9 too.
    needs_method: ClassVar[Optional[str]] = None
    of_run: ClassVar[bool] = True

    def __init_subclass__(cls, per_subject: bool = False, per_variant: bool = False, of_run: bool = True,
                          needs_method: str | None = None) -> None:
        cls.per_subject, cls.per_variant, cls.of_run, cls.needs_method = per_subject, per_variant, of_run, needs_method

    @classmethod
    def declared(cls) -> dict[str, Any]:
        """Return what each key is: a Setting, a Section, Overrides or Named."""
        return _declared(cls)  # type: ignore[arg-type]

    @classmethod
    def contradictions(cls, values: Mapping[str, Any]) -> None:
        """Refuse keys of the merged section that contradict each other.

        Raises:
            InputError: with the full keys.
        """

    @classmethod
    def require(cls, values: Mapping[str, Any], section: str) -> None:
        """Refuse a value out of its key's range: for the classes that are made of a section's values.

        Args:
            values: of some or all of the section's keys.
            section: what the section is called.

        Raises:
            InputError: for the first, with the key as a ``Key``.
        """
        for name, declared in cls.declared().items():
            if isinstance(declared, Setting) and name in values:
                declared.require(Key(f"{section}.{name}"), values[name])


def setting(default: Any, help: str, **known: Any) -> Any:
    """Declare a key of a section; ``known`` are further attributes of ``Setting``."""
    metadata = {_DECLARED: {"help": help, **known}}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def nested(section: type[Section]) -> Any:
    """Declare a section within a section."""
    return dataclasses.field(default_factory=section, metadata={_DECLARED: section})


def overrides(source: str, help: str) -> Any:
    """Declare a section that may set any key of another one again; by default it sets none."""
    return dataclasses.field(default_factory=dict, metadata={_DECLARED: Overrides(source, help)})


def named(kind: str, help: str) -> Any:
    """Declare a section of names of the user's; by default there are none."""
    return dataclasses.field(default_factory=dict, metadata={_DECLARED: Named(kind, help)})


@functools.cache
def _declared(section: type[Section]) -> dict[str, Any]:
    """See ``Section.declared``."""
    hints = get_type_hints(section)
    return {field.name: _declaration(field, hints[field.name])
            for field in dataclasses.fields(section)}  # type: ignore[arg-type]


def _declaration(field: dataclasses.Field[Any], annotation: Any) -> Any:
    """Return what a field of a section declares."""
    declared = field.metadata[_DECLARED]
    if not isinstance(declared, dict):
        return declared
    kinds: Sequence[Any] = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    types = tuple(get_origin(kind) or kind for kind in kinds if kind is not type(None))
    items = [get_args(kind)[0] for kind in kinds if get_args(kind)]
    default = field.default_factory() if callable(field.default_factory) else field.default
    return Setting(default, types=types, nullable=type(None) in kinds, item=items[0] if items else None, **declared)
