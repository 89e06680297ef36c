"""What reference attacks found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def reference_findings(results: Sequence[Record], shadow_results: Sequence[Record]) -> Iterator[str]:
    """Yield the findings, one or two sentences each.

    Args:
        results: ``reference_attacks`` of the audit document.
        shadow_results: its ``membership``, to compare with the attacks by shadows on the same subject.
    """
    for result in results:
        for attack in result["attacks"]:
            yield _against_chance(result, attack)
        for other in (each for each in shadow_results if each["subject"] == result["subject"]):
            yield from _against(result, other)
        yield from _fallbacks(result)
        yield from (f"References of {result['subject']}: {note}." for note in result["notes"])


def _against_chance(result: Record, attack: Record) -> str:
    """Say whether an attack beats chance, what it reaches where accusations are rare, and what ε it refutes."""
    area = attack["overall"]["auc"]
    name = f"{attack['attack']} on {result['subject']}"
    if area["value"] is None or area["ci"] is None:
        return f"{name}: no AUC ({area.get('reason') or 'it has no interval'})."
    low, high = area["ci"]
    found = f"{name}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
    if low > 0.5:
        return f"{found}, better than chance.{_rare(attack)}{_epsilon(attack)}"
    if high < 0.5:
        return f"{found}, below chance: one null attack in forty ends there, or the references are unlike the subject."
    smallest = result["detectable"].get("auc")
    reach = ("the sample is too small to have shown any" if smallest is None
             else f"eight of ten samples of this size would show an AUC of {smallest:.3f}")
    return f"{found}; no leak was detected on average, and {reach}.{_epsilon(attack)}"


def _rare(attack: Record) -> str:
    """Say what the attack finds at a threshold that references set for few false accusations."""
    for rate in ("0.001", "0.01"):
        metric = attack["overall"].get(f"tpr@{rate}") or {}
        if metric.get("value") is not None and metric.get("fpr") is not None:
            return (f" With the references' threshold for a false-positive rate of {100 * float(rate):g} % it finds "
                    f"{100 * metric['value']:.2f} % of the members and accuses {100 * metric['fpr']:.2f} % of the "
                    "non-members.")
    return ""


def _epsilon(attack: Record) -> str:
    bound = attack.get("epsilon")
    if not bound or not bound["epsilon"]:
        return ""
    return (f" Taking samples for independent trials, ε is at least {bound['epsilon']:.2f} at δ {bound['delta']:g} "
            f"(level {1 - bound['alpha']:g}).")


def _against(result: Record, other: Record) -> Iterator[str]:
    """Say whether the best reference attack beats an attack by shadows, by intervals that do not meet."""
    known = [attack for attack in result["attacks"] if attack["overall"]["auc"]["ci"] is not None]
    if not known or not other["overall"]["auc"].get("ci"):
        return
    best = max(known, key=lambda attack: attack["overall"]["auc"]["value"])
    ours, theirs = best["overall"]["auc"], other["overall"]["auc"]
    compared = (f"{result['subject']}: the best reference attack, {best['attack']}, has an AUC of {ours['value']:.3f} "
                f"({ours['ci'][0]:.3f} to {ours['ci'][1]:.3f}), the {other.get('attack', 'shadow')} attack "
                f"{theirs['value']:.3f} ({theirs['ci'][0]:.3f} to {theirs['ci'][1]:.3f})")
    if ours["ci"][0] > theirs["ci"][1]:
        yield f"{compared}: it is stronger, the intervals do not meet."
    elif ours["ci"][1] < theirs["ci"][0]:
        yield f"{compared}: it is weaker, the intervals do not meet."
    else:
        yield f"{compared}: the intervals meet, so this run does not show which is stronger."


def _fallbacks(result: Record) -> Iterator[str]:
    """Say what LiRA's σ rests on where it is not a sample's own, and which classes share a threshold."""
    notes = {attack["notes"]["sigma_note"] for attack in result["attacks"]
             if attack["notes"].get("sigma") not in (None, "per sample")}
    yield from (f"LiRA on {result['subject']}: {note}." for note in sorted(notes))
    notes = {attack["notes"]["population_note"] for attack in result["attacks"] if "population_note" in attack["notes"]}
    yield from (f"RMIA on {result['subject']}: {note}." for note in sorted(notes))
    shared = {name: reason for attack in result["attacks"]
              for name, reason in attack.get("shared_threshold", {}).items()}
    if shared:
        yield (f"Metric attacks on {result['subject']}: no threshold of their own for "
               + "; ".join(f"class {name} ({reason})" for name, reason in shared.items()) + ".")
