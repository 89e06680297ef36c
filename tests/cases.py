"""A few of a test's cases for every run; the others, of the same kind, are for continuous integration alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """Return a test's cases, all of them marked slow but the ``quick`` ones, which must be among them."""
    listed = list(cases)
    return with_slow(listed, *(case for case in listed if case not in _known(listed, quick)))


def with_slow(cases: Iterable[Any], *slow: Any) -> list[Any]:
    """Return a test's cases, the ``slow`` ones, which must be among them, marked as such."""
    listed = list(cases)
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
            if case in _known(listed, slow) else case for case in listed]


def _known(cases: list[Any], named: tuple[Any, ...]) -> tuple[Any, ...]:
    unknown = [case for case in named if case not in cases]
    if unknown:
        raise ValueError(f"no cases of the test: {unknown}")
    return named
