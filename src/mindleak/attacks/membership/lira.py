"""LiRA: is a sample's φ under the target more like that of references trained on it, or of those that were not?

Carlini et al., arXiv 2112.03570, sec. IV and V. Per sample, φ of the IN and of the OUT references are taken for
Gaussian. Everything is array arithmetic over (models, samples, queries); the target is never among its references.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr

from mindleak.attacks.membership.signals import Flags, Floats, partners

# From so many models on each side on, a sample's own σ is better than the pooled one (METHODS: arXiv 2112.03570, VI).
PER_SAMPLE_MODELS = 32
PER_SAMPLE, POOLED, UNIT = "per sample", "pooled", "unit"
# φ comes from float32 logits: differences below this many nats are rounding, and no σ is smaller.
_SIGMA_FLOOR = 1e-6


@dataclass(frozen=True)
class Spread:
    """Which σ is used, and the words that say so."""

    kind: str
    note: str


@dataclass(frozen=True)
class Side:
    """How φ is distributed over the references on one side (IN or OUT) of each sample.

    Attributes:
        count: (..., samples), number of references, or the sum of their weights.
        mean: (..., samples, queries).
        variance: (..., samples, queries), mean squared residual within the sample.
    """

    count: NDArray[np.float64]
    mean: Floats
    variance: Floats


@dataclass(frozen=True)
class LiraScores:
    """Scores (..., samples), higher = more member-like, of one attack or more with different weights of the references.

    They are NaN where a sample has no reference on a side that is needed.
    """

    online: Floats
    offline: Floats
    offline_two_sided: Floats

    def of(self, attack: str) -> Floats:
        """Return the scores of an attack by its name, ``lira_online`` and so on."""
        found: Floats = getattr(self, attack.replace("lira_", "", 1))
        return found


def choose_spread(fewest_in: int, fewest_out: int, spared: int = 0) -> Spread:
    """Return the σ that so many references allow, counted at the sample that has fewest.

    32 and 32 allow a σ per sample, two on a side a σ pooled over all within-sample residuals of the side. Fewer leave
    no residual; σ is then 1 nat, and the scores rest on the distance to the means alone.

    Args:
        fewest_in, fewest_out: references on either side.
        spared: how many of a side will be missing where a reference plays the target; its scores, which set the
            thresholds, must come from the same kind of σ, so two must be left.
    """
    counts = f"{fewest_in} IN and {fewest_out} OUT references per sample"
    if min(fewest_in, fewest_out) >= PER_SAMPLE_MODELS:
        return Spread(PER_SAMPLE, f"{counts}: one σ per sample")
    if min(fewest_in, fewest_out) - spared >= 2:
        return Spread(POOLED, f"{counts}, fewer than the {PER_SAMPLE_MODELS} and {PER_SAMPLE_MODELS} that a σ per "
                              "sample needs: σ is pooled over all samples")
    return Spread(UNIT, f"{counts}, too few for any σ: fell back to σ = 1, so only distances to the means count")


def lira(target: ArrayLike, phi: ArrayLike, keep: ArrayLike, spread: Spread | None = None,
         weights: ArrayLike | None = None) -> LiraScores:
    """Score the samples of a target that is none of the references.

    Online: mean over queries of ln N(φ; μ_in, σ_in²) - ln N(φ; μ_out, σ_out²). Offline, one-sided (the paper's,
    eq. 4): mean of ln Φ((φ - μ_out)/σ_out). Two-sided, as many implementations have it: -ln N(φ; μ_out, σ_out²).

    Args:
        target: φ of the target, (samples, queries).
        phi: φ of the references, (models, samples, queries).
        keep: (models, samples), True where a reference was trained on a sample.
        spread: which σ; ``choose_spread`` of the counts by default.
        weights: how often each reference counts, (..., models, samples), at least 0; once by default. With axes before
            these there is an attack for each.

    Raises:
        ValueError: shapes that do not fit, or φ that is not finite.
    """
    values, masks = _checked(phi, keep)
    centre = values.mean(axis=0)
    inside, outside = (_side(values - centre, mask, weights) for mask in (masks, ~masks))
    chosen = spread or choose_spread(_fewest(inside), _fewest(outside))
    return _scores(_checked_target(target, values) - centre, inside, outside, chosen)


def leave_one_out(phi: ArrayLike, keep: ArrayLike, spread: Spread | None = None) -> Iterator[LiraScores]:
    """Yield the scores of each reference in turn as the target, left out of its own references.

    With it goes, sample by sample, one reference of the other side (see ``signals.partners``), so that the two sides
    stay equal in number whether the target was trained on the sample or not.

    Args:
        phi: (models, samples, queries).
        keep: (models, samples).
        spread: which σ; that of the full set's attack, so that its thresholds carry over. By default that of the
            counts that are left.

    Raises:
        ValueError: as ``lira``.
    """
    values, masks = _checked(phi, keep)
    centred = values - values.mean(axis=0)
    for number, sides in enumerate(_without_each(centred, masks)):
        yield _scores(centred[number], *sides, spread or choose_spread(*map(_fewest, sides)))


def in_place_of_last(target: ArrayLike, phi: ArrayLike, keep: ArrayLike, spread: Spread | None = None) -> LiraScores:
    """Score a target by the references that the last of them has in its turn of ``leave_one_out``.

    Thresholds that references set are for scores from as many references on either side as theirs. By all references a
    target's means are less noisy, and it would exceed such thresholds less often than they say.

    Args:
        target, phi, keep, spread: as for ``lira``.

    Raises:
        ValueError: as ``lira``.
    """
    values, masks = _checked(phi, keep)
    centre = values.mean(axis=0)
    own = _checked_target(target, values)
    *_, sides = _without_each(values - centre, masks, len(masks) - 1)
    return _scores(own - centre, *sides, spread or choose_spread(*map(_fewest, sides)))


def _without_each(centred: Floats, masks: Flags, start: int = 0) -> Iterator[tuple[Side, Side]]:
    """Yield IN and OUT without each reference from ``start`` on, and without its partner of each sample."""
    sums = [_Sums.over(centred, mask) for mask in (masks, ~masks)]
    other = partners(masks)
    everyone = np.arange(masks.shape[1])
    for number in range(start, len(masks)):
        here = masks[number]
        paired = other[number] >= 0
        opposite = centred[np.maximum(other[number], 0), everyone]
        inside = sums[0].without(centred[number], here).without(opposite, ~here & paired).side()
        outside = sums[1].without(centred[number], ~here).without(opposite, here & paired).side()
        yield inside, outside


@dataclass(frozen=True)
class _Sums:
    """Running sums over one side's references; values are centred, so their squares cancel little."""

    count: Floats
    first: Floats
    second: Floats

    @classmethod
    def over(cls, centred: Floats, mask: Flags, weights: ArrayLike | None = None) -> _Sums:
        counted = mask.astype(np.float64) if weights is None else mask * np.asarray(weights, dtype=np.float64)
        return cls(counted.sum(axis=-2), np.einsum("...ms,msq->...sq", counted, centred),
                   np.einsum("...ms,msq,msq->...sq", counted, centred, centred))

    def without(self, values: Floats, where: Flags) -> _Sums:
        """Return the sums with one model's ``values`` taken out of the samples ``where``."""
        gone = np.where(where[:, None], values, 0.0)
        return _Sums(self.count - where, self.first - gone, self.second - gone**2)

    def side(self) -> Side:
        count = self.count[..., None]
        size = np.where(count > 0, count, 1.0)
        mean = np.where(count > 0, self.first / size, np.nan)
        variance = np.where(count > 0, np.maximum(self.second / size - mean**2, 0.0), np.nan)
        return Side(self.count, mean, variance)


