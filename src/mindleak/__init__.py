"""mindleak: privacy and robustness audit of image classifiers on MindSpore.

``mindleak.Subject`` and ``mindleak.audit`` are the Python side of the command line, ``mindleak.InputError`` is what
they raise when the input is at fault. They are loaded when first used, since MindSpore takes seconds to import.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindleak.errors import InputError
    from mindleak.jobs.audit import AuditReport, audit
    from mindleak.subjects.own import Subject

__version__ = "0.1.0"
__all__ = ["AuditReport", "InputError", "Subject", "__version__", "audit"]

# MindSpore reads its log level once, when it is imported: errors only, unless the user asked for more.
os.environ.setdefault("GLOG_v", "3")

_HOMES = {
    "AuditReport": "mindleak.jobs.audit",
    "InputError": "mindleak.errors",
    "Subject": "mindleak.subjects.own",
    "audit": "mindleak.jobs.audit",
}


def __getattr__(name: str) -> Any:
    """Load a public name from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mindleak' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the module's names, those not yet loaded included."""
    return sorted({*globals(), *_HOMES})
