"""What a deletion audit has shown: which method left what, against a full retraining and never against one half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mindleak.audits.deletion.requests import GROUP, parse_request
from mindleak.audits.deletion.words import (
    BEFORE,
    CONTROLS,
    DROP_GROUP,
    LOSS,
    METHOD_NAMES,
    NEVER,
    SHARDED,
    SHARDED_BEFORE,
    TWO_MODELS,
    U_LIRA,
    audited,
    ledger_words,
    recorded,
    request_words,
)
from mindleak.audits.finding import CANNOT_TELL, NOT_SHOWN, SHOWN, Finding
from mindleak.audits.questions import Questions, alone, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Record
from mindleak.evaluation.power import detectable_shift

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Asked:
    """What is asked of every method.

    Attributes:
        chance: its area by U-LiRA against chance.
        weak: that of the loss against chance.
        both: that of both models against chance.
        gap, weak_gap, both_gap: each against a full retraining's, network by network.
        again: relearning deleted samples against never-seen ones.
    """

    chance: Family
    weak: Family
    both: Family
    gap: Family
    weak_gap: Family
    both_gap: Family
    again: Family

    @classmethod
    def of(cls, entries: Mapping[Key, Record], questions: Questions) -> Asked:
        """Ask."""
        def chance(what: str, name: str) -> Family:
            return questions.ask(f"AUCs {what}compared with chance", {
                key: Comparison.of(entry["measures"].get(name, {}), 0.5) for key, entry in entries.items()})

        def gap(what: str, name: str) -> Family:
            return questions.ask(f"AUCs {what}compared with a full retraining's", {
                key: Comparison.of(entry["gaps"].get(name, {})) for key, entry in entries.items()})

        again = questions.ask("relearning times of deleted samples compared with never-seen ones'", {
            key: Comparison.of((entry.get("relearning") or {}).get("faster", {})) for key, entry in entries.items()})
        return cls(chance("of deleted samples ", U_LIRA), chance("of the loss alone ", LOSS),
                   chance("by both models ", TWO_MODELS), gap("of deleted samples ", U_LIRA),
                   gap("of the loss alone ", LOSS), gap("by both models ", TWO_MODELS), again)

    def less(self, key: Key) -> bool:
        """Return whether deleted samples are less known than never-seen ones, by themselves or beside a retraining."""
        return self.weak.direction(key) < 0 or self.weak_gap.direction(key) < 0

    def flagged(self, never: Key) -> bool:
        """Return whether the attack finds samples in networks that never saw them, so that it says nothing."""
        return bool(self.chance.direction(never) or self.weak.direction(never))

    def told(self, key: Key) -> bool:
        """Return whether the answers tell deleted samples from never-seen ones, in whichever direction."""
        return bool(self.chance.direction(key) or self.weak.direction(key) or self.weak_gap.direction(key)
                    or self.gap.direction(key) > 0)


def deletion_findings(results: Sequence[Record], questions: Questions) -> Iterator[Finding]:
    """Yield a finding per method of every request, what each is held against, and what tells the attacks apart."""
    for result in recorded(results):
        yield Finding(f"{result['subject']}: {ledger_words(result['ledger'])}; its entries follow from one another. Of "
                      "these samples the proof is not an attack but 'mindleak delete --verify'.", result["subject"])
    results = audited(results)
    entries = {_key(result, entry): entry for result in results for entry in result["methods"]}
    if not entries:
        return
    asked = Asked.of(entries, questions)
    for result in results:
        yield _control(result, asked)
        for failed in result.get("failed", ()):
            yield Finding(f"{_named(result)}: {METHOD_NAMES[failed['method']]} broke a network and was not measured "
                          f"({failed['why']}).", result["subject"], CANNOT_TELL)
        if asked.flagged(_key(result, _entry(result, NEVER))):
            continue
        yield from (_method(result, entry, asked) for entry in _methods(result))
        yield from _missed(result, asked)
        yield from _two_models(result, asked)


def _key(result: Record, entry: Record) -> Key:
    return result["subject"], result["request"], entry["method"]


def _entry(result: Record, method: str) -> Record:
    found: Record = next(entry for entry in result["methods"] if entry["method"] == method)
    return found


def _methods(result: Record) -> list[Record]:
    """Return the entries that are methods, and no controls."""
    return [entry for entry in result["methods"] if entry["method"] not in CONTROLS]


def _named(result: Record) -> str:
    return f"{result['subject']}, {request_words(result['request'])}"


def _control(result: Record, asked: Asked) -> Finding:
    """Say whether the attack finds the samples before they are deleted, without which it acquits nothing."""
    entry, never = _entry(result, BEFORE), _entry(result, NEVER)
    metric, key = entry["measures"][U_LIRA], _key(result, never)
    for family, name in ((asked.chance, U_LIRA), (asked.weak, LOSS)):
        if family.direction(key):
            found = never["measures"][name]
            return Finding(f"{_named(result)}: in networks that never saw the samples, these are told from other "
                           f"never-seen ones, AUC {_written(found)}: the attack finds what is not there, so that no "
                           "method is judged by it.", result["subject"], CANNOT_TELL, (found,))
    found = asked.chance.direction(_key(result, entry)) > 0
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
    key, metric, never = _key(result, entry), entry["measures"][U_LIRA], _key(result, _entry(result, NEVER))
    # Where networks that never saw either relearn one sooner than the other, the comparison says nothing.
    sooner = 0 if asked.again.direction(never) else asked.again.direction(key)
    equal = entry["gaps"].get(U_LIRA, {})
    parts = [f"{_named(result)}: {METHOD_NAMES[entry['method']]}: AUC {_written(metric)}", _told(entry, asked, key)]
    if equal:
        parts.append(_against_retraining(equal, asked.gap.direction(key)))
    kept = entry["method"] == DROP_GROUP and parse_request(result["request"]).kind != GROUP
    if kept:
        parts.append("it leaves out a group drawn at random and is still trained on most of the samples that were to "
                     "be deleted")
    if sooner:
        parts.append(_relearnt(entry["relearning"], sooner))
    elif entry.get("relearning") and entry["relearning"]["unreached"] > result["models"]:
        parts.append(f"relearning tells little: {entry['relearning']['unreached']} of {2 * result['models']} "
                     f"relearnings did not end within {entry['relearning']['passes']} passes")
    acquits = not kept and not asked.gap.direction(key) and _able(result, entry, asked, parts)
    found = asked.told(key) or sooner != 0
    verdict = SHOWN if found else NOT_SHOWN if acquits and known_interval(metric) else CANNOT_TELL
    return Finding("; ".join(parts) + ".", result["subject"], verdict, (metric, equal) if equal else (metric,))


def _told(entry: Record, asked: Asked, key: Key) -> str:
    """Say what the answers tell of the deleted samples, and what the sample could have shown where it is nothing."""
    metric = entry["measures"][U_LIRA]
    interval = known_interval(metric)
    if asked.less(key):
        return ("over-forgetting: the deleted samples are told by being less known than never-seen ones (AUC by the "
                f"loss {_written(entry['measures'][LOSS])}), which gives the deletion away")
    if asked.told(key):
        return ("the deleted samples are still told from never-seen ones" if asked.chance.direction(key) >= 0 else
                "deleted and never-seen samples are told apart, the wrong way round")
    if interval is None:
        return "no interval, so nothing can be said"
    shift = detectable_shift(interval, int(metric["n"]), asked.chance.strictest)
    return ("the deleted samples were not shown to be told from never-seen ones"
            + alone(asked.chance, key, interval, 0.5)
            + ("" if shift is None
               else f" (eight of ten such audits would show an AUC of {min(0.5 + shift, 1.0):.3f})"))


def _able(result: Record, entry: Record, asked: Asked, parts: list[str]) -> bool:
    """Return whether the attack finds the samples before the deletion, in shards where these are retrained."""
    if entry["method"] != SHARDED:
        return asked.chance.direction(_key(result, _entry(result, BEFORE))) > 0
    before = _entry(result, SHARDED_BEFORE)
    found = asked.chance.direction(_key(result, before)) > 0
    if not found:
        parts.append("in the shards the samples were not shown to be told even before the deletion, AUC "
                     + _written(before["measures"][U_LIRA]))
    return found


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


def _missed(result: Record, asked: Asked) -> Iterator[Finding]:
    """Name the methods that the loss alone does not catch and per-sample references do."""
    for entry in _methods(result):
        key = _key(result, entry)
        if asked.chance.direction(key) and not (asked.weak.direction(key) or asked.weak_gap.direction(key)):
            yield Finding(f"{_named(result)}: {METHOD_NAMES[entry['method']]} looks clean by the loss alone (AUC "
                          f"{_written(entry['measures'][LOSS])}) and is caught by references that were deleted from "
                          "alike.", result["subject"], None, (entry["measures"][LOSS], entry["measures"][U_LIRA]))


def _two_models(result: Record, asked: Asked) -> Iterator[Finding]:
    """Say for which methods whoever has the model before and the model after can tell what was deleted."""
    told = [entry for entry in _methods(result) if asked.both.direction(_key(result, entry)) > 0]
    if told:
        listed = ", ".join(f"{METHOD_NAMES[entry['method']]} {_written(entry['measures'][TWO_MODELS])}"
                           + _more(asked.both_gap.direction(_key(result, entry))) for entry in told)
        yield Finding(f"{_named(result)}: whoever has the answers of both models, before and after, tells the deleted "
                      f"samples from never-seen ones (AUC): {listed}. What a full retraining gives away, too, is no "
                      "fault of a deletion: the model before it had learned the samples, and must not stay in "
                      "anybody's hands.", result["subject"], None,
                      [entry["measures"][TWO_MODELS] for entry in told])


def _more(way: int) -> str:
    """Say how that compares with a full retraining, where it was shown to."""
    return {0: "", 1: ", more than after a full retraining", -1: ", less than after a full retraining"}[way]


def _written(metric: Mapping[str, object]) -> str:
    """Write an area with its interval."""
    interval, value = known_interval(metric), metric.get("value")
    if not isinstance(value, float):
        return "not measured"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
