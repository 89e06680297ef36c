"""RMIA: does the target's confidence in a sample stand out against references', more than a stranger's does?

Zarifzadeh, Liu & Shokri, arXiv 2312.03262, sec. 3. R(v) = P(v|f)/P(v) with P(v|f) = p_y; a sample's score is the share
of population samples z that it dominates, R(x)/R(z) ≥ γ. Probabilities stay logarithms throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from mindleak.attacks.membership.signals import Flags, Floats, ReferenceSignals, others, partners
from mindleak.evaluation.roc import auc

DEFAULT_A = 0.3
A_GRID = tuple(step / 10 for step in range(11))


@dataclass(frozen=True)
class RmiaScores:
    """The outcome on a target's samples.

    Attributes:
        share: (samples,), share of the population that each dominates: the score of the paper.
        log_ratio: (samples,), ln R(x).
        scores: (samples,), ``share`` with ties broken by R(x): (Z·share + R/(1+R))/(Z+1) for a population of Z.
        tied: number of samples whose ``share`` another sample has as well, so that R(x) decided between them.
    """

    share: Floats
    log_ratio: Floats
    scores: Floats
    tied: int


def online_log_p(log_mean_in: Floats, log_mean_out: Floats) -> Floats:
    """Return ln P(x) = ln ½(mean over IN + mean over OUT), the mean over references of which half are IN."""
    return np.logaddexp(log_mean_in, log_mean_out) - math.log(2.0)


def offline_log_p(log_mean_out: Floats, a: float = DEFAULT_A) -> Floats:
    """Return ln P(x) = ln ½[(1+a)·mean over OUT + (1-a)] (eq. 10 and appendix B.2).

    Raises:
        ValueError: ``a`` outside [0, 1].
    """
    if not 0.0 <= a <= 1.0:
        raise ValueError(f"a lies in [0, 1], got {a}")
    rest = np.full_like(log_mean_out, math.log1p(-a) if a < 1.0 else -math.inf)
    return np.logaddexp(math.log1p(a) + log_mean_out, rest) - math.log(2.0)


def rmia_scores(log_p: ArrayLike, log_prior: ArrayLike, log_p_z: ArrayLike, log_prior_z: ArrayLike,
                gamma: float = 2.0) -> RmiaScores:
    """Score samples against the population.

    Args:
        log_p: ln P(x|f) of the target, (samples,).
        log_prior: ln P(x), (samples,); NaN leaves the sample without a score.
        log_p_z, log_prior_z: the same on the population, (population,).
        gamma: how far a sample must dominate, at least 1.

    Raises:
        ValueError: no population, shapes that do not fit, or γ below 1.
    """
    ratio = np.asarray(log_p, dtype=np.float64) - np.asarray(log_prior, dtype=np.float64)
    ratio_z = np.asarray(log_p_z, dtype=np.float64) - np.asarray(log_prior_z, dtype=np.float64)
    if ratio.ndim != 1 or ratio_z.ndim != 1 or ratio_z.size == 0:
        raise ValueError(f"samples and a population are needed, got {ratio.shape} and {ratio_z.shape}")
    if not gamma >= 1.0:
        raise ValueError(f"gamma is at least 1, got {gamma}")
    bars = np.sort(ratio_z + math.log(gamma))
    dominated = np.searchsorted(bars, ratio, side="right")
    share = np.where(np.isnan(ratio), np.nan, dominated / bars.size)
    sharing = np.bincount(dominated)
    tied = int(sharing[sharing > 1].sum())
    return RmiaScores(share, ratio, (bars.size * share + expit(ratio)) / (bars.size + 1), tied)


@dataclass(frozen=True)
class Priors:
    """What P(x) and P(z) are made of for one target: ln of means of p, (samples,), (samples,), (population,)."""

    log_mean_in: Floats
    log_mean_out: Floats
    log_mean_z: Floats


class ReferenceMeans:
    """Means of p over the references' IN and OUT sides, for any target.

    z is in no training set, so all references are OUT for it, and all of them count: not the upper half, as in some
    public code, which biases P(z) upwards.
    """

    def __init__(self, references: ReferenceSignals) -> None:
        self._keep = references.keep
        self._samples = _Anchored.of(references.log_p)
        self._population = _Anchored.of(references.log_p_z)
        self._partners = partners(references.keep)

    def priors(self) -> Priors:
        """Return the means for a target that is none of the references; NaN for a side without any."""
        return Priors(self._samples.log_mean(self._keep), self._samples.log_mean(~self._keep),
                      self._population.log_mean(np.ones(self._population.scaled.shape, dtype=np.bool_)))

    def without(self, number: int) -> Priors:
        """Return the means for reference ``number`` as the target: without it, and without its partner of each sample.

        See ``signals.partners``. On the population the target alone is left out.
        """
        inside, outside = others(self._keep, number, self._partners[number])
        rest = np.ones(self._population.scaled.shape, dtype=np.bool_)
        rest[number] = False
        return Priors(self._samples.log_mean(inside), self._samples.log_mean(outside), self._population.log_mean(rest))


@dataclass(frozen=True)
class _Anchored:
    """p of (models, samples) relative to each sample's largest, so that means of very small p do not vanish."""

    anchor: Floats
    scaled: Floats

    @classmethod
    def of(cls, log_p: Floats) -> _Anchored:
        anchor = log_p.max(axis=0)
        return cls(anchor, np.exp(log_p - anchor))

    def log_mean(self, chosen: Flags) -> Floats:
        """Return ln of the mean of p over the models chosen for each sample, (samples,); NaN where there is none."""
        count = chosen.sum(axis=0)
        total = np.einsum("ms,ms->s", chosen.astype(np.float64), self.scaled)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(count > 0, self.anchor + np.log(total) - np.log(count), np.nan)


def online(log_p: Floats, log_p_z: Floats, found: Priors, gamma: float = 2.0) -> RmiaScores:
    """Return the online scores of a target; of the population there are OUT references only. See ``rmia_scores``."""
    return rmia_scores(log_p, online_log_p(found.log_mean_in, found.log_mean_out), log_p_z, found.log_mean_z, gamma)


def offline(log_p: Floats, log_p_z: Floats, found: Priors, gamma: float = 2.0, a: float = DEFAULT_A) -> RmiaScores:
    """Return the offline scores of a target, which rest on OUT references only. See ``rmia_scores``."""
    return rmia_scores(log_p, offline_log_p(found.log_mean_out, a), log_p_z, offline_log_p(found.log_mean_z, a), gamma)


def tuned_a(log_p: Floats, log_p_z: Floats, members: Flags, found: Priors, gamma: float = 2.0) -> float:
    """Return the ``a`` of 0, .1, …, 1 with the largest AUC on one reference as the target.

    Of equal areas the one nearest the default wins, so that a reference which says nothing changes nothing.

    Args:
        log_p, log_p_z: of that reference.
        members: whether it was trained on each sample, (samples,).
        found: the means over the *other* references.
        gamma: as for the attack.
    """
    scored = {a: offline(log_p, log_p_z, found, gamma, a).scores for a in A_GRID}
    known = np.isfinite(scored[DEFAULT_A])
    areas = {a: auc(scores[known], members[known]).value for a, scores in scored.items()}
    if any(math.isnan(area) for area in areas.values()):
        return DEFAULT_A
    return max(A_GRID, key=lambda a: (areas[a], -abs(a - DEFAULT_A)))
