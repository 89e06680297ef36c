"""Simulated audits: what is known about the truth is drawn, the audit's own functions judge the samples.

Every interval and every verdict that a report prints has at least one case here; sweeps, whose unit is a network, are
simulated apart (``tests/``). A case draws one audit and returns, per figure, 1.0 where the interval covers
the truth (or the verdict is given) and 0.0 where not; NaN where the audit prints none.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mindleak.attacks.inversion.quality import DIFFERENCE_RANGES, RANGES, UNBOUNDED
from mindleak.attacks.membership.rnn_tutorial_protocols import Asked, Evaluation, decomposition, figures
from mindleak.evaluation.classification import accuracy, binary_report
from mindleak.evaluation.comparisons import Comparison, Family
from mindleak.evaluation.empirical_epsilon import best_threshold, epsilon_at
from mindleak.evaluation.intervals import difference_of_independent, proportion
from mindleak.evaluation.means import mean_over_images
from mindleak.evaluation.metric import Interval, Metric
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.power import (
    chance_tpr_limit,
    smallest_detectable_auc,
    smallest_detectable_own_roc_tpr,
    smallest_detectable_tpr,
)
from mindleak.evaluation.predictive_value import PRIORS, positive_predictive_value
from mindleak.evaluation.ranks import kendall
from mindleak.evaluation.roc import auc, balanced_accuracy_at, tpr_at_fpr
from mindleak.evaluation.roc_bootstrap import bootstrap_roc
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Random = np.random.Generator
Drawn = Mapping[str, float]
SEED = 20261126
BOUNDS = {**RANGES, "rank_share": (0.0, 1.0)}
COVERAGE, ALARMS, POWER, RATE = "coverage", "false alarms", "power", "mean realised rate"


@dataclass(frozen=True)
class Case:
    """One kind of simulated audit.

    Attributes:
        figure: what the report prints.
        truth: how members, non-members or images are drawn.
        kind: what ``audit`` counts: intervals that cover, verdicts given where nothing is there, verdicts given at the
            smallest effect that is said to be visible, or the rate that a threshold realises.
        nominal: what is promised: at least that much coverage, at most so many alarms, that power, at most that rate.
        audit: one audit.
        brief: simulated by the test suite too, which has a minute for all of them; the others only vary the samples.
    """

    figure: str
    truth: str
    kind: str
    nominal: float
    audit: Callable[[Random], Drawn]
    brief: bool = True

    @property
    def name(self) -> str:
        return f"{self.figure} ({self.truth})"


@dataclass(frozen=True)
class Outcome:
    """The share of ``audits`` of a case and figure that were counted, and how many printed nothing."""

    case: Case
    figure: str
    share: float
    audits: int
    silent: int

    @property
    def error(self) -> float:
        """The standard error of the share at the nominal rate."""
        return math.sqrt(self.case.nominal * (1.0 - self.case.nominal) / max(self.audits, 1))

    def holds(self, errors: float = 3.0) -> bool:
        """Tell whether the share is what was promised, up to so many standard errors.

        A point of coverage is allowed for intervals that are approximate, three points for power that is.
        """
        margin = errors * self.error
        if self.audits == 0:
            return True
        if self.case.kind == COVERAGE:
            return self.share >= self.case.nominal - 0.01 - margin
        if self.case.kind == POWER:
            return abs(self.share - self.case.nominal) <= 0.03 + margin
        return self.share <= self.case.nominal + margin


def simulate(case: Case, audits: int) -> list[Outcome]:
    """Return the outcomes of so many audits, by a seed that depends on the case alone."""
    generator = np.random.default_rng([SEED, zlib.crc32(case.name.encode())])
    drawn = [case.audit(generator) for _ in range(audits)]
    outcomes = []
    for figure in dict.fromkeys(name for each in drawn for name in each):
        values = np.array([each.get(figure, math.nan) for each in drawn])
        known = values[~np.isnan(values)]
        share = float(known.mean()) if known.size else math.nan
        outcomes.append(Outcome(case, figure or case.figure, share, known.size, values.size - known.size))
    return outcomes


def covers(interval: Interval | None, truth: float) -> float:
    """Return 1.0 or 0.0, or NaN without an interval."""
    return math.nan if interval is None else float(interval[0] - 1e-12 <= truth <= interval[1] + 1e-12)


def two_sided(metric: Metric, null: float = 0.0) -> float:
    """Return whether a verdict is given, in either direction: the interval excludes the null."""
    return math.nan if metric.ci is None else float(metric.ci[0] > null or metric.ci[1] < null)


def area_of(shift: float) -> float:
    """Return the area of N(shift, 1) against N(0, 1)."""
    return float(stats.norm.cdf(shift / math.sqrt(2.0)))


def shift_of(area: float) -> float:
    return float(math.sqrt(2.0) * stats.norm.ppf(area))


def rate_of(fpr: float, shift: float) -> float:
    return float(stats.norm.cdf(stats.norm.ppf(fpr) + shift))


def scored(generator: Random, n_in: int, n_out: int, shift: float) -> tuple[Floats, Flags]:
    """Draw scores, N(shift, 1) of members and N(0, 1) of others."""
    members = np.arange(n_in + n_out) < n_in
    return generator.normal(size=n_in + n_out) + shift * members, members


def excess_at_threshold(generator: Random, n: int, fpr: float, shift: float, n_threshold: int) -> tuple[Metric, Metric]:
    """Return the rate at a threshold of another model's non-members, and TPR - FPR."""
    fixed = threshold_at_fpr(generator.normal(size=n_threshold), fpr)
    rate = tpr_at_threshold(*scored(generator, n, n, shift), fixed)
    assert rate.fpr is not None
    return rate, difference_of_independent(rate, Metric(rate.fpr, n, ci=rate.fpr_ci))


