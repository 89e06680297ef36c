"""The questions that findings answer, each with all comparisons that were looked at to answer it.

What the findings put in words is what holds after Holm's correction over all comparisons of one question in the whole
audit; the intervals beside the words are each at their own 95 % level.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from mindleak.attacks.membership.names import SHADOW
from mindleak.evaluation.comparisons import HOLM, Comparison, Family, equal_rates_p
from mindleak.evaluation.intervals import difference_of_independent
from mindleak.evaluation.metric import Interval, Metric, Record
from mindleak.evaluation.power import chance_tpr_p, smallest_detectable_auc

POWER = 0.8
# Rates at which thresholds are judged in words, the finest first.
RATES = ("0.001", "0.01")
OWN_ROC, OTHERS = "own ROC", "other models"


class Questions:
    """Collects the families of an audit's findings, to say at the end what was corrected for what, and how."""

    def __init__(self, correction: str = HOLM) -> None:
        self._correction = correction
        self._families: list[Family] = []

    def ask(self, question: str, comparisons: Mapping[Any, Comparison | None]) -> Family:
        """Return the family of all comparisons of a question, which is named in the plural: "AUCs against chance"."""
        family = Family(question, comparisons, self._correction)
        self._families.append(family)
        return family

    def correction(self) -> Iterator[str]:
        """Say how many comparisons each question was answered from, where any has more than one."""
        several = [family for family in self._families if family.size > 1]
        if several:
            asked = "; ".join(f"{family.size} {family.question}, of which {family.held or 'none'} hold"
                              + ("s" if family.held == 1 else "") for family in several)
            yield (f"Verdicts in words are {self._correction}-corrected at {100 * several[0].level:g} % within each "
                   f"question: {asked}. Intervals are each at their own 95 % level.")


@dataclass(frozen=True)
class LeakFamilies:
    """Whether membership was found: on average, keys (subject, attack), and at low rates, with rate and threshold."""

    areas: Family
    rates: Family


def known_interval(metric: Record) -> Optional[Interval]:
    """Return a metric's interval, or None where the metric has no value or an end has no bound."""
    ends = metric.get("ci") or ()
    known = [float(number) for number in (metric.get("value"), *ends) if number is not None]
    return (known[1], known[2]) if len(known) == 3 and all(map(math.isfinite, known)) else None


def alone(family: Family, key: Hashable, interval: Interval, null: float = 0.0) -> str:
    """Say that an interval excludes ``null`` where the comparison does not hold after correction; else nothing."""
    if family.direction(key) or interval[0] <= null <= interval[1]:
        return ""
    return f" (its own interval says otherwise, which does not hold as one {family})"


def detectable_auc(n_in: int, n_out: int, family: Family) -> Optional[float]:
    """Return the AUC that such a sample shows in eight of ten cases after correction; None where there is none."""
    found = _smallest_detectable(n_in, n_out, family.strictest) if min(n_in, n_out) > 0 else math.nan
    return found if math.isfinite(found) else None


@lru_cache(maxsize=64)
def _smallest_detectable(n_in: int, n_out: int, level: float) -> float:
    """Remember the effect: attacks of one audit mostly share their samples."""
    return smallest_detectable_auc(n_in, n_out, level, POWER)


def among(family: Family) -> str:
    """Say that a detectable effect is meant after correction, where there is something to correct for."""
    return f" as one of {family.size} compared" if family.size > 1 else ""


def leak_families(memberships: Sequence[Record], references: Sequence[Record], documents: Sequence[Record],
                  questions: Questions) -> LeakFamilies:
    """Return the two families of comparisons that tell members from non-members, over all attacks of an audit.

    Args:
        memberships, references, documents: ``membership``, ``reference_attacks`` and ``document_attack`` of the
            audit document.
        questions: where they are asked.
    """
    areas: dict[Hashable, Comparison | None] = {}
    rates: dict[Hashable, Comparison | None] = {}
    for result in memberships:
        key = (result["subject"], result.get("attack", SHADOW))
        areas[key] = Comparison.of(result["overall"]["auc"], 0.5)
        for rate in RATES:
            aimed, own = (result["overall"].get(f"{name}@{rate}") for name in ("tpr", "tpr_own_roc"))
            rates[(*key, rate, OTHERS)] = _beyond_guessing(aimed, result["n_out"])
            rates[(*key, rate, OWN_ROC)] = _beyond_chance(own, float(rate), result["n_in"], result["n_out"])
    for result in references:
        for attack in result["attacks"]:
            key = (result["subject"], attack["attack"])
            areas[key] = Comparison.of(attack["overall"]["auc"], 0.5)
            finest = rare_rate(attack)
            if finest is not None:
                rates[(*key, finest, OTHERS)] = _beyond_guessing(attack["overall"][f"tpr@{finest}"], attack["n_out"])
    for result in documents:
        for each in result["evaluations"]:
            if (each["training"], each["evaluation"]) == ("document", "same_split"):
                areas[result["subject"], "document"] = Comparison.of(each["auc"], 0.5)
    return LeakFamilies(questions.ask("AUCs of attacks against chance", areas),
                        questions.ask("rates of members found against guessing", rates))


def rare_rate(attack: Record) -> Optional[str]:
    """Return the finest rate that a reference attack's non-members can show and that was measured."""
    return next((rate for rate in RATES if float(rate) * attack["n_out"] >= 1
                 and attack["overall"].get(f"tpr@{rate}") is not None), None)


def excess(rate: Record) -> Optional[Metric]:
    """Return TPR less realised FPR of a threshold that other models have set; None where there is none."""
    if known_interval(rate) is None or rate.get("fpr") is None:
        return None
    found = Metric.from_json(rate)
    assert found.fpr is not None
    return difference_of_independent(found, Metric(found.fpr, 0, ci=found.fpr_ci, ci_level=found.ci_level))


def _beyond_guessing(rate: Optional[Record], n_out: int) -> Optional[Comparison]:
    """Compare the members found with the non-members accused, by the intervals of both rates."""
    difference = None if rate is None else excess(rate)
    if rate is None or difference is None or n_out < 1:
        return None
    found, accused = round(rate["value"] * rate["n"]), round(rate["fpr"] * n_out)
    return Comparison(difference.value, equal_rates_p(found, rate["n"], accused, n_out))


def _beyond_chance(rate: Optional[Record], target: float, n_in: int, n_out: int) -> Optional[Comparison]:
    """Hold the rate of the subject's own ROC against what chance may show of it, where the sample can resolve it."""
    if rate is None or rate.get("value") is None or min(n_in, n_out) < 1 or target < 1 / n_out:
        return None
    return Comparison(rate["value"] - target, chance_tpr_p(n_in, n_out, target, round(rate["value"] * n_in)))
