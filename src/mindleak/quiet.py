"""Keeps MindArmour and MindSpore from talking over the user, and from crashing on Ctrl-C.

MindArmour 2.0.0 warns about its version, counts down and sleeps one second on import, logs every
iteration, prints progress with bare ``print`` calls and draws from NumPy's global random state.
Nothing here is patched for longer than the ``with`` block that needs it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np


def import_mindarmour() -> ModuleType:
    """Import MindArmour without its warning, its countdown and its one-second sleep.

    The version warning is not lost: ``mindleak doctor`` reports the combination.
    """
    if "mindarmour" in sys.modules:
        return sys.modules["mindarmour"]
    root = logging.getLogger()
    handlers, level, disabled, sleep = list(root.handlers), root.level, root.manager.disable, time.sleep
    # With a handler there, logging does not install one of its own for the warning.
    root.addHandler(logging.NullHandler())
    logging.disable(max(disabled, logging.WARNING))
    try:
        time.sleep = lambda seconds: None
        import mindarmour
        from mindarmour.utils.logger import LogUtil
    finally:
        time.sleep = sleep
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)
    LogUtil.get_instance().set_level("ERROR")
    return mindarmour


@contextlib.contextmanager
def mindarmour_call(seed: int | None = None) -> Iterator[None]:
    """Run one piece of MindArmour: silent, repeatable, and without traces.

    Inside, NumPy's global random state starts from ``seed`` (MindArmour draws from it), ``print`` output is
    swallowed, and the objects alive on entry are exempt from garbage collection: MindArmour calls
    ``gc.collect()`` a dozen times in every mask update, which took 1.0 s of the 1.05 s of an update in a
    process with MindSpore loaded (measured on LeNet5, 2 CPU cores). On exit all three are as before.
    """
    import_mindarmour()
    with numpy_state(seed), contextlib.redirect_stdout(io.StringIO()), frozen_heap():
        yield


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Exempt all objects alive now from garbage collection until the block ends."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def numpy_state(seed: int | None) -> Iterator[None]:
    """Give the block its own global NumPy random state, and restore the caller's afterwards."""
    state: Any = np.random.get_state()
    if seed is not None:
        np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: MindSpore's loader writes there from C++, beyond ``sys.stderr``."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the block, which MindSpore's C++ reads when it needs it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the block ends: an import of MindSpore that is cut off aborts the process at exit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: handler for number in (signal.SIGINT, signal.SIGTERM)
                if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda signum, frame: came.append(signum))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for signum in came:
        signal.raise_signal(signum)