def areas() -> Iterator[Case]:
    """Areas, paired differences, their verdicts and power."""
    for n_in, n_out, area in ((30, 30, 0.5), (100, 100, 0.76), (100, 100, 0.99), (1000, 1000, 0.52), (20, 200, 0.9),
                              (200, 20, 0.97)):
        def one(generator: Random, n_in: int = n_in, n_out: int = n_out, area: float = area) -> Drawn:
            return {"": covers(auc(*scored(generator, n_in, n_out, shift_of(area))).ci, area)}

        yield Case("AUC", f"normal, {area}, {n_in} and {n_out}", COVERAGE, 0.95, one)

    def exponential(generator: Random) -> Drawn:
        members = np.arange(200) < 100
        scores = generator.exponential(size=200) * np.where(members, 0.97 / 0.03, 1.0)
        return {"": covers(auc(scores, members).ci, 0.97)}

    def tied(generator: Random) -> Drawn:
        members = np.arange(200) < 100
        shares = (0.4, 0.3, 0.3), (0.2, 0.3, 0.5)
        scores = np.where(members, generator.choice(3, 200, p=shares[1]), generator.choice(3, 200, p=shares[0]))
        pairs = np.sign(np.arange(3)[:, None] - np.arange(3)) / 2 + 0.5
        return {"": covers(auc(scores, members).ci, float(np.array(shares[1]) @ pairs @ np.array(shares[0])))}

    yield Case("AUC", "exponential, .97, 100 and 100", COVERAGE, 0.95, exponential)
    yield Case("AUC", "three tied values, 100 and 100", COVERAGE, 0.95, tied)
    for n in (30, 1000):
        def null(generator: Random, n: int = n) -> Drawn:
            metric = auc(*scored(generator, n, n, 0.0))
            return {"better or worse than chance": two_sided(metric, 0.5)}

        yield Case("AUC against chance", f"nothing leaks, {n} and {n}", ALARMS, 0.05, null)
    for n in (100, 1000):
        def visible(generator: Random, n: int = n) -> Drawn:
            metric = auc(*scored(generator, n, n, shift_of(smallest_detectable_auc(n, n))))
            return {"": float(metric.ci is not None and metric.ci[0] > 0.5)}

        yield Case("smallest visible AUC", f"normal, {n} and {n}", POWER, 0.8, visible)
    for n, first, second, shared in ((100, 0.6, 0.7, 0.5), (100, 0.9, 0.95, 0.8), (1000, 0.97, 0.99, 0.8)):
        def paired(generator: Random, n: int = n, first: float = first, second: float = second,
                   shared: float = shared) -> Drawn:
            difference = auc_difference(*two_attacks(generator, n, (first, second), shared))
            return {"": covers(difference.ci, second - first)}

        yield Case("difference of two attacks' AUC", f"normal, {first} and {second}, {n} and {n}", COVERAGE, 0.95,
                   paired, brief=n < 1000)
    for area in (0.5, 0.8):
        def equal(generator: Random, area: float = area) -> Drawn:
            return {"": two_sided(auc_difference(*two_attacks(generator, 200, (area, area), 0.8)))}

        yield Case("one attack, or suppression, against another by AUC", f"both {area}, 200 and 200", ALARMS, 0.05,
                   equal, brief=area == 0.5)

    def several(generator: Random) -> Drawn:
        members = np.arange(400) < 200
        common = generator.normal(size=400)
        metrics = {number: auc(0.7 * common + 0.7 * generator.normal(size=400), members) for number in range(5)}
        family = Family("AUCs", {key: Comparison.of(metric.to_json(), 0.5) for key, metric in metrics.items()})
        return {"": float(family.held > 0)}

    yield Case("any of five attacks, Holm-corrected", "nothing leaks, 200 and 200", ALARMS, 0.05, several)


