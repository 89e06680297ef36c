"""Pairs of subjects that families compare: alike in architecture and data, one ordinary and one suppressed."""

from __future__ import annotations

from mindleak.evaluation.metric import Record


def recipes_differ(ordinary: Record, suppressed: Record) -> str:
    """Say what else than suppression tells two recipes apart, since a change may then be that one's doing."""
    keys = sorted(key for key in set(ordinary) & set(suppressed)
                  if key != "method" and ordinary[key] != suppressed[key])
    return f" Their recipes also differ in {', '.join(keys)}, so the change is not suppression's alone." if keys else ""
