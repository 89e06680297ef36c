"""What the RNN tutorial's attack found and what its figure is made of, in words that follow from intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL
from mindleak.attacks.membership.names import RNN_TUTORIAL
from mindleak.audits.finding import CANNOT_TELL, Finding, verdict
from mindleak.audits.membership.likeness import caution, learnt_nothing, unlike
from mindleak.audits.membership.questions import LeakFamilies
from mindleak.audits.membership.shadow_findings import leak_verdict
from mindleak.audits.questions import Questions, alone, among, detectable_auc, known_interval
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.metric import Record
from mindleak.evaluation.sentences import percent, points

# Attack models as the tutorial balances their data, and by data as they were drawn.
UNBALANCED = "none"
CONTROL = "control"
_AGAINST_CONSTANT = {1: "more than", 0: "not distinguishable from", -1: "less than"}


def rnn_tutorial_findings(results: Sequence[Record], leaks: LeakFamilies, questions: Questions) -> Iterator[Finding]:
    """Yield the findings on the attack of the RNN tutorial.

    Args:
        results: of this attack.
        leaks: which of all attacks of the audit tell members from non-members.
        questions: where further questions are asked.
    """
    judged = {result["subject"]: {(each["training"], each["evaluation"]): each for each in result["evaluations"]}
              for result in results}
    imbalance = questions.ask("accuracies of the RNN tutorial's attack against always saying \"member\"", {
        (subject, training): Comparison.of(drawn["accuracy"], drawn["majority"])
        for subject, found in judged.items() for training in (UNBALANCED, AS_IN_TUTORIAL)
        if (drawn := found[training, "as_drawn"])["majority"] is not None})
    parts = questions.ask("parts of what the RNN tutorial's attack finds", _what_it_is_made_of(results, judged))
    stronger = questions.ask("AUCs against the RNN tutorial's attack's", {
        (result["subject"], each["attack"]): Comparison.of(each["difference"])
        for result in results for each in result["compared"]})
    for result in results:
        found = judged[result["subject"]]
        yield Finding(_as_documented(result, found[AS_IN_TUTORIAL, AS_IN_TUTORIAL]) + caution(*doubts(result)),
                      result["subject"], None, (found[AS_IN_TUTORIAL, AS_IN_TUTORIAL]["accuracy"],))
        yield from _imbalance(result, found[AS_IN_TUTORIAL, "as_drawn"], found["none", "as_drawn"], imbalance)
        yield from _splits(result, found[AS_IN_TUTORIAL, "split_control"], parts)
        yield from _parts(result, found[AS_IN_TUTORIAL, "same_split"], parts, leaks.areas)
        yield from _left(result, found[AS_IN_TUTORIAL, "same_split"], found["once", "same_split"], leaks.areas)
        yield from (_against(result, each, stronger) for each in result["compared"])
        if result["skipped_classes"]:
            yield Finding(f"{_name(result)}: no attack model for "
                          + "; ".join(f"class {name} ({reason})" for name, reason in result["skipped_classes"].items())
                          + ".", result["subject"])
        yield from (Finding(f"{_name(result)}: {note}.", result["subject"]) for note in result["notes"])


def doubts(result: Record) -> tuple[str, ...]:
    """Return what makes the figures of the RNN tutorial's attack doubtful, a sentence or nothing."""
    subject = result.get("subject_accuracy")
    return (learnt_nothing(subject, result.get("commonest_class")),
            unlike(subject, result.get("shadow_accuracy") or [], "shadow"))


def _what_it_is_made_of(results: Sequence[Record], judged: Mapping[str, Mapping[tuple[str, str], Record]],
                        ) -> dict[tuple[str, str], Comparison | None]:
    """Return the null control between the splits and the parts of the balanced accuracy, of every subject."""
    found = {(subject, CONTROL): Comparison.of(each[AS_IN_TUTORIAL, "split_control"]["auc"], 0.5)
             for subject, each in judged.items()}
    return found | {(result["subject"], name): Comparison.of(part) for result in results
                    for name, part in result["decomposition"].items()}


def _name(result: Record) -> str:
    return f"The RNN tutorial's attack on {result['subject']}"


def _as_documented(result: Record, own: Record) -> str:
    """Say what the tutorial's own evaluation gives."""
    accuracy = own["accuracy"]
    if accuracy["value"] is None:
        return (f"{_name(result)}: its own evaluation has no figure, since no class has a whole batch of samples to "
                "test on; the others below do without batches.")
    return (f"{_name(result)}, judged as its code does: accuracy {_rate(accuracy)}. It counts {own['counted_in']} "
            f"members and {own['counted_out']} non-members, but the latter are {own['n_out']} different samples, most "
            "of them counted twice; always saying \"member\" is right for "
            f"{percent(own['always_member'])} of the rows.")


def _imbalance(result: Record, own: Record, unbalanced: Record, family: Family) -> Iterator[Finding]:
    """Say what of an accuracy is nothing but the larger number of members."""
    accuracy, balanced = unbalanced["accuracy"], unbalanced["balanced_accuracy"]
    interval, own_interval = known_interval(accuracy), known_interval(own["accuracy"])
    if interval is None or own_interval is None:
        return
    constant = unbalanced["majority"]
    keys = [(result["subject"], training) for training in (UNBALANCED, AS_IN_TUTORIAL)]
    way, own_way = map(family.direction, keys)
    notes = [alone(family, key, each, constant) for key, each in zip(keys, (interval, own_interval))]
    part = ("so nothing beyond class imbalance was shown" if way <= 0 else
            f"so {points(constant - 0.5)} points of what it has above 50 % are class imbalance and the rest is not")
    said = (f"{_name(result)}, class imbalance: on the samples as drawn, {unbalanced['n_in']} members and "
            f"{unbalanced['n_out']} non-members, always saying \"member\" is right for {percent(constant)}. Attack "
            f"models trained without balancing are right for {_rate(accuracy)}, {_AGAINST_CONSTANT[way]} that"
            f"{notes[0]}, {part}; their balanced accuracy is {_rate(balanced)}. The tutorial's own models are right "
            f"for {_rate(own['accuracy'])}, {_AGAINST_CONSTANT[own_way]} always saying \"member\"{notes[1]}.")
    # What class imbalance makes of a figure is no verdict on membership.
    yield Finding(said, result["subject"], None, (accuracy, balanced, own["accuracy"]))