def two_attacks(generator: Random, n: int, areas: tuple[float, float], shared: float) -> tuple[Floats, Floats, Flags]:
    """Draw two attacks' scores of the same n members and n others, ``shared`` of whose variance is the samples' own."""
    members = np.arange(2 * n) < n
    common = math.sqrt(shared) * generator.normal(size=2 * n)
    first, second = (common + math.sqrt(1.0 - shared) * generator.normal(size=2 * n) + shift_of(area) * members
                     for area in areas)
    return first, second, members


def rates() -> Iterator[Case]:
    """Rates at low false-positive rates, at other models' thresholds and on the subject's own ROC."""
    for n, fpr, shift in ((1000, 0.01, 0.0), (1000, 0.01, 1.0), (1000, 0.001, 1.5)):
        def fixed(generator: Random, n: int = n, fpr: float = fpr, shift: float = shift) -> Drawn:
            threshold = threshold_at_fpr(generator.normal(size=n), fpr)
            true = float(stats.norm.sf(threshold.border)), float(stats.norm.sf(threshold.border - shift))
            rate = tpr_at_threshold(*scored(generator, n, n, shift), threshold)
            assert rate.fpr is not None
            excess = difference_of_independent(rate, Metric(rate.fpr, n, ci=rate.fpr_ci))
            return {"TPR at another model's threshold": covers(rate.ci, true[1]),
                    "FPR that it realises": covers(rate.fpr_ci, true[0]),
                    "TPR − FPR": covers(excess.ci, true[1] - true[0])}

        yield Case("rates at a fixed threshold", f"{fpr:g}, normal, shift {shift:g}, {n} and {n}", COVERAGE, 0.95,
                   fixed)
    for n, fpr in ((1000, 0.01), (1000, 0.001), (150, 0.01)):
        def guessing(generator: Random, n: int = n, fpr: float = fpr) -> Drawn:
            _, excess = excess_at_threshold(generator, n, fpr, 0.0, n)
            scores, members = scored(generator, n, n, 0.0)
            limit = chance_tpr_limit(n, n, fpr)
            own = tpr_at_fpr(scores, members, fpr)
            return {"TPR − FPR at another model's threshold": two_sided(excess),
                    "own ROC, more than guessing": float(own.value > limit)}

        yield Case("members found beyond guessing", f"nothing leaks, {fpr:g}, {n} and {n}", ALARMS, 0.05, guessing)
    for n, fpr in ((1000, 0.01), (1000, 0.001)):
        def visible(generator: Random, n: int = n, fpr: float = fpr) -> Drawn:
            smallest = smallest_tprs(n, fpr)
            shifts = [stats.norm.ppf(rate) - stats.norm.ppf(fpr) for rate in smallest]
            _, excess = excess_at_threshold(generator, n, fpr, shifts[0], n)
            own = tpr_at_fpr(*scored(generator, n, n, shifts[1]), fpr)
            return {"TPR at another model's threshold": float(excess.ci is not None and excess.ci[0] > 0.0),
                    "TPR on the own ROC": float(own.value > chance_tpr_limit(n, n, fpr))}

        yield Case("smallest visible TPR", f"{fpr:g}, normal, {n} and {n}", POWER, 0.8, visible)
    for n, fpr, shift in ((1000, 0.001, 2.0), (1000, 0.01, 2.0), (100, 0.01, 2.0)):
        def own_roc(generator: Random, n: int = n, fpr: float = fpr, shift: float = shift) -> Drawn:
            return {"": covers(tpr_interval_at_fpr(*scored(generator, n, n, shift), fpr), rate_of(fpr, shift))}

        yield Case("TPR on the own ROC", f"{fpr:g}, normal, shift {shift:g}, {n} and {n}", COVERAGE, 0.95, own_roc,
                   brief=n * fpr == 1.0)

    def resampled(generator: Random) -> Drawn:
        found = bootstrap_roc(*scored(generator, 500, 500, 1.0), (0.2, 0.01), resamples=199)
        return {"AUC": covers(found["auc"].ci, area_of(1.0)),
                "TPR on the own ROC, 0.2": covers(found["tpr_own_roc@0.2"].ci, rate_of(0.2, 1.0)),
                "TPR on the own ROC, 0.01": covers(found["tpr_own_roc@0.01"].ci, rate_of(0.01, 1.0))}

    yield Case("bootstrap, 199 resamples", "normal, shift 1, 500 and 500", COVERAGE, 0.95, resampled)
    for n, fpr in ((150, 0.01), (1000, 0.01)):
        def realised(generator: Random, n: int = n, fpr: float = fpr) -> Drawn:
            scores = np.round(generator.normal(size=n), 2)
            return {"": float(np.mean(np.round(generator.normal(size=2000), 2) > threshold_at_fpr(scores, fpr).border))}

        yield Case("FPR of a shadow's threshold", f"{fpr:g}, ties, {n} and {n}", RATE, fpr, realised)


