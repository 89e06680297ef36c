"""What reference attacks found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mindleak.attacks.membership.names import SHADOW
from mindleak.audits.finding import CANNOT_TELL, SHOWN, Finding, verdict
from mindleak.audits.membership.likeness import caution, learnt_nothing, unlike
from mindleak.audits.membership.paired import compared
from mindleak.audits.membership.questions import OTHERS, LeakFamilies, rare_rate
from mindleak.audits.membership.shadow_findings import beyond_guessing, leak_verdict
from mindleak.audits.questions import Questions, alone, among, detectable_auc, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.empirical_epsilon import EpsilonBound
from mindleak.evaluation.metric import Record


def reference_findings(results: Sequence[Record], shadow_results: Sequence[Record], run_dir: Path,
                       leaks: LeakFamilies, questions: Questions) -> Iterator[Finding]:
    """Yield the findings on attacks by references.

    Args:
        results: of these attacks.
        shadow_results: of the attacks by shadows, to compare with those on the same subject.
        run_dir: what the records' ``arrays`` are relative to.
        leaks: which of all attacks of the audit tell members from non-members.
        questions: where further questions are asked.
    """
    bounds = sum(bool(attack.get("epsilon")) for result in results for attack in result["attacks"])
    pairs = [(result, other) for result in results for other in shadow_results
             if other["subject"] == result["subject"] and result.get("arrays") and other.get("arrays")]
    differences = {(result["subject"], _by(other), each["attack"]): each["difference"]
                   for result, other in pairs for each in compared(other, [result], run_dir)}
    family = questions.ask("AUCs of reference attacks against those of attacks by shadows",
                           {key: Comparison.of(difference) for key, difference in differences.items()})
    for result in results:
        nothing, different = doubts(result)
        again = caution("it may have learnt nothing, as said above." if nothing else "",
                        "the references are unlike it, as said above." if different else "")
        for number, attack in enumerate(result["attacks"]):
            doubtful = again if number else caution(nothing, different)
            yield _against_chance(result, attack, leaks, bounds, doubtful)
        for other in (other for first, other in pairs if first is result):
            yield from _against(result, other, differences, family)
        yield from _fallbacks(result)
        yield from (Finding(f"References of {result['subject']}: {note}.", result["subject"])
                    for note in result["notes"])


def doubts(result: Record) -> tuple[str, str]:
    """Return what makes the figures of reference attacks doubtful: nothing learnt, unlike references; or empty."""
    subject = result.get("subject_accuracy")
    return (learnt_nothing(subject, result.get("commonest_class")),
            unlike(subject, result.get("reference_accuracy") or [], "reference"))


def _against_chance(result: Record, attack: Record, leaks: LeakFamilies, bounds: int, doubtful: str) -> Finding:
    """Say whether an attack beats chance, what it reaches where accusations are rare, and what ε it refutes."""
    area = attack["overall"]["auc"]
    name = f"{attack['attack']} on {result['subject']}"
    if area["value"] is None or area["ci"] is None:
        return Finding(f"{name}: no AUC ({area.get('reason') or 'it has no interval'}).{doubtful}",
                       result["subject"], CANNOT_TELL, (area,))
    low, high = area["ci"]
    found = f"{name}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
    key = (result["subject"], attack["attack"])
    ties = f" Its AUC: {area['reason']}." if area.get("reason") else ""
    refuted, epsilon = _epsilon(attack, bounds)
    beside = f"{ties}{_rare(key, attack, leaks.rates)}{epsilon}"
    way = leaks.areas.direction(key)
    rare = rare_rate(attack)
    rests = [area, *([] if rare is None else [attack["overall"][f"tpr@{rare}"]]), attack.get("epsilon")]
    found_rare = rare is not None and leaks.rates.direction((*key, rare, OTHERS)) > 0
    stated = SHOWN if found_rare or refuted else leak_verdict(
        way, bool(doubtful) or detectable_auc(attack["n_in"], attack["n_out"], leaks.areas) is None)
    return Finding(_in_words(found, way, key, attack, leaks, interval=(low, high)) + beside + doubtful,
                   result["subject"], stated, rests)


def _in_words(found: str, way: int, key: tuple[str, str], attack: Record, leaks: LeakFamilies,
              interval: tuple[float, float]) -> str:
    """Say on which side of chance an attack is, or what its sample could have shown."""
    if way > 0:
        return f"{found}, better than chance."
    if way < 0:
        return (f"{found}, below chance: one null audit in forty ends there, or the references are unlike the "
                "subject.")
    smallest = detectable_auc(attack["n_in"], attack["n_out"], leaks.areas)
    reach = ("the sample is too small to have shown any" if smallest is None
             else f"eight of ten samples of this size would show an AUC of {smallest:.3f}{among(leaks.areas)}")
    return (f"{found}; no leak was detected on average over all samples{alone(leaks.areas, key, interval, 0.5)}, "
            f"and {reach}.")


def _rare(key: tuple[str, str], attack: Record, family: Family) -> str:
    """Say what the attack finds where accusations are rare, at the finest rate that the non-members can show."""
    rate = rare_rate(attack)
    if rate is None:
        return ""
    said = beyond_guessing(attack["overall"][f"tpr@{rate}"], "the references' threshold", family, (*key, rate, OTHERS))
    return f" At {100 * float(rate):g} % FPR {next(said)}."


def _epsilon(attack: Record, bounds: int) -> tuple[bool, str]:
    """Return whether an ε is refuted, and say which, and by which answers: accusations that hit, or acquittals.

    Of so many ``bounds`` all hold together: each has its share of what may be wrong (Bonferroni).
    """
    record = attack.get("epsilon")
    if not record or not record["epsilon"]:
        return False, ""
    bound = EpsilonBound.from_json(record).at(record["alpha"] / bounds)
    if not bound.epsilon:
        return False, (f" At another threshold of the references, ε is at least {record['epsilon']:.2f} by itself, "
                       f"which does not hold as one of {bounds} bounds (Bonferroni-corrected at "
                       f"{100 * record['alpha']:g} %).")
    by = ("the members that it accuses" if bound.by_accusation
          else "the samples that it clears, hardly any of which is a member")
    together = f" for {bounds} bounds together" if bounds > 1 else ""
    return True, (f" At another threshold of the references, ε is at least {bound.epsilon:.2f} at δ {bound.delta:g} "
                  f"(level {1 - record['alpha']:g}{together}, samples taken for independent trials), shown by {by}.")


def _against(result: Record, other: Record, differences: Mapping[tuple[str, str, str], Record],
             family: Family) -> Iterator[Finding]:
    """Hold every reference attack against an attack by shadows, paired, on the samples that both scored."""
    words = {1: "stronger", -1: "weaker", 0: "not shown to differ"}
    ways: dict[str, list[str]] = {word: [] for word in words.values()}
    for key, difference in differences.items():
        interval = known_interval(difference)
        if key[:2] == (result["subject"], _by(other)) and interval is not None:
            ways[words[family.direction(key)]].append(
                f"{key[2]} {difference['value']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})")
    if any(ways.values()):
        corrected = f"; verdicts {family}" if family.size > 1 else ""
        yield Finding(f"Against the {_by(other)} attack on {result['subject']}, AUC on the same samples, "
                      f"paired, intervals each at their own 95 % level{corrected}: "
                      + "; ".join(f"{way}: {', '.join(found)}" for way, found in ways.items() if found) + ".",
                      result["subject"], verdict(bool(ways["stronger"] or ways["weaker"])),
                      [each["overall"]["auc"] for each in (other, *result["attacks"]) if "overall" in each])


def _by(other: Record) -> str:
    return str(other.get("attack", SHADOW))


def _fallbacks(result: Record) -> Iterator[Finding]:
    """Say what LiRA's σ rests on where it is not a sample's own, and which classes share a threshold."""
    notes = {attack["notes"]["sigma_note"] for attack in result["attacks"]
             if attack["notes"].get("sigma") not in (None, "per sample")}
    yield from (Finding(f"LiRA on {result['subject']}: {note}.", result["subject"]) for note in sorted(notes))
    notes = {attack["notes"]["population_note"] for attack in result["attacks"] if "population_note" in attack["notes"]}
    yield from (Finding(f"RMIA on {result['subject']}: {note}.", result["subject"]) for note in sorted(notes))
    shared = {name: reason for attack in result["attacks"]
              for name, reason in attack.get("shared_threshold", {}).items()}
    if shared:
        yield Finding(f"Metric attacks on {result['subject']}: no threshold of their own for "
                      + "; ".join(f"class {name} ({reason})" for name, reason in shared.items()) + ".",
                      result["subject"])