def _side(centred: Floats, mask: Flags, weights: ArrayLike | None) -> Side:
    return _Sums.over(centred, mask, weights).side()


def _fewest(side: Side) -> int:
    return int(side.count.min()) if side.count.size else 0


def _scores(own: Floats, inside: Side, outside: Side, spread: Spread) -> LiraScores:
    """Return all three scores from the target's φ and the two sides, all centred alike."""
    sigma_in, sigma_out = (_sigma(side, spread.kind) for side in (inside, outside))
    out_density = _log_density(own, outside.mean, sigma_out)
    online = _log_density(own, inside.mean, sigma_in) - out_density
    offline = log_ndtr((own - outside.mean) / sigma_out)
    return LiraScores(*(each.mean(axis=-1) for each in (online, offline, -out_density)))


def _sigma(side: Side, kind: str) -> Floats:
    """Return σ, (..., samples, queries) or (..., 1, queries)."""
    if kind == UNIT:
        return np.ones((1, side.mean.shape[-1]))
    if kind == PER_SAMPLE:
        return np.maximum(np.sqrt(side.variance), _SIGMA_FLOOR)
    # Σ_ij (φ_ij - μ_i)² over all samples that have more than one, by its degrees of freedom: divided by the number of
    # residuals, σ would be too small by n/(n - 1), more so for a left-out reference than for the target, and thresholds
    # would not carry over. The ranking is the same either way.
    counts = side.count[..., None]
    several = counts > 1
    freedom = np.maximum(np.where(several, counts - 1, 0.0).sum(axis=-2, keepdims=True), 1.0)
    residuals = np.where(several, counts * side.variance, 0.0).sum(axis=-2, keepdims=True)
    return np.maximum(np.sqrt(residuals / freedom), _SIGMA_FLOOR)


def _log_density(values: Floats, mean: Floats, sigma: Floats) -> Floats:
    return -0.5 * ((values - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)


def _checked(phi: ArrayLike, keep: ArrayLike) -> tuple[Floats, Flags]:
    values, masks = np.asarray(phi, dtype=np.float64), np.asarray(keep)
    if values.ndim != 3 or masks.dtype != np.bool_ or masks.shape != values.shape[:2] or len(values) == 0:
        raise ValueError(f"phi must be (models, samples, queries) and keep booleans (models, samples), got "
                         f"{values.shape} and {masks.dtype}{masks.shape}")
    if values.shape[2] == 0 or not np.isfinite(values).all():
        raise ValueError("phi must be finite, with at least one query")
    return values, masks


def _checked_target(target: ArrayLike, values: Floats) -> Floats:
    own = np.asarray(target, dtype=np.float64)
    if own.shape != values.shape[1:] or not np.isfinite(own).all():
        raise ValueError(f"the target's phi must be finite and of shape {values.shape[1:]}, got {own.shape}")
    return own
