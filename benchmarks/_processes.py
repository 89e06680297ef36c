"""Simulated cases side by side, each in a process of its own; what is printed does not depend on how many there are."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add --processes."""
    parser.add_argument("--processes", type=int, default=1, metavar="N",
                        help="cases simulated side by side, each in a process of its own (1)")


def outcomes_of(simulate: Callable[..., Outcome], cases: Iterable[tuple[Any, ...]],
                processes: int) -> Iterator[Outcome]:
    """Yield what ``simulate`` returns for the arguments of each case, in the order of ``cases``."""
    if processes < 2:
        yield from (simulate(*case) for case in cases)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from (asked.result() for asked in [pool.submit(simulate, *case) for case in cases])
