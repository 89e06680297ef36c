"""What membership attacks found, in words that follow from intervals and never from the sign of a difference."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from mindleak.attacks.membership.names import SHADOW
from mindleak.audits.finding import CANNOT_TELL, NOT_SHOWN, SHOWN, Finding, verdict
from mindleak.audits.membership.likeness import caution, learnt_nothing, unlike
from mindleak.audits.membership.questions import OTHERS, OWN_ROC, RATES, LeakFamilies, excess
from mindleak.audits.pairs import recipes_differ
from mindleak.audits.questions import Questions, alone, among, detectable_auc, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Metric, Record
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.power import chance_tpr_limit
from mindleak.evaluation.sentences import percent, points


def membership_findings(results: Sequence[Record], subjects: Mapping[str, Record], run_dir: Path,
                        leaks: LeakFamilies, questions: Questions) -> Iterator[Finding]:
    """Yield the findings on attacks by shadows.

    Args:
        results: of these attacks.
        subjects: the record's subjects by id.
        run_dir: what the results' ``arrays`` are relative to.
        leaks: which of all attacks of the audit tell members from non-members.
        questions: where further questions are asked.
    """
    for result in results:
        yield from _area(result, leaks.areas)
        yield from _rates(result, leaks.rates)
        if result.get("skipped_classes"):
            yield Finding(f"{_named(result)}: not attacked: "
                          + "; ".join(f"class {name}, {reason}" for name, reason in result["skipped_classes"].items())
                          + ".", result["subject"])
    yield from _suppression(results, subjects, run_dir, questions)


def _key(result: Record) -> tuple[str, str]:
    return result["subject"], result.get("attack", SHADOW)


def _named(result: Record) -> str:
    """Begin a finding; the attack is named where it is not the posterior attack on shadows."""
    attack = result.get("attack", SHADOW)
    return f"Membership of {result['subject']}" + ("" if attack == SHADOW else f" by the {attack} attack")


def _area(result: Record, family: Family) -> Iterator[Finding]:
    """Say whether the attack beats chance on average, and what its sample could have shown."""
    area = result["overall"]["auc"]
    interval = known_interval(area)
    if interval is None:
        yield Finding(f"{_named(result)}: no AUC ({area.get('reason') or 'it has no interval'}).",
                      result["subject"], CANNOT_TELL, (area,))
        return
    low, high = interval
    found = f"{_named(result)}: AUC {area['value']:.3f} ({low:.3f} to {high:.3f})"
    doubtful = caution(*doubts(result))
    way = family.direction(_key(result))
    if way > 0:
        said = f"{found}; the attack tells members from non-members better than chance.{doubtful}"
    elif way < 0:
        said = f"{found}; below chance: one null audit in forty ends there, or the shadows are unlike it.{doubtful}"
    else:
        said = (f"{found}; no leak was detected on average{alone(family, _key(result), interval, 0.5)}. "
                f"{_could_have_shown(result, family)}{doubtful}")
    blind = detectable_auc(result["n_in"], result["n_out"], family) is None
    yield Finding(said, result["subject"], leak_verdict(way, bool(doubtful) or blind), (area,))


def leak_verdict(way: int, doubtful: bool) -> str:
    """Return the verdict on an attack: shown where it beats chance, and no all-clear where its figures are doubtful.

    Args:
        way: 1 where it was shown to be better than chance, -1 where worse, 0 where neither.
        doubtful: the subject has learnt nothing or is unlike the other models, or the sample could have shown nothing.
    """
    if way > 0:
        return SHOWN
    return CANNOT_TELL if way < 0 or doubtful else NOT_SHOWN


def doubts(result: Record) -> tuple[str, ...]:
    """Return what makes the figures of a membership attack doubtful, a sentence each, some of them empty."""
    supports = [row["support_in"] for row in result.get("per_class") or []]
    commonest = max(supports) / sum(supports) if sum(supports) else None
    subject = result.get("subject_accuracy")
    return learnt_nothing(subject, commonest), unlike(subject, result.get("shadow_accuracy") or [], "shadow")


def _could_have_shown(result: Record, family: Family) -> str:
    """Say what was out of the sample's reach."""
    sizes = f"{result['n_in']} members and {result['n_out']} non-members"
    smallest = detectable_auc(result["n_in"], result["n_out"], family)
    if smallest is None:
        return f"{sizes} are too few to have shown any."
    return (f"Eight of ten samples of {sizes} would show an AUC of {smallest:.3f}{among(family)}; a smaller leak, or "
            "one to a stronger attack, is not excluded.")


def _rates(result: Record, family: Family) -> Iterator[Finding]:
    """Say whether members are found at low false-positive rates, by shadows' thresholds and by the subject's own."""
    for rate in reversed(RATES):
        aimed, own = (result["overall"].get(f"{name}@{rate}") for name in ("tpr", "tpr_own_roc"))
        said = [*beyond_guessing(aimed, "a shadow's threshold", family, (*_key(result), rate, OTHERS)),
                *_on_own_roc(own, float(rate), result, family)]
        if said:
            ways = [family.direction((*_key(result), rate, whose)) for whose in (OTHERS, OWN_ROC)]
            blind = (aimed is None or excess(aimed) is None) and float(rate) * result["n_out"] < 1
            yield Finding(f"{_named(result)} at {100 * float(rate):g} % FPR: {'; '.join(said)}.", result["subject"],
                          leak_verdict(max(ways) or min(ways), blind or any(doubts(result))),
                          [metric for metric in (aimed, own) if metric is not None])


