"""The questions about membership that are asked of all attacks of an audit together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Optional

from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL
from mindleak.attacks.membership.names import RNN_TUTORIAL, SHADOW
from mindleak.audits.questions import Questions, known_interval
from mindleak.evaluation.comparisons import Comparison, Family, equal_rates_p
from mindleak.evaluation.intervals import difference_of_independent
from mindleak.evaluation.metric import Metric, Record
from mindleak.evaluation.power import chance_tpr_p

# Rates at which thresholds are judged in words, the finest first.
RATES = ("0.001", "0.01")
OWN_ROC, OTHERS = "own ROC", "other models"


@dataclass(frozen=True)
class LeakFamilies:
    """Whether membership was found: on average, keys (subject, attack), and at low rates, with rate and threshold."""

    areas: Family
    rates: Family


def leak_families(memberships: Sequence[Record], references: Sequence[Record], tutorials: Sequence[Record],
                  questions: Questions) -> LeakFamilies:
    """Return the two families of comparisons that tell members from non-members, over all attacks of an audit.

    Args:
        memberships, references, tutorials: results of attacks by shadows, by references, and of the RNN tutorial's.
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
    for result in tutorials:
        for each in result["evaluations"]:
            if (each["training"], each["evaluation"]) == (AS_IN_TUTORIAL, "same_split"):
                areas[result["subject"], RNN_TUTORIAL] = Comparison.of(each["auc"], 0.5)
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