_SMALLEST: dict[tuple[int, float], tuple[float, float]] = {}


def smallest_tprs(n: int, fpr: float) -> tuple[float, float]:
    """Return the smallest visible TPRs at a threshold of n non-members of a shadow, and on the own ROC."""
    if (n, fpr) not in _SMALLEST:
        _SMALLEST[n, fpr] = (smallest_detectable_tpr(n, n, fpr, n), smallest_detectable_own_roc_tpr(n, n, fpr))
    return _SMALLEST[n, fpr]


def decided() -> Iterator[Case]:
    """Decisions at a fixed threshold: accuracies, precision, recall, F1, PPV and ε."""
    for n_in, n_out, tpr, fpr in ((100, 100, 0.6, 0.4), (30, 30, 0.9, 0.05), (1000, 1000, 0.03, 0.01)):
        def report(generator: Random, n_in: int = n_in, n_out: int = n_out, tpr: float = tpr,
                   fpr: float = fpr) -> Drawn:
            members = np.arange(n_in + n_out) < n_in
            called = generator.random(n_in + n_out) < np.where(members, tpr, fpr)
            return judged_decisions(members, called, tpr, fpr)

        yield Case("decisions", f"TPR {tpr}, FPR {fpr}, {n_in} and {n_out}", COVERAGE, 0.95, report,
                   brief=n_in != 1000)
    for n, seen, unseen in ((30, 1.0, 0.9), (1000, 0.99, 0.97)):
        def gap(generator: Random, n: int = n, seen: float = seen, unseen: float = unseen) -> Drawn:
            labels = np.zeros(n, np.int64)
            sides = [accuracy((generator.random(n) > right).astype(np.int64), labels) for right in (seen, unseen)]
            return {"accuracy": covers(sides[1].ci, unseen),
                    "gap between members and others": covers(difference_of_independent(*sides).ci, seen - unseen)}

        yield Case("a model's accuracy", f"{seen} and {unseen}, {n} and {n}", COVERAGE, 0.95, gap)
    for tpr, fpr in ((0.05, 0.05), (0.1, 0.01)):
        def epsilon(generator: Random, tpr: float = tpr, fpr: float = fpr) -> Drawn:
            scores = np.where(np.arange(2000) < 1000, generator.random(2000) < tpr, generator.random(2000) < fpr)
            true = max(math.log(tpr / fpr), math.log((1 - fpr) / (1 - tpr)))
            return {"": float(epsilon_at(scores.astype(float), np.arange(2000) < 1000, 0.5).epsilon > true)}

        yield Case("ε at least", f"TPR {tpr}, FPR {fpr}, 1000 and 1000", ALARMS, 0.05, epsilon)

    def tuned(generator: Random) -> Drawn:
        fixed = best_threshold(generator.normal(size=400), generator.normal(size=400), 500, 500)
        return {"": float(epsilon_at(*scored(generator, 500, 500, 0.0), fixed).epsilon > 0.0)}

    yield Case("ε above 0, threshold of the references", "nothing leaks, 500 and 500", ALARMS, 0.05, tuned)

    def unlike(generator: Random) -> Drawn:
        ends = np.array([accuracy((generator.random(300) > 0.9).astype(np.int64), np.zeros(300, np.int64)).ci
                         for _ in range(5)])
        return {"": float(ends[0, 0] > ends[1:, 1].max() or ends[0, 1] < ends[1:, 0].min())}

    yield Case("subject unlike every shadow", "five alike, 300 samples", ALARMS, 0.05, unlike)