def _splits(result: Record, control: Record, family: Family) -> Iterator[Finding]:
    """Say whether the attack tells two groups apart of which nobody was trained on either."""
    interval = known_interval(control["auc"])
    if interval is None:
        return
    found = (f"{_name(result)}, null control: {control['n_in']} samples of the training split and {control['n_out']} "
             "of the test split, none of which any of its networks was trained on, are told apart with an AUC of "
             f"{control['auc']['value']:.3f}{_bounds(interval)}")
    key = (result["subject"], CONTROL)
    if family.direction(key):
        said = f"{found}: the splits differ by themselves, and an attack judged across them takes that for membership."
    else:
        said = (f"{found}: no difference between the splits was detected{alone(family, key, interval, 0.5)}."
                f"{_reach(control, family)}")
    # Nor is what a control shows, in which nobody is a member.
    yield Finding(said, result["subject"], None, (control["auc"],))


def _parts(result: Record, own: Record, family: Family, areas: Family) -> Iterator[Finding]:
    """Divide what balanced accuracy has above chance across the splits into splits' difference and membership."""
    parts = result["decomposition"]
    if any(known_interval(metric) is None for metric in parts.values()):
        return
    above, split, membership = (_part(parts[name], family, (result["subject"], name))
                                for name in ("above_chance", "split", "membership"))
    left = _left_verdict(result, own, family.direction((result["subject"], "membership")), areas)
    yield Finding(f"{_name(result)}: across the splits its balanced accuracy is {above} points from chance. That is "
                  f"the sum of {split} by a difference between the splits and {membership} by membership.",
                  result["subject"], left, list(parts.values()))


def _part(metric: Record, family: Family, key: Hashable) -> str:
    """Write a part of the balanced accuracy in points, and whether it was shown."""
    interval = known_interval(metric)
    assert interval is not None
    low, high = interval
    verdict = {1: "shown", -1: "below zero", 0: "not distinguishable from none"}[family.direction(key)]
    return f"{points(metric['value'])} ({points(low)} to {points(high)}, {verdict}{alone(family, key, interval)})"


def _left(result: Record, own: Record, once: Record, family: Family) -> Iterator[Finding]:
    """Say what is left between members and non-members of one split, and what balanced training data change."""
    interval = known_interval(own["auc"])
    if interval is None:
        return
    found = (f"{_name(result)}, on {own['n_in']} members and {own['n_out']} non-members of the training split: AUC "
             f"{own['auc']['value']:.3f}{_bounds(interval)}, balanced accuracy {_rate(own['balanced_accuracy'])}")
    again = known_interval(once["auc"])
    trained = ("" if again is None else f" Trained on balanced classes, every row once: AUC "
               f"{once['auc']['value']:.3f}{_bounds(again)}.")
    key = (result["subject"], RNN_TUTORIAL)
    way = family.direction(key)
    if way > 0:
        said = f"{found}; it tells members from non-members better than chance.{trained}"
    elif way < 0:
        said = f"{found}; below chance: one null audit in forty ends there.{trained}"
    else:
        said = (f"{found}; no membership was detected{alone(family, key, interval, 0.5)}.{_reach(own, family)}"
                f"{trained}")
    yield Finding(said, result["subject"], _left_verdict(result, own, way, family),
                  (own["auc"], own["balanced_accuracy"], once["auc"]))


def _left_verdict(result: Record, own: Record, way: int, areas: Family) -> str:
    """Return the verdict on what is left between members and non-members of one split."""
    return leak_verdict(way, any(doubts(result)) or detectable_auc(own["n_in"], own["n_out"], areas) is None)


def _reach(judged: Record, family: Family) -> str:
    smallest = detectable_auc(judged["n_in"], judged["n_out"], family)
    return " The sample is too small to have shown any." if smallest is None else (
        f" Eight of ten samples of this size would show an AUC of {smallest:.3f}{among(family)}.")


def _against(result: Record, other: Record, family: Family) -> Finding:
    """Compare with another attack on the same samples."""
    pair = (f"{result['subject']}, {other['attack']} less the RNN tutorial's attack on the same {other['n_in']} "
            f"members and {other['n_out']} non-members: AUC")
    interval = known_interval(other["difference"])
    if interval is None:
        return Finding(f"{pair} cannot be compared ({other['difference'].get('reason') or 'no interval'}).",
                       result["subject"], CANNOT_TELL, (other["difference"],))
    amount = f"{other['difference']['value']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
    key = (result["subject"], other["attack"])
    way = family.direction(key)
    words = {1: f"{other['attack']} is stronger on this network", -1: f"{other['attack']} is weaker on this network",
             0: f"this run does not show which is stronger{alone(family, key, interval)}"}
    return Finding(f"{pair} {amount}: {words[way]}.", result["subject"], verdict(way), (other["difference"],))


def _rate(metric: Record) -> str:
    """Write a rate that has a value, with its interval."""
    known = known_interval(metric)
    return percent(metric["value"]) + ("" if known is None else f" ({percent(known[0])} to {percent(known[1])})")


def _bounds(interval: tuple[float, float]) -> str:
    return f" ({interval[0]:.3f} to {interval[1]:.3f})"
