"""What the document's membership attack found and what its figure is made of, in words that follow from intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mindleak.jobs.likeness import caution
from mindleak.jobs.membership_findings import known_interval

Record = Mapping[str, Any]


def document_findings(results: Sequence[Record]) -> Iterator[str]:
    """Yield the findings on ``document_attack`` of the audit document, one sentence or two each."""
    for result in results:
        found = {(each["training"], each["evaluation"]): each for each in result["evaluations"]}
        unlike = caution(result.get("subject_accuracy"), result.get("shadow_accuracy") or [], "shadow")
        yield f"{_as_documented(result, found['document', 'document'])}{unlike}"
        yield from _imbalance(result, found["document", "as_drawn"], found["none", "as_drawn"])
        yield from _splits(result, found["document", "split_control"])
        yield from _parts(result)
        yield from _left(result, found["document", "same_split"], found["once", "same_split"])
        yield from (_against(result, each) for each in result["compared"])
        if result["skipped_classes"]:
            yield (f"{_name(result)}: no attack model for "
                   + "; ".join(f"class {name} ({reason})" for name, reason in result["skipped_classes"].items()) + ".")
        yield from (f"{_name(result)}: {note}." for note in result["notes"])


def _name(result: Record) -> str:
    return f"The document's attack on {result['subject']}"


def _as_documented(result: Record, own: Record) -> str:
    """Say what the document's own evaluation gives."""
    accuracy = own["accuracy"]
    if accuracy["value"] is None:
        return (f"{_name(result)}: its own evaluation has no figure, since no class has a whole batch of samples to "
                "test on; the others below do without batches.")
    return (f"{_name(result)}, judged as its code does: accuracy {_rate(accuracy)}. It counts {own['counted_in']} "
            f"members and {own['counted_out']} non-members, but the latter are {own['n_out']} different samples, most "
            "of them counted twice; always saying \"member\" is right for "
            f"{_percent(own['always_member'])} of the rows.")


def _imbalance(result: Record, own: Record, unbalanced: Record) -> Iterator[str]:
    """Say what of an accuracy is nothing but the larger number of members."""
    accuracy, balanced = unbalanced["accuracy"], unbalanced["balanced_accuracy"]
    interval, own_interval = known_interval(accuracy), known_interval(own["accuracy"])
    if interval is None or own_interval is None:
        return
    constant = unbalanced["majority"]
    verdict = _against_constant(interval, constant)
    part = ("so class imbalance alone gives as much" if interval[0] <= constant else
            f"so {_points(constant - 0.5)} points of what it has above 50 % are class imbalance and the rest is not")
    own_verdict = _against_constant(own_interval, constant)
    yield (f"{_name(result)}, class imbalance: on the samples as drawn, {unbalanced['n_in']} members and "
           f"{unbalanced['n_out']} non-members, always saying \"member\" is right for {_percent(constant)}. Attack "
           f"models trained without balancing are right for {_rate(accuracy)}, {verdict} that, {part}; their balanced "
           f"accuracy is {_rate(balanced)}. The document's own models are right for {_rate(own['accuracy'])}, "
           f"{own_verdict} always saying \"member\".")


def _against_constant(interval: tuple[float, float], constant: float) -> str:
    if interval[0] > constant:
        return "more than"
    return "less than" if interval[1] < constant else "not distinguishable from"


def _splits(result: Record, control: Record) -> Iterator[str]:
    """Say whether the attack tells two groups apart of which nobody was trained on either."""
    interval = known_interval(control["auc"])
    if interval is None:
        return
    found = (f"{_name(result)}, null control: {control['n_in']} samples of the training split and {control['n_out']} "
             "of the test split, none of which any of its networks was trained on, are told apart with an AUC of "
             f"{control['auc']['value']:.3f}{_bounds(interval)}")
    if interval[0] > 0.5 or interval[1] < 0.5:
        yield f"{found}: the splits differ by themselves, and an attack judged across them takes that for membership."
    else:
        yield f"{found}: no difference between the splits was detected.{_reach(control)}"


def _parts(result: Record) -> Iterator[str]:
    """Divide what balanced accuracy has above chance across the splits into splits' difference and membership."""
    parts = result["decomposition"]
    if any(known_interval(metric) is None for metric in parts.values()):
        return
    above, split, membership = (_part(parts[name]) for name in ("above_chance", "split", "membership"))
    yield (f"{_name(result)}: across the splits its balanced accuracy is {above} points from chance. That is the sum "
           f"of {split} by a difference between the splits and {membership} by membership.")


def _part(metric: Record) -> str:
    """Write a part of the balanced accuracy in points, and what its interval says of it."""
    interval = known_interval(metric)
    assert interval is not None
    low, high = interval
    verdict = "shown" if low > 0 else "below zero" if high < 0 else "not distinguishable from none"
    return f"{_points(metric['value'])} ({_points(low)} to {_points(high)}, {verdict})"


def _left(result: Record, own: Record, once: Record) -> Iterator[str]:
    """Say what is left between members and non-members of one split, and what balanced training data change."""
    interval = known_interval(own["auc"])
    if interval is None:
        return
    found = (f"{_name(result)}, on {own['n_in']} members and {own['n_out']} non-members of the training split: AUC "
             f"{own['auc']['value']:.3f}{_bounds(interval)}, balanced accuracy {_rate(own['balanced_accuracy'])}")
    again = known_interval(once["auc"])
    trained = ("" if again is None else f" Trained on balanced classes, every row once: AUC "
               f"{once['auc']['value']:.3f}{_bounds(again)}.")
    if interval[0] > 0.5:
        yield f"{found}; it tells members from non-members better than chance.{trained}"
    elif interval[1] < 0.5:
        yield f"{found}; below chance: one null attack in forty ends there.{trained}"
    else:
        yield f"{found}; no membership was detected.{_reach(own)}{trained}"


def _reach(judged: Record) -> str:
    smallest = judged["detectable"]
    return " The sample is too small to have shown any." if smallest is None else (
        f" Eight of ten samples of this size would show an AUC of {smallest:.3f}.")


def _against(result: Record, other: Record) -> str:
    """Compare with another attack on the same samples."""
    pair = (f"{result['subject']}, {other['attack']} less the document's attack on the same {other['n_in']} members "
            f"and {other['n_out']} non-members: AUC")
    interval = known_interval(other["difference"])
    if interval is None:
        return f"{pair} cannot be compared ({other['difference'].get('reason') or 'no interval'})."
    amount = f"{other['difference']['value']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
    if interval[0] > 0:
        return f"{pair} {amount}: {other['attack']} is stronger on this network."
    if interval[1] < 0:
        return f"{pair} {amount}: {other['attack']} is weaker on this network."
    return f"{pair} {amount}: this run does not show which is stronger."


def _rate(metric: Record) -> str:
    """Write a rate that has a value, with its interval."""
    known = known_interval(metric)
    return _percent(metric["value"]) + ("" if known is None else f" ({_percent(known[0])} to {_percent(known[1])})")


def _bounds(interval: tuple[float, float]) -> str:
    return f" ({interval[0]:.3f} to {interval[1]:.3f})"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"
