"""What reference attacks found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.jobs.likeness import caution
from mindleak.jobs.membership_findings import beyond_guessing, known_interval
from mindleak.jobs.paired_attacks import compared

Record = Mapping[str, Any]


def reference_findings(results: Sequence[Record], shadow_results: Sequence[Record], run_dir: Path) -> Iterator[str]:
    """Yield the findings, one or two sentences each.

    Args:
        results: ``reference_attacks`` of the audit document.
        shadow_results: its ``membership``, to compare with the attacks by shadows on the same subject.
        run_dir: what the records' ``arrays`` are relative to.
    """
    for result in results:
        unlike = caution(result.get("subject_accuracy"), result.get("reference_accuracy") or [], "reference")
        for number, attack in enumerate(result["attacks"]):
            shown = unlike if number == 0 or not unlike else " Caution: the references are unlike it, as said above."
            yield f"{_against_chance(result, attack)}{shown}"
        for other in (each for each in shadow_results if each["subject"] == result["subject"]):
            yield from _against(result, other, run_dir)
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
    beside = f"{_rare(attack)}{_epsilon(attack)}"
    if low > 0.5:
        return f"{found}, better than chance.{beside}"
    if high < 0.5:
        return (f"{found}, below chance: one null attack in forty ends there, or the references are unlike the subject."
                f"{beside}")
    smallest = result["detectable"].get("auc")
    reach = ("the sample is too small to have shown any" if smallest is None
             else f"eight of ten samples of this size would show an AUC of {smallest:.3f}")
    return f"{found}; no leak was detected on average over all samples, and {reach}.{beside}"


def _rare(attack: Record) -> str:
    """Say what the attack finds where accusations are rare, at the finest rate that the non-members can show."""
    rates = [rate for rate in ("0.001", "0.01") if float(rate) * attack["n_out"] >= 1]
    for rate in rates:
        said = list(beyond_guessing(attack["overall"].get(f"tpr@{rate}"), "the references' threshold"))
        if said:
            return f" At {100 * float(rate):g} % FPR {said[0]}."
    return ""


def _epsilon(attack: Record) -> str:
    """Say which ε is refuted, and by which of the two answers: few accusations that hit, or acquittals that do."""
    bound = attack.get("epsilon")
    if not bound or not bound["epsilon"]:
        return ""
    by = ("the members that it accuses" if bound["by_accusation"]
          else "the samples that it clears, hardly any of which is a member")
    return (f" At another threshold of the references, ε is at least {bound['epsilon']:.2f} at δ {bound['delta']:g} "
            f"(level {1 - bound['alpha']:g}, samples taken for independent trials), shown by {by}.")


def _against(result: Record, other: Record, run_dir: Path) -> Iterator[str]:
    """Hold every reference attack against an attack by shadows, paired, on the samples that both scored."""
    if not (result.get("arrays") and other.get("arrays")):
        return
    ways: dict[str, list[str]] = {"stronger": [], "weaker": [], "not shown to differ": []}
    for each in compared(other, [result], run_dir):
        interval = known_interval(each["difference"])
        if interval is not None:
            low, high = interval
            way = "stronger" if low > 0 else "weaker" if high < 0 else "not shown to differ"
            ways[way].append(f"{each['attack']} {each['difference']['value']:+.3f} ({low:+.3f} to {high:+.3f})")
    if any(ways.values()):
        yield (f"Against the {other.get('attack', 'shadow')} attack on {result['subject']}, AUC on the same samples, "
               "paired, each at its own 95 % level: "
               + "; ".join(f"{way}: {', '.join(found)}" for way, found in ways.items() if found) + ".")


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