def judged_decisions(members: Flags, called: Flags, tpr: float, fpr: float) -> Drawn:
    """Return, for every figure of a table of decisions, whether its interval covers the truth."""
    n_in, n_out = int(members.sum()), int((~members).sum())
    report = binary_report(members, called)
    sides: dict[str, dict[str, float]] = {}
    for side, n, hit, n_other, alarm in (("member", n_in, tpr, n_out, fpr),
                                         ("non_member", n_out, 1 - fpr, n_in, 1 - tpr)):
        sides[side] = {"precision": n * hit / (n * hit + n_other * alarm), "recall": hit,
                       "f1": 2 * n * hit / (n * hit + n_other * alarm + n)}
    sides["macro"] = {name: (sides["member"][name] + sides["non_member"][name]) / 2 for name in sides["member"]}
    found = {f"{name}, {side}": covers(report[side][name].ci, true)
             for side, truths in sides.items() for name, true in truths.items()}
    right = (n_in * tpr + n_out * (1 - fpr)) / (n_in + n_out)
    found["accuracy"] = covers(report["accuracy"].ci, right)
    balanced = balanced_accuracy_at(called.astype(float), members, 0.5)
    found["balanced accuracy"] = covers(balanced.ci, (tpr + 1 - fpr) / 2)
    hits, alarms = int((called & members).sum()), int((called & ~members).sum())
    for prior in PRIORS:
        metric = positive_predictive_value(hits, n_in, alarms, n_out, prior)
        found[f"PPV at {prior:g}"] = covers(metric.ci, prior * tpr / (prior * tpr + (1 - prior) * fpr))
    return found


