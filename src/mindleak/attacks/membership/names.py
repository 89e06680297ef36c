"""The membership attacks by name: what ``membership.attacks`` and ``--attack`` may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.errors import InputError, nearest

SHADOW = "shadow"
IMPROVED = "improved"
# Attacks that learn from one set of shadow models.
SHADOW_ATTACKS = (SHADOW, IMPROVED)
DOCUMENT = "document"
METRIC_ATTACKS = ("loss", "confidence", "entropy", "modified_entropy", "phi")
LIRA_ATTACKS = ("lira_online", "lira_offline", "lira_offline_two_sided")
RMIA_ATTACKS = ("rmia_online", "rmia_offline")
REFERENCE_ATTACKS = (*LIRA_ATTACKS, *RMIA_ATTACKS, *METRIC_ATTACKS)
ALL_ATTACKS = (*SHADOW_ATTACKS, DOCUMENT, *REFERENCE_ATTACKS)


def checked_attacks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the attacks asked for, each once, in the order given.

    Raises:
        InputError: none at all, or a name that is no attack (the nearest one is named).
    """
    if not names:
        raise InputError(f"membership.attacks is empty; right is any of {', '.join(ALL_ATTACKS)}")
    for name in names:
        if name not in ALL_ATTACKS:
            raise InputError(f"membership attack '{name}' is unknown{nearest(name, ALL_ATTACKS)}")
    return tuple(dict.fromkeys(names))
