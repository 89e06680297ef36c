"""Hyper-parameters of unlearning methods, checked one by one."""

from __future__ import annotations

import math

from mindleak.errors import InputError


def whole(name: str, value: int, least: int) -> int:
    """Return a whole number from ``least`` on.

    Raises:
        InputError: it is none.
    """
    if type(value) is not int or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} on")
    return value


def positive(name: str, value: float) -> float:
    """Return a finite number above 0.

    Raises:
        InputError: it is none.
    """
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise InputError(f"{name} is {value!r}; expected a finite number above 0")
    return value


def not_negative(name: str, value: float) -> float:
    """Return a finite number from 0 on.

    Raises:
        InputError: it is none.
    """
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise InputError(f"{name} is {value!r}; expected a finite number from 0 on")
    return value


def fraction(name: str, value: float, whole_too: bool = False) -> float:
    """Return a number above 0 and below 1, or up to 1 where the ``whole_too`` is one.

    Raises:
        InputError: it is none.
    """
    if type(value) not in (int, float) or not 0 < value <= 1 or (value == 1 and not whole_too):
        raise InputError(f"{name} is {value!r}; expected a number above 0 and {'up to' if whole_too else 'below'} 1")
    return value