def documents() -> Iterator[Case]:
    """The document's attack: accuracy of rows counted twice, its parts, and what they are said to show."""
    for n, tpr, fpr in ((100, 0.6, 0.4), (30, 0.99, 0.01)):
        def doubled(generator: Random, n: int = n, tpr: float = tpr, fpr: float = fpr) -> Drawn:
            inside = np.arange(3 * n) < 2 * n
            called = generator.random(3 * n) < np.where(inside, tpr, fpr)
            rows = np.concatenate([np.arange(3 * n), np.flatnonzero(~inside)])
            found = figures(np.where(called, 1.0, -1.0), Evaluation(rows, inside[rows]))["accuracy"]
            return {"": covers(Metric.from_json(found).ci, (tpr + 1 - fpr) / 2)}

        yield Case("the document's accuracy", f"TPR {tpr}, FPR {fpr}, {2 * n} and twice {n}", COVERAGE, 0.95, doubled,
                   brief=n == 30)

    def parts(generator: Random) -> Drawn:
        asked = Asked(np.arange(600) < 200, np.arange(600) >= 400, np.zeros(600, np.int64))
        rates = np.where(asked.members, 0.5, np.where(asked.tested, 0.3, 0.4))
        found = decomposition(np.where(generator.random(600) < rates, 1.0, -1.0), asked)
        return {name: covers(found[name].ci, true)
                for name, true in (("above_chance", 0.1), ("split", 0.05), ("membership", 0.05))}

    def nothing(generator: Random) -> Drawn:
        asked = Asked(np.arange(600) < 200, np.arange(600) >= 400, np.zeros(600, np.int64))
        found = decomposition(np.where(generator.random(600) < 0.4, 1.0, -1.0), asked)
        return {name: two_sided(metric) for name, metric in found.items()}

    def imbalance(generator: Random) -> Drawn:
        right = generator.random(330) < 300 / 330
        return {"": two_sided(proportion(int(right.sum()), 330), 300 / 330)}

    yield Case("parts of the document's accuracy", "200 of each group", COVERAGE, 0.95, parts)
    yield Case("parts of the document's accuracy", "nothing leaks, 200 of each group", ALARMS, 0.05, nothing)
    yield Case("more or less often right than one answer", "as often, 300 and 30", ALARMS, 0.05, imbalance)


def images() -> Iterator[Case]:
    """Means over 30 images, their differences, and the rank of the original."""
    for share in (0.05, 0.5):
        def alike(generator: Random, share: float = share) -> Drawn:
            confidence = [recognised(generator, share) for _ in range(2)]
            ssim = [likeness(generator, share) for _ in range(2)]
            return {"confidence": two_sided(paired_mean(confidence[0] - confidence[1], "confidence")),
                    "ssim": two_sided(paired_mean(ssim[0] - ssim[1], "ssim"))}

        yield Case("members, or suppression, against others by images",
                   f"alike, {100 * share:g} % recognised, 30 pairs", ALARMS, 0.05, alike, brief=share < 0.5)

    def rare(generator: Random) -> Drawn:
        changes = np.where(generator.random(30) < 0.05, 0.76, -0.04) + generator.normal(0.0, 0.002, 30)
        return {"": two_sided(paired_mean(changes, "confidence"))}

    def first(generator: Random) -> Drawn:
        metric = proportion(int(generator.binomial(30, 1 / 300)), 30)
        return {"": float(metric.ci is not None and metric.ci[0] > 1 / 300)}

    yield Case("confidence above or below the mean image's", "equal means, 1 in 20 recognised", ALARMS, 0.05, rare)
    yield Case("original is the nearest more often than by chance", "1 of 300 by chance, 30 images", ALARMS, 0.05,
               first)
    for measure, words, draw, true in _IMAGE_MEASURES:
        def mean(generator: Random, measure: str = measure, draw: Callable[[Random], Floats] = draw,
                 true: float = true) -> Drawn:
            return {"": covers(mean_over_images(draw(generator), bounds=BOUNDS.get(measure, UNBOUNDED)).ci, true)}

        yield Case(f"mean {measure}", f"{words}, 30 images", COVERAGE, 0.95, mean, brief=words not in _VARIANTS)
    for measure, words, draw, true in _DIFFERENCES:
        def change(generator: Random, measure: str = measure, draw: Callable[[Random], Floats] = draw,
                   true: float = true) -> Drawn:
            return {"": covers(paired_mean(draw(generator), measure).ci, true)}

        yield Case(f"mean change of {measure}", f"{words}, 30 pairs", COVERAGE, 0.95, change)


