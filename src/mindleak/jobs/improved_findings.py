"""What the improved attack adds, in words that follow from paired intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.attacks.membership.names import IMPROVED, SHADOW
from mindleak.jobs.membership_findings import known_interval, paired_change

Record = Mapping[str, Any]


def improved_findings(results: Sequence[Record], ablations: Sequence[Record], run_dir: Path) -> Iterator[str]:
    """Yield the findings, one or two sentences each.

    Args:
        results: ``membership`` of the audit document.
        ablations: its ``ablations``.
        run_dir: what the results' ``arrays`` are relative to.
    """
    for result in (each for each in results if each["attack"] == IMPROVED):
        others = [each for each in results if (each["subject"], each["attack"]) == (result["subject"], SHADOW)]
        for other in others:
            yield from _gain(other, result, run_dir)
        yield from (f"Improved attack on {result['subject']}: {note}." for note in result["notes"])
    for ablation in ablations:
        yield from _worth(ablation)
        yield from _models(ablation)


def _gain(shadow: Record, improved: Record, run_dir: Path) -> Iterator[str]:
    """Say whether the improved attack beats the posterior attack on the same samples."""
    change = paired_change(shadow, improved, run_dir)
    interval = None if change is None else known_interval(change.to_json())
    if change is None or interval is None:
        return
    low, high = interval
    said = (f"Improved against shadow attack on {improved['subject']}: AUC {change.value:+.3f} ({low:+.3f} to "
            f"{high:+.3f}, {change.n} samples, the same shadows)")
    if low > 0:
        yield f"{said}: the further features and the other attack model find more."
    elif high < 0:
        yield f"{said}: they find less."
    else:
        yield f"{said}: no difference was detected."


def _worth(ablation: Record) -> Iterator[str]:
    """Say which groups add to the posterior, and which ones all the others cannot replace."""
    variants = ablation["variants"]
    added = _sorted_by_sign([each for each in variants if each["name"].startswith("posterior +")], "change")
    removed = _sorted_by_sign([each for each in variants if each["name"].startswith("all but")], "change_from_all")
    compared = sum(map(len, (*added, *removed)))
    if not compared:
        return
    where = f"Ablation on {ablation['subject']} ({compared} paired comparisons, each at its own 95 % level)"
    parts = []
    if any(added):
        parts.append(_listed("beside the posterior, AUC is raised by", added[0], "change", "by no group alone"))
        if added[2]:
            parts.append(_listed("lowered by", added[2], "change", ""))
    if any(removed):
        parts.append(_listed("taken from all, a loss is shown for", removed[2], "change_from_all", "no single group"))
        if removed[0]:
            parts.append(_listed("a gain for leaving out", removed[0], "change_from_all", ""))
    yield f"{where}: {'; '.join(parts)}. Of the other groups no effect was detected."


def _models(ablation: Record) -> Iterator[str]:
    """Say which attack models, with all features, differ from the configured one."""
    others = [each for each in ablation["variants"] if each["name"].startswith("all, ")]
    if not others:
        return
    better, _, worse = _sorted_by_sign(others, "change_from_all")
    shared = "one per class" if ablation["one_per_class"] else "one for all classes"
    kind = f"{ablation['attack_model'].replace('_', ' ')}, {shared}"
    parts = [_listed(word, found, "change_from_all", "none") for word, found in (("better", better), ("worse", worse))]
    yield (f"Attack models on {ablation['subject']}, all features, against the configured one ({kind}): "
           f"{'; '.join(parts)}; of the others no difference was detected.")


def _sorted_by_sign(variants: Sequence[Record], key: str) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the variants whose interval lies above zero, includes it, lies below it; largest change first."""
    above: list[Record] = []
    around: list[Record] = []
    below: list[Record] = []
    for each in sorted(variants, key=lambda each: -abs(each[key]["value"] or 0.0)):
        interval = known_interval(each[key])
        part = around if interval is None else above if interval[0] > 0 else below if interval[1] < 0 else around
        part.append(each)
    return above, around, below


def _listed(words: str, variants: Sequence[Record], key: str, nothing: str) -> str:
    """Write variants with their changes and intervals behind words."""
    if not variants:
        return f"{words} {nothing}"
    changes = ((_short(each["name"]), each[key]["value"], *each[key]["ci"]) for each in variants)
    named = (f"{name} {value:+.3f} ({low:+.3f} to {high:+.3f})" for name, value, low, high in changes)
    return f"{words} {', '.join(named)}"


def _short(name: str) -> str:
    for start in ("posterior + ", "all but ", "all, "):
        name = name.removeprefix(start)
    return name
