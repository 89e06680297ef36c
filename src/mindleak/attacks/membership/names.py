"""The membership attacks by name: what ``membership.attacks`` and ``--attack`` may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from mindleak.errors import InputError, known_names

SHADOW = "shadow"
IMPROVED = "improved"
# Attacks that learn from one set of shadow models.
SHADOW_ATTACKS = (SHADOW, IMPROVED)
RNN_TUTORIAL = "rnn_tutorial"
METRIC_ATTACKS = ("loss", "confidence", "entropy", "modified_entropy", "phi")
LIRA_ATTACKS = ("lira_online", "lira_offline", "lira_offline_two_sided")
RMIA_ATTACKS = ("rmia_online", "rmia_offline")
REFERENCE_ATTACKS = (*LIRA_ATTACKS, *RMIA_ATTACKS, *METRIC_ATTACKS)
ALL_ATTACKS = (*SHADOW_ATTACKS, RNN_TUTORIAL, *REFERENCE_ATTACKS)
# What a sweep's networks, which have no population beside them, can be attacked with.
SIBLING_ATTACKS = (SHADOW, *METRIC_ATTACKS, *LIRA_ATTACKS)
_RENAMED = {"document": RNN_TUTORIAL}


def checked_attacks(names: Sequence[str], key: str) -> tuple[str, ...]:
    """Return the attacks asked for, each once, in the order given.

    Args:
        names: what the configuration has; any of ``ALL_ATTACKS``.
        key: of the configuration, for messages.

    Raises:
        InputError: none at all, an unknown one (the nearest is named), or one that has another name now.
    """
    for name in names:
        if name in _RENAMED:
            raise InputError(f"{key}: attack '{name}' is called '{_RENAMED[name]}'")
    return known_names(names, ALL_ATTACKS, key)
