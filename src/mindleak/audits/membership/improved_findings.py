"""What the improved attack adds, in words that follow from paired intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from mindleak.attacks.membership.names import IMPROVED, SHADOW
from mindleak.audits.finding import Finding, verdict
from mindleak.audits.membership.shadow_findings import paired_change
from mindleak.audits.questions import Questions, alone, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Record

# How the names of an ablation's variants begin: a group beside the posterior, all but one, all by another model.
ADDED, REMOVED, OTHER_MODEL = "posterior +", "all but", "all, "


def improved_findings(results: Sequence[Record], ablations: Sequence[Record], run_dir: Path,
                      questions: Questions) -> Iterator[Finding]:
    """Yield the findings on what the improved attack adds.

    Args:
        results: of the attacks by shadows.
        ablations: of the improved attack.
        run_dir: what the results' ``arrays`` are relative to.
        questions: where it is asked what adds to the attack.
    """
    improved = [each for each in results if each.get("attack") == IMPROVED]
    gains = {result["subject"]: change.to_json() for result in improved for other in results
             if (other["subject"], other.get("attack", SHADOW)) == (result["subject"], SHADOW)
             and (change := paired_change(other, result, run_dir)) is not None}
    family = questions.ask("AUCs of the improved attack against the shadow attack's",
                           {subject: Comparison.of(change) for subject, change in gains.items()})
    for result in improved:
        if result["subject"] in gains:
            yield from _gain(result, gains[result["subject"]], family)
        yield from (Finding(f"Improved attack on {result['subject']}: {note}.", result["subject"])
                    for note in result["notes"])
    family = questions.ask("AUCs of the ablation's variants", {
        (ablation["subject"], each["name"]): Comparison.of(each[key]) for ablation in ablations
        for each in ablation["variants"] if (key := _compared_by(each["name"])) is not None})
    for ablation in ablations:
        yield from _worth(ablation, family)
        yield from _models(ablation, family)


def _compared_by(name: str) -> Optional[str]:
    """Return which difference of a variant is put in words, by the variant's name; None for what is compared with."""
    if name.startswith(ADDED):
        return "change"
    return "change_from_all" if name.startswith((REMOVED, OTHER_MODEL)) else None


def _gain(result: Record, change: Record, family: Family) -> Iterator[Finding]:
    """Say whether the improved attack beats the posterior attack on the same samples."""
    subject, interval = result["subject"], known_interval(change)
    if interval is None:
        return
    said = (f"Improved against shadow attack on {subject}: AUC {change['value']:+.3f} ({interval[0]:+.3f} to "
            f"{interval[1]:+.3f}, {change['n']} samples, the same shadows)")
    way = family.direction(subject)
    if way > 0:
        said += ": the further features and the other attack model find more."
    elif way < 0:
        said += ": they find less."
    else:
        said += f": no difference was detected{alone(family, subject, interval)}."
    yield Finding(said, subject, verdict(way), (result["overall"]["auc"],))


def _worth(ablation: Record, family: Family) -> Iterator[Finding]:
    """Say which groups add to the posterior, and which ones all the others cannot replace."""
    added, removed = (_sorted_by_way(ablation, start, family) for start in (ADDED, REMOVED))
    if not any((*added, *removed)):
        return
    where = f"Ablation on {ablation['subject']} (verdicts {family}, intervals each at their own 95 % level)"
    parts = []
    if any(added):
        parts.append(_listed("beside the posterior, AUC is raised by", added[0], "change", "no group alone"))
        if added[2]:
            parts.append(_listed("lowered by", added[2], "change", ""))
    if any(removed):
        parts.append(_listed("taken from all, a loss is shown for", removed[2], "change_from_all", "no single group"))
        if removed[0]:
            parts.append(_listed("a gain for leaving out", removed[0], "change_from_all", ""))
    yield Finding(f"{where}: {'; '.join(parts)}. Of the other groups no effect was detected.", ablation["subject"],
                  verdict(any(added[0] + added[2] + removed[0] + removed[2])),
                  [*(each["change"] for group in added for each in group),
                   *(each["change_from_all"] for group in removed for each in group)])


def _models(ablation: Record, family: Family) -> Iterator[Finding]:
    """Say which attack models, with all features, differ from the configured one."""
    better, same, worse = _sorted_by_way(ablation, OTHER_MODEL, family)
    if not (better or same or worse):
        return
    shared = "one per class" if ablation["one_per_class"] else "one for all classes"
    kind = f"{ablation['attack_model'].replace('_', ' ')}, {shared}"
    parts = [_listed(word, found, "change_from_all", "none") for word, found in (("better", better), ("worse", worse))]
    yield Finding(f"Attack models on {ablation['subject']}, all features, against the configured one ({kind}): "
                  f"{'; '.join(parts)}; of the others no difference was detected.", ablation["subject"],
                  verdict(bool(better or worse)),
                  [each["change_from_all"] for each in (*better, *same, *worse)])


def _sorted_by_way(ablation: Record, start: str, family: Family) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the variants whose name starts so: shown to be above zero, not shown, below; largest change first."""
    key = "change" if start == ADDED else "change_from_all"
    variants = sorted((each for each in ablation["variants"] if each["name"].startswith(start)),
                      key=lambda each: -abs(each[key]["value"] or 0.0))
    above, around, below = ([each for each in variants if family.direction((ablation["subject"], each["name"])) == way]
                            for way in (1, 0, -1))
    return above, around, below


def _listed(words: str, variants: Sequence[Record], key: str, nothing: str) -> str:
    """Write variants with their changes and intervals behind words."""
    if not variants:
        return f"{words} {nothing}"
    changes = ((_short(each["name"]), each[key]["value"], *each[key]["ci"]) for each in variants)
    named = (f"{name} {value:+.3f} ({low:+.3f} to {high:+.3f})" for name, value, low, high in changes)
    return f"{words} {', '.join(named)}"


def _short(name: str) -> str:
    for start in (ADDED, REMOVED, OTHER_MODEL):
        name = name.removeprefix(f"{start.rstrip()} ")
    return name
