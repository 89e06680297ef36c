"""The membership attacks by name: what ``membership.attacks`` and ``--attack`` may ask for."""

from __future__ import annotations

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
# What a sweep's networks, which have no population beside them, can be attacked with.
SIBLING_ATTACKS = (SHADOW, *METRIC_ATTACKS, *LIRA_ATTACKS)
