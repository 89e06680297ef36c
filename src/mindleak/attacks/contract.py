"""The contract of attacks: parameters in the constructor, one final public call, a dataclass back.

A base class per kind of attack has the final ``attack``, which checks shapes, ranges and finite numbers and what the
target offers; a subclass writes the algorithm alone, as ``_run``. This is the template method of Foolbox's
``attacks/base.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from mindleak.attacks.target import LOGITS


class Attack(ABC):
    """What all attacks have in common.

    Attributes:
        needs: what the attack asks of a target: ``target.LOGITS``, ``LAYERS``, ``GRADIENTS``. Whoever asks a target
            for it calls ``target.require(target, attack.needs)`` beforehand.
    """

    needs: frozenset[str] = frozenset({LOGITS})

    @abstractmethod
    def _run(self, *given: Any) -> Any:
        """Return the result for what the final call has checked."""
