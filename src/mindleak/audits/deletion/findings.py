"""What a deletion audit has shown: which method left what, against a full retraining and never against one half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mindleak.audits.deletion.words import METHOD_NAMES, audited, ledger_words, recorded, request_words
from mindleak.audits.finding import CANNOT_TELL, NOT_SHOWN, SHOWN, Finding
from mindleak.audits.questions import Questions, alone, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Record

U_LIRA, LOSS, TWO_MODELS, ACCURACY = "auc/u_lira", "auc/loss", "auc/two_models", "accuracy/test"
BEFORE, FULL, NEVER = "before", "full", "never"
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Asked:
    """What is asked of every method: U-LiRA and the loss against chance, U-LiRA against retraining, and relearning."""

    chance: Family
    weak: Family
    gap: Family
    again: Family


def deletion_findings(results: Sequence[Record], questions: Questions) -> Iterator[Finding]:
    """Yield a finding per method of every request, what each is held against, and what tells the attacks apart."""
    for result in recorded(results):
        yield Finding(f"{result['subject']}: {ledger_words(result['ledger'])}; its entries follow from one another. Of "
                      "these samples the proof is not an attack but 'mindleak delete --verify'.", result["subject"])
    results = audited(results)
    entries = {_key(result, entry): entry for result in results for entry in result["methods"]}
    if not entries:
        return
    chance = questions.ask("AUCs of deleted samples compared with chance", {
        key: Comparison.of(entry["measures"].get(U_LIRA, {}), 0.5) for key, entry in entries.items()})
    gap = questions.ask("AUCs of deleted samples compared with a full retraining's", {
        key: Comparison.of(entry["gaps"].get(U_LIRA, {})) for key, entry in entries.items()})
    both = questions.ask("AUCs by both models compared with chance", {
        key: Comparison.of(entry["measures"].get(TWO_MODELS, {}), 0.5) for key, entry in entries.items()})
    weak = questions.ask("AUCs of the loss alone compared with chance", {
        key: Comparison.of(entry["measures"].get(LOSS, {}), 0.5) for key, entry in entries.items()})
    again = questions.ask("relearning times of deleted samples compared with never-seen ones'", {
        key: Comparison.of((entry.get("relearning") or {}).get("faster", {})) for key, entry in entries.items()})
    for result in results:
        yield _control(result, chance)
        yield from (_method(result, entry, Asked(chance, weak, gap, again)) for entry in result["methods"]
                    if entry["method"] not in (BEFORE, NEVER))
        yield from _missed(result, chance, weak)
        yield from _two_models(result, both)


def _key(result: Record, entry: Record) -> Key:
    return result["subject"], result["request"], entry["method"]


def _entry(result: Record, method: str) -> Record:
    found: Record = next(entry for entry in result["methods"] if entry["method"] == method)
    return found


def _named(result: Record) -> str:
    return f"{result['subject']}, {request_words(result['request'])}"


def _control(result: Record, chance: Family) -> Finding:
    """Say whether the attack finds the samples before they are deleted, without which it acquits nothing."""
    entry, never = _entry(result, BEFORE), _entry(result, NEVER)
    metric = entry["measures"][U_LIRA]
    if chance.direction(_key(result, never)):
        return Finding(f"{_named(result)}: networks that never saw the samples are told to have had them, AUC "
                       f"{_written(never['measures'][U_LIRA])}: the attack finds what is not there, and no figure of "
                       "this request says anything.", result["subject"], None, (never["measures"][U_LIRA],))
    found = chance.direction(_key(result, entry)) > 0
    said = (f"{_named(result)}: before the deletion the attack tells the {result['forgotten']:,} samples from as many "
            f"never-seen ones, AUC {_written(metric)}" if found else
            f"{_named(result)}: even before the deletion the attack was not shown to tell the {result['forgotten']:,} "
            f"samples from never-seen ones, AUC {_written(metric)}, so that it can acquit no deletion: these networks "
            "give too little away, or there are too few samples or networks")
    return Finding(f"{said}.", result["subject"], None, (metric,))


def _method(result: Record, entry: Record, asked: Asked) -> Finding:
    """Say of one method whether the deleted samples are still told from never-seen ones.

    References that were deleted from alike learn what deleted samples look like, so that U-LiRA's area exceeds one half
    for over-forgotten ones, too: the loss alone tells which of both it is.
    """
    chance, weak = asked.chance, asked.weak
    key, metric = _key(result, entry), entry["measures"][U_LIRA]
    less = weak.direction(key) < 0
    way = chance.direction(key) or weak.direction(key)
    sound = not chance.direction(_key(result, _entry(result, NEVER)))
    able = sound and chance.direction(_key(result, _entry(result, BEFORE))) > 0
    equal = entry["gaps"].get(U_LIRA, {})
    parts = [f"{_named(result)}: {METHOD_NAMES[entry['method']]}: AUC {_written(metric)}"]
    interval = known_interval(metric)
    if less:
        parts.append("over-forgetting: the deleted samples are told by being less known than never-seen ones (AUC by "
                     f"the loss {_written(entry['measures'][LOSS])}), which gives the deletion away")
    elif way:
        parts.append("the deleted samples are still told from never-seen ones")
    elif interval is None:
        parts.append("no interval, so nothing can be said")
    else:
        parts.append("the deleted samples were not shown to be told from never-seen ones"
                     + alone(chance, key, interval, 0.5))
    if equal:
        parts.append(_against_retraining(equal, asked.gap.direction(key)))
    kept = entry["method"] == "drop_group" and not result["request"].startswith("group")
    if kept:
        parts.append("it leaves out a group drawn at random; most of the samples that were to be deleted it is still "
                     "trained on")
    # Where networks that never saw either relearn one sooner than the other, the comparison says nothing.
    sooner = 0 if asked.again.direction(_key(result, _entry(result, NEVER))) else asked.again.direction(key)
    if sooner:
        parts.append(_relearnt(entry["relearning"], sooner))
    acquits = able and interval is not None and not kept
    verdict = SHOWN if (way or sooner > 0) and sound else NOT_SHOWN if acquits else CANNOT_TELL
    metrics = (metric, equal) if equal else (metric,)
    return Finding("; ".join(parts) + ".", result["subject"], verdict, metrics)


def _against_retraining(gap: Record, way: int) -> str:
    """Say how far from a full retraining it is, and whether it was shown to be nearer than the margin."""
    margin = f"{gap['margin']:g}"
    if gap["value"] is None or gap["inner"] is None:
        return "its distance from a full retraining has no interval"
    said = f"{gap['value']:+.3f} from a full retraining"
    if gap["equivalent"]:
        return f"{said}, shown to be within {margin} of it" + (", though not equal" if way else "")
    low, high = gap["inner"]
    return (f"{said}, not shown to be within {margin} of it (it may be {low:+.3f} to {high:+.3f})"
            + (", and shown to differ" if way else ""))


def _relearnt(relearning: Record, sooner: int) -> str:
    """Say that the deleted samples are relearned sooner, or later, than never-seen ones."""
    steps, control = (relearning[name]["value"] for name in ("steps", "control"))
    return (f"relearning takes {steps:.1f} steps for them and {control:.1f} for never-seen ones, "
            + ("so that something of them is left" if sooner > 0 else "which gives the deletion away"))


def _missed(result: Record, chance: Family, weak: Family) -> Iterator[Finding]:
    """Name the methods that the loss alone does not catch and per-sample references do."""
    caught = [entry for entry in result["methods"] if entry["method"] not in (BEFORE, NEVER)
              and chance.direction(_key(result, entry)) and not weak.direction(_key(result, entry))]
    for entry in caught:
        yield Finding(f"{_named(result)}: {METHOD_NAMES[entry['method']]} looks clean by the loss alone (AUC "
                      f"{_written(entry['measures'][LOSS])}) and is caught by references that were deleted from alike.",
                      result["subject"], None, (entry["measures"][LOSS], entry["measures"][U_LIRA]))


def _two_models(result: Record, both: Family) -> Iterator[Finding]:
    """Say for which methods whoever has the model before and the model after can tell what was deleted."""
    told = [entry for entry in result["methods"] if entry["method"] not in (BEFORE, NEVER)
            and both.direction(_key(result, entry)) > 0]
    if told:
        listed = ", ".join(f"{METHOD_NAMES[entry['method']]} {_written(entry['measures'][TWO_MODELS])}"
                           for entry in told)
        yield Finding(f"{_named(result)}: whoever has the answers of both models, before and after, tells the deleted "
                      f"samples from never-seen ones (AUC): {listed}. That is no fault of a deletion: the model before "
                      "it had learned them, and must not stay in anybody's hands.", result["subject"], None,
                      [entry["measures"][TWO_MODELS] for entry in told])


def _written(metric: Mapping[str, object]) -> str:
    """Write an area with its interval."""
    interval, value = known_interval(metric), metric.get("value")
    if not isinstance(value, float):
        return "not measured"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