def beyond_guessing(rate: Optional[Record], threshold: str, family: Family, key: Hashable) -> Iterator[str]:
    """Compare the members found with the non-members accused, both at a threshold that other models have set.

    Args:
        rate: the TPR with its realised FPR.
        threshold: what it is called, and whose it is.
        family: of all rates compared with guessing, in which it has the ``key``.
    """
    if rate is None:
        return
    difference = excess(rate)
    if difference is None or difference.ci is None:
        yield f"no threshold from other models ({rate.get('reason') or 'not measured'})"
        return
    amount = (f"{threshold} finds {percent(rate['value'])} of the members and accuses {percent(rate['fpr'])} of "
              f"the non-members, difference {points(difference.value)} ({points(difference.ci[0])} to "
              f"{points(difference.ci[1])}) points")
    way = family.direction(key)
    if way > 0:
        yield f"{amount}, so members are found more often than non-members are accused"
    elif way < 0:
        yield f"{amount}, so members are found less often than non-members are accused"
    else:
        yield f"{amount}, so nothing beyond guessing was detected{alone(family, key, difference.ci)}"


def _on_own_roc(rate: Optional[Record], target: float, result: Record, family: Family) -> Iterator[str]:
    """Hold the optimistic rate against what chance alone may show of it."""
    n_in, n_out = result["n_in"], result["n_out"]
    if rate is None or rate.get("value") is None or min(n_in, n_out) < 1:
        return
    if target < 1 / n_out:
        yield f"{n_out} non-members cannot resolve this rate on the subject's own ROC"
        return
    limit = chance_tpr_limit(n_in, n_out, target, rate["ci_level"])
    shown = family.direction((*_key(result), f"{target:g}", OWN_ROC)) > 0
    verdict = "more than" if shown else "within" if rate["value"] <= limit else "above"
    caveat = f" on its own, which does not hold as one {family}" if verdict == "above" else ""
    yield (f"the subject's own ROC, which no attacker has, gives {percent(rate['value'])}, {verdict} the "
           f"{percent(limit)} that guessing may show{caveat}")


def _suppression(results: Sequence[Record], subjects: Mapping[str, Record], run_dir: Path,
                 questions: Questions) -> Iterator[Finding]:
    """Compare attacks on ordinary and suppressed subjects, alike in architecture and data, sample by sample."""
    by_training = {training: [result for result in results
                              if subjects.get(result["subject"], {}).get("training") == training]
                   for training in ("ordinary", "suppress")}
    changes: dict[str, tuple[Metric, str]] = {}
    areas: dict[str, list[Record]] = {}
    for ordinary in by_training["ordinary"]:
        for suppressed in by_training["suppress"]:
            pair = [subjects[result["subject"]] for result in (ordinary, suppressed)]
            if (len({(record["model"], record.get("data_digest")) for record in pair}) == 1
                    and ordinary.get("attack") == suppressed.get("attack")):
                change = paired_change(ordinary, suppressed, run_dir)
                if change is not None:
                    changes[_pair(ordinary, suppressed)] = (
                        change, recipes_differ(*(one.get("recipe") or {} for one in pair)))
                    areas[_pair(ordinary, suppressed)] = [one["overall"]["auc"] for one in (ordinary, suppressed)]
    family = questions.ask("changes of AUC with suppression",
                           {start: Comparison.of(change.to_json()) for start, (change, _) in changes.items()})
    for start, (change, differing) in changes.items():
        yield Finding(f"{_change(start, change, family)}{differing}", None,
                      CANNOT_TELL if known_interval(change.to_json()) is None else verdict(family.direction(start)),
                      areas[start])


def _pair(ordinary: Record, suppressed: Record) -> str:
    """Begin a finding on two attacked subjects; the attack is named where it is not the one by shadows."""
    attack = ordinary.get("attack", SHADOW)
    return (f"Suppress training, {suppressed['subject']} against {ordinary['subject']}: membership AUC"
            + ("" if attack == SHADOW else f" ({attack} attack)"))


def _change(pair: str, change: Metric, family: Family) -> str:
    """Say what suppression changed in the area under the curve."""
    interval = known_interval(change.to_json())
    if interval is None:
        return f"{pair} cannot be compared ({change.reason or 'no interval'})."
    amount = (f"{change.value:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f}, {change.n} samples, one network of each "
              "kind)")
    way = family.direction(pair)
    if way > 0:
        return f"{pair} rises by {amount}: its members are easier to tell by this attack."
    if way < 0:
        return f"{pair} falls by {amount}: its members are harder to tell by this attack."
    return f"{pair}: no change was detected, {amount}{alone(family, pair, interval)}."


def paired_change(ordinary: Record, suppressed: Record, run_dir: Path) -> Optional[Metric]:
    """Return the change of the area on the samples that both attacks scored; None if they attacked others.

    Args:
        ordinary, suppressed: records of two attacks, the earlier and the later one.
        run_dir: what their ``arrays`` are relative to.
    """
    if not (ordinary.get("arrays") and suppressed.get("arrays")):
        return None
    with np.load(run_dir / ordinary["arrays"], allow_pickle=False) as before, \
            np.load(run_dir / suppressed["arrays"], allow_pickle=False) as after:
        if not all(np.array_equal(before[name], after[name]) for name in ("rows", "members")):
            return None
        first, second, members = before["scores"], after["scores"], before["members"]
    both = np.isfinite(first) & np.isfinite(second)
    return auc_difference(first[both], second[both], members[both])