def paired_mean(differences: Floats, measure: str) -> Metric:
    return mean_over_images(differences, bounds=DIFFERENCE_RANGES.get(measure, UNBOUNDED), null=0.0)


def recognised(generator: Random, share: float) -> Floats:
    """Draw confidences of 30 images, a share of which is recognised."""
    return np.where(generator.random(30) < share, generator.beta(30, 1, 30), generator.beta(1, 200, 30))


def likeness(generator: Random, share: float) -> Floats:
    """Draw SSIM of 30 images, a share of which comes back well."""
    return np.where(generator.random(30) < share, generator.normal(0.8, 0.05, 30), generator.normal(0.2, 0.05, 30))


def _mixed(share: float, common: float, rare: float) -> float:
    return (1.0 - share) * common + share * rare


_Measure = tuple[str, str, Callable[[Random], Floats], float]
_IMAGE_MEASURES: list[_Measure] = [
    *(("confidence", f"{100 * share:g} % recognised", lambda g, share=share: recognised(g, share),  # type: ignore[misc]
       _mixed(share, 1 / 201, 30 / 31)) for share in (0.02, 0.05, 0.2, 0.9)),
    ("confidence", "spread over its range", lambda g: g.beta(0.3, 0.6, 30), 1 / 3),
    ("ssim", "5 % come back well", lambda g: likeness(g, 0.05), _mixed(0.05, 0.2, 0.8)),
    ("ssim", "skewed", lambda g: g.beta(1, 5, 30), 1 / 6),
    ("l2_relative", "5 % come back well", lambda g: 1.0 - likeness(g, 0.05), 1 - _mixed(0.05, 0.2, 0.8)),
    ("l2", "exponential", lambda g: g.exponential(size=30), 1.0),
    ("l2", "log-normal, σ .5", lambda g: g.lognormal(0.0, 0.5, 30), math.exp(0.125)),
    ("psnr", "exponential above 8 dB", lambda g: 8.0 + g.exponential(3.0, 30), 11.0),
    ("rank_share", "skewed", lambda g: g.beta(0.4, 4, 30), 0.4 / 4.4),
]
_VARIANTS = ("2 % recognised", "20 % recognised", "90 % recognised", "log-normal, σ .5")
_DIFFERENCES: list[_Measure] = [
    ("confidence", "5 % gain, the others lose a little",
     lambda g: np.where(g.random(30) < 0.05, 0.76, -0.04) + g.normal(0.0, 0.002, 30), 0.0),
    ("confidence", "a third gains", lambda g: np.where(g.random(30) < 1 / 3, g.beta(5, 2, 30), 0.0), 5 / 21),
    ("ssim", "skewed", lambda g: 0.1 * g.exponential(size=30) - 0.05, 0.05),
    ("ssim", "a fifth gains", lambda g: np.where(g.random(30) < 0.2, 0.4, 0.0) + g.normal(0.0, 0.05, 30), 0.08),
    ("l2_relative", "normal", lambda g: g.normal(0.02, 0.1, 30), 0.02),
]


def rankings() -> Iterator[Case]:
    """Kendall's rank correlation over variants."""
    for n, digits in ((6, 0), (6, 9), (10, 0)):
        def ranked(generator: Random, n: int = n, digits: int = digits) -> Drawn:
            found = kendall(*np.round(generator.normal(size=(2, n)), digits))
            return {"": math.nan if math.isnan(found.p) else float(found.p < 0.05)}

        yield Case("Kendall's τ", f"unrelated, {n} variants, {'no ties' if digits else 'ties'}", ALARMS, 0.05, ranked,
                   brief=n == 6)


def cases() -> list[Case]:
    """Return every case."""
    rooms: list[Callable[[], Iterator[Case]]] = [rankings, areas, rates, decided, documents, images]
    return [case for room in rooms for case in room()]


def as_record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values."""
    return {"figure": outcome.figure, "truth": outcome.case.truth, "kind": outcome.case.kind,
            "nominal": outcome.case.nominal, "share": outcome.share, "error": outcome.error,
            "audits": outcome.audits, "without": outcome.silent, "holds": outcome.holds()}
