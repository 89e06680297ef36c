"""Ctrl-C and SIGTERM end a command, whatever the code does that they happen to hit.

A signal's handler raises ``KeyboardInterrupt`` wherever the main thread is. In a finaliser or a weak reference's
callback Python prints it and goes on; a library may catch it; MindSpore's C++ turns it into another exception, behind a
page of its own stack. So a signal is remembered too: it is raised again, at the next stage and at the command's end at
the latest, and what is written to standard error while the command comes to its end is nobody's to read.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

# How soon an interrupt that was swallowed is raised again.
AGAIN_SECONDS = 0.05
# MindSpore answers a signal by sending SIGTERM to its own process; a later one is the user's, who means it.
ECHO_SECONDS = 1.0

_came = False


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` in the block for Ctrl-C and the first SIGTERM, and at its end if nothing came of it.

    A running graph of MindSpore answers Ctrl-C by sending SIGTERM to its own process, so that interrupts, too; another
    one, a second or more later, kills. Not under msrun, where a process that waits for a dead one in C++ must die of it
    at once. Handlers that a program around has set stay, and so does everything in a thread that is not the main one.
    """
    global _came
    ours = {number: before for number, before in ((signal.SIGINT, signal.default_int_handler),
                                                  (signal.SIGTERM, signal.SIG_DFL))
            if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is before
            and not (number == signal.SIGTERM and "MS_ROLE" in os.environ)}
    stderr = _Stderr()
    before, _came = _came, False
    came_at: dict[int, float] = {}

    def interrupt(number: int, frame: object) -> None:
        global _came
        now = time.monotonic()
        first = came_at.setdefault(number, now)
        if number == signal.SIGTERM and now - first > ECHO_SECONDS:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        _came = True
        stderr.hide()
        raise KeyboardInterrupt

    hook = sys.unraisablehook
    for number in ours:
        signal.signal(number, interrupt)
    if ours:
        sys.unraisablehook = _raised_again(hook)
    try:
        yield
        check()
    except BaseException as error:
        # What C++ or a library makes of an interrupt is no fault of its own.
        if _came and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if ours:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.unraisablehook = hook
        for number, handler in ours.items():
            signal.signal(number, handler)
        stderr.show()
        _came = before


def check() -> None:
    """Raise ``KeyboardInterrupt`` where a signal came and was swallowed: to be called where work begins.

    Raises:
        KeyboardInterrupt: a signal came in the block of ``raised`` around.
    """
    if _came:
        raise KeyboardInterrupt


def _raised_again(hook: Any) -> Any:
    """Return a hook for exceptions in finalisers that raises an interrupt once more, outside of them."""

    def again(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    def unraisable(problem: Any) -> None:
        if not (_came and issubclass(problem.exc_type, KeyboardInterrupt)):
            hook(problem)
        elif threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    return unraisable


class _Stderr:
    """File descriptor 2, which C++ writes to beyond ``sys.stderr``; hidden from the first signal on."""

    def __init__(self) -> None:
        self._hidden = False
        # Taken now: where a signal comes, it may lead elsewhere for a while.
        self._kept: int | None = None
        with contextlib.suppress(OSError):
            self._kept = os.dup(2)

    def hide(self) -> None:
        """Send what is written from now on to nowhere."""
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
            self._hidden = True

    def show(self) -> None:
        """Give it back."""
        if self._kept is None:
            return
        if self._hidden:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            os.dup2(self._kept, 2)
        os.close(self._kept)
        self._kept = None
