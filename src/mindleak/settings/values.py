"""One value of the configuration: of the right type, finite, and text that can name something."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

from mindleak.errors import InputError
from mindleak.settings.fields import TYPE_NAMES, Setting

# As long as a path can be on Linux.
_LONGEST_TEXT = 4096
_LONGEST_LIST = 1000


def checked(setting: Setting, value: Any, subject: str) -> Any:
    """Return ``value`` in the type of its key.

    Args:
        setting: of the key.
        value: as YAML gives it.
        subject: the message's: key and place.

    Raises:
        InputError: another type, a number beyond the largest or none at all, text that can name nothing.
    """
    if value is None and setting.nullable:
        return None
    value = _typed(value, setting.types, subject)
    if isinstance(value, list):
        return _checked_list(setting, value, subject)
    if isinstance(value, str):
        _check_text(subject, value)
    _check_number(setting, value, subject)
    return value


def _typed(value: Any, types: tuple[type, ...], subject: str) -> Any:
    """Return a value of one of the types, or refuse it."""
    wrong = InputError(f"{subject} is {'empty' if value is None else repr(value)}; expected "
                       + " or ".join(TYPE_NAMES[kind] for kind in types))
    if isinstance(value, bool) and bool not in types:
        raise wrong
    if float in types and isinstance(value, (int, str)):
        # YAML takes 1 for an int and 1e-3 for text.
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise wrong from None
    if not isinstance(value, types):
        raise wrong
    return value


def _check_number(setting: Setting, value: Any, subject: str) -> None:
    """Refuse a number that nothing could be done with."""
    if setting.most is not None and isinstance(value, (int, float)) and value > setting.most:
        raise InputError(f"{subject} is {value:g}; expected at most {setting.most:,}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{subject} is {value}; expected a finite number")


def _checked_list(setting: Setting, value: list[Any], subject: str) -> list[Any]:
    """Return a list whose items have the type of the key's; where it has none, who uses the list checks them."""
    if any(isinstance(item, float) and not math.isfinite(item) for item in _items(value)):
        raise InputError(f"{subject} is {value}; expected finite numbers")
    if setting.item is not None:
        value = [_typed(item, (setting.item,), subject) for item in value]
        for item in value:
            _check_number(setting, item, subject)
    if len(value) > _LONGEST_LIST:
        raise InputError(f"{subject} has {len(value):,} items; expected at most {_LONGEST_LIST:,}")
    for item in _items(value):
        if isinstance(item, str):
            _check_text(f"an item of {subject}", item)
    return list(value)


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
