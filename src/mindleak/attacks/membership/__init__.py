"""Membership inference: who was in the training set?

The attacks that need no network, only answers, can be used by themselves; see ``Lira`` for an example. Names are looked
up when they are first used, so that whoever needs one attack does not depend on the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindleak.attacks.membership.metric import MetricAttack
    from mindleak.attacks.membership.reference_attack import Lira, ReferenceAttack, Rmia
    from mindleak.attacks.membership.scores import AttackScores
    from mindleak.attacks.membership.signals import ModelSignals, ReferenceSignals, model_signals, stacked

__all__ = ["AttackScores", "Lira", "MetricAttack", "ModelSignals", "ReferenceAttack", "ReferenceSignals", "Rmia",
           "model_signals", "stacked"]

_HOMES = {"AttackScores": "scores", "Lira": "reference_attack", "MetricAttack": "metric", "ModelSignals": "signals",
          "ReferenceAttack": "reference_attack", "ReferenceSignals": "signals", "Rmia": "reference_attack",
          "model_signals": "signals", "stacked": "signals"}


def __getattr__(name: str) -> Any:
    """Load a public name from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the module's names, those not yet loaded included."""
    return sorted({*globals(), *_HOMES})
