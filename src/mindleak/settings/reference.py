"""The reference of all keys, for a terminal of 80 columns and as a page of the documentation."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindleak.errors import InputError
from mindleak.settings.fields import Named, Overrides, Section, Setting
from mindleak.settings.general import General
from mindleak.settings.merge import unknown_key
from mindleak.settings.schema import SCHEMA, Schema

_COLUMNS = 80


@dataclass(frozen=True)
class Group:
    """A section of the reference: its path, what it is for, and its rows of (key, default, expected, help)."""

    path: str
    help: str
    rows: list[tuple[str, str, str, str]]

    def of(self, key: str) -> Group:
        """Return the section with the row of one key."""
        return Group(self.path, self.help, [row for row in self.rows if row[0] == key])


def groups(schema: Schema = SCHEMA) -> Iterator[Group]:
    """Yield all sections, what stands outside of them first."""
    yield Group("", _sentence(General), _rows(schema, ""))
    for path, declared in schema.declared.items():
        if isinstance(declared, type):
            yield Group(path, f"{_sentence(declared)}{_reach(schema, path, declared)}", _rows(schema, f"{path}."))


def chosen(key: str | None, schema: Schema = SCHEMA) -> list[Group]:
    """Return all sections, one with those inside it, or the part of one that a key is in.

    Args:
        key: a full path, also ``membership.training.epochs`` or ``subjects.NAME.training.epochs``; None: all.
        schema: which keys there are.

    Raises:
        InputError: there is no such key; the nearest one is named.
    """
    every = list(groups(schema))
    if key is None:
        return every
    path = schema.find(key)
    if path is None:
        section, _, last = key.rpartition(".")
        inside = section if section in schema.declared else ""
        raise InputError(f"unknown key '{key}'"
                         + unknown_key(schema, last if inside else key, f"{inside}." if inside else "",
                                       f"{inside}." if inside else ""))
    if isinstance(schema.declared[path], type):
        return [group for group in every if f"{group.path}.".startswith(f"{path}.")]
    section, _, last = path.rpartition(".")
    return [group.of(last) for group in every if group.path == section]


def text(shown: list[Group]) -> str:
    """Return sections as text of at most 80 columns, the keys of each in a column."""
    return "\n\n".join("\n".join(_lines(group)) for group in shown)


def page(schema: Schema = SCHEMA) -> str:
    """Return the reference as Markdown."""
    lines = ["# Configuration", "", "Every key, as `mindleak config --markdown` writes it; `mindleak config KEY` has "
             "one of them. Defaults < YAML file (`--config`) < command line (`--set key.path=value`).", ""]
    for group in groups(schema):
        lines += [f"## {group.path or 'Outside of all sections'}", "", group.help, "",
                  "| key | default | expected | what it is |", "| --- | --- | --- | --- |"]
        lines += [f"| `{key}` | {f'`{default}`' if default else ''} | {_cell(expected)} | {_cell(help)} |"
                  for key, default, expected, help in group.rows]
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _rows(schema: Schema, prefix: str) -> list[tuple[str, str, str, str]]:
    """Return the rows of a section, but not of sections within it."""
    rows = []
    for key, path in schema.keys(prefix).items():
        declared = schema.declared[path]
        if isinstance(declared, Setting):
            rows.append((key, _written(declared.default), declared.expected(key), declared.help))
        elif isinstance(declared, Overrides):
            rows.append((key, "", f"keys of {declared.source}", declared.help))
        elif isinstance(declared, Named):
            rows.append((key, "", f"names, each with any of {', '.join(schema.named_sections(path))}", declared.help))
    return rows


def _reach(schema: Schema, path: str, section: type[Section]) -> str:
    """Say which names may set a section for themselves, and when it has an effect."""
    wide = [place for place, named in schema.named.items() if path in schema.named_sections(place)]
    kinds = [f"{place}.NAME.{path}" + (f" ({', '.join(own)} only)" if (own := schema.named[place].own_keys(section))
                                       else "") for place in wide]
    method = f" It has no effect unless training.method={section.needs_method}." if section.needs_method else ""
    return (f" Also under {' and '.join(kinds)}." if kinds else "") + method


def _sentence(section: type[Section]) -> str:
    """Return what a section is for: its docstring."""
    return " ".join((section.__doc__ or "").split())


def _written(value: Any) -> str:
    """Return a default as YAML would have it."""
    return value if isinstance(value, str) else json.dumps(value)


def _cell(words: str) -> str:
    """Return text that may stand in a cell of a table."""
    return words.replace("|", "\\|").replace("<", "&lt;")


def _lines(group: Group) -> Iterator[str]:
    """Yield a section's heading and, in two columns, its keys and what is known of them."""
    yield group.path or "(outside of all sections)"
    yield from _wrapped(group.help, 2)
    width = max((len(key) for key, *_ in group.rows), default=0) + 4
    for key, default, expected, help in group.rows:
        first, *more = _wrapped(f"{default}  ({expected})" if default else expected, width)
        yield f"  {key}".ljust(width) + first[width:]
        yield from more
        yield from _wrapped(help, width)


def _wrapped(words: str, indent: int) -> list[str]:
    """Return text in lines of at most 80 columns, indented."""
    return textwrap.wrap(words, _COLUMNS, initial_indent=" " * indent, subsequent_indent=" " * indent)
