"""What the improved shadow attack looks at: named groups of features of a model's behaviour on samples.

The RNN tutorial closes with the wish for more than the posterior; docs/methods.md has the sources of every group. A
group is a function of an ``Observation``, which holds no word of who was trained on: membership cannot reach a feature.

Hidden units mean nothing across models: two trainings of one network learn them in different orders. So a layer enters
by what a permutation of its units leaves alone: order statistics, moments, norms, distances between activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindleak.attacks.checks import require_finite
from mindleak.errors import InputError, known_names
from mindleak.evaluation import signals

Floats = NDArray[np.float64]

POSTERIOR, CALIBRATED, HIDDEN, ACTIVATIONS = "posterior", "calibrated", "hidden", "activations"
QUANTILES = np.linspace(0.0, 1.0, 17)
# Beyond so many standard deviations a value says no more, and one far outlier must not lead a linear model.
CLIP = 10.0


@dataclass(frozen=True)
class Calibration:
    """How models that were not trained on a sample answer on it: its difficulty.

    Attributes:
        phi: mean logit-scaled confidence over these models, (N,); NaN where there is none.
        loss: mean cross-entropy, (N,).
        models: how many there are, (N,).
    """

    phi: Floats
    loss: Floats
    models: NDArray[np.int64]


@dataclass(frozen=True)
class Observation:
    """What an attacker sees of one model on N samples.

    Attributes:
        logits: (N, classes).
        labels: true classes, (N,).
        calibration: of the same samples, where other models answered for them.
        hidden: ``hidden_description`` of the layer before the logits, (N, features).
        activations: ``layer_description`` of further layers side by side, (N, features).
    """

    logits: np.ndarray
    labels: np.ndarray
    calibration: Calibration | None = None
    hidden: np.ndarray | None = None
    activations: np.ndarray | None = None


def checked_features(names: Sequence[str]) -> tuple[str, ...]:
    """Return the groups asked for, each once, in the order of ``GROUPS``.

    Raises:
        InputError: none at all, or a name that is no group (the nearest one is named).
    """
    wanted = known_names(names, tuple(GROUPS), "membership.improved.features")
    return tuple(name for name in GROUPS if name in wanted)


def require_parts(whose: str, seen: Observation, groups: Sequence[str]) -> None:
    """Refuse an observation that lacks what one of the groups is made of, or whose parts do not fit.

    Args:
        whose: what messages call the model.
        seen: what is observed of it; its logits and labels have been checked.
        groups: names of ``GROUPS``.

    Raises:
        InputError: as said.
    """
    samples = len(seen.labels)
    for name in (HIDDEN, ACTIVATIONS):
        if name not in groups:
            continue
        values = getattr(seen, name)
        if values is None:
            raise InputError(f"the observation of {whose} has no {name}; expected descriptions of layers, which the "
                             f"features '{name}' are made of")
        if values.ndim != 2 or len(values) != samples:
            raise InputError(f"{name} of {whose} has shape {values.shape}; expected ({samples}, features)")
        require_finite(f"{name} features of {whose}", values)
    if CALIBRATED in groups:
        if seen.calibration is None:
            raise InputError(f"the observation of {whose} has no calibration; expected answers of models that were not "
                             f"trained on its samples, which the features '{CALIBRATED}' are made of")
        known = seen.calibration.models > 0
        if known.shape != (samples,):
            raise InputError(f"the calibration of {whose} has shape {known.shape}; expected ({samples},)")
        for values in (seen.calibration.phi, seen.calibration.loss):
            require_finite(f"calibrations of {whose}", values[known])


def group_matrix(name: str, seen: Observation) -> Floats:
    """Return the features of one group, (N, features).

    Raises:
        ValueError: the observation lacks what the group is made of, or its parts do not fit.
    """
    found = GROUPS[name](seen)
    return found if found.ndim == 2 else found[:, None]


def known_rows(seen: Observation, groups: Sequence[str]) -> NDArray[np.bool_]:
    """Return which samples have all features of the groups, (N,): those that some other model can calibrate."""
    if CALIBRATED not in groups:
        return np.ones(len(seen.labels), bool)
    return _calibration(seen).models > 0


def out_calibration(logits: np.ndarray, labels: np.ndarray, trained: NDArray[np.bool_],
                    left_out: int | None = None) -> Calibration:
    """Return the samples' difficulty: means over the models that were not trained on them.

    Difficulty calibration of Watson et al. (arXiv 2111.08440, sec. 3.1).

    Args:
        logits: of all shadows on the samples, (models, N, classes).
        labels: (N,).
        trained: (models, N), True where a shadow was trained on a sample.
        left_out: the shadow that the samples are observed by, which must not calibrate itself; None for the subject.
    """
    outside = ~trained
    if left_out is not None:
        outside[left_out] = False
    models = outside.sum(axis=0)
    means = []
    for signal in (signals.phi, signals.loss):
        values = np.stack([signal(each, labels) for each in logits])
        with np.errstate(invalid="ignore"):
            means.append(np.where(outside, values, 0.0).sum(axis=0) / models)
    return Calibration(means[0], means[1], models)


def hidden_description(activations: np.ndarray, labels: np.ndarray, population: np.ndarray,
                       population_labels: np.ndarray) -> np.ndarray:
    """Return what is said of the layer before the logits, whatever the order of its units: float32 (N, 27).

    17 quantiles of a sample's activations; mean, standard deviation, skewness, kurtosis, mean magnitude and root mean
    square over the units; and where it lies among the classes: distance to the centroid of its own, to the nearest of
    the others, the difference of both, and the cosine to its own. A centroid is the same model's mean activation on
    samples of the population, which no model is trained on; a class without any has the mean of all.

    Args:
        activations: (N, …), flattened behind the first axis.
        labels: (N,).
        population: the same layer on the population, (M, …), M > 0.
        population_labels: (M,).
    """
    values = _flat(activations)
    ordered = np.sort(values, axis=1)
    centroids = _centroids(_flat(population), population_labels, int(max(labels.max(), population_labels.max())) + 1)
    parts = [np.quantile(ordered, QUANTILES, axis=1).T, _moments(ordered), _distances(values, labels, centroids)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def layer_description(outputs: np.ndarray) -> np.ndarray:
    """Return mean, standard deviation, root mean square, least, largest and share of zeros of a layer: (N, 6) float32.

    Args:
        outputs: (N, …); units, channels, places and time steps are taken together.
    """
    values = _flat(outputs)
    return np.stack([values.mean(axis=1), values.std(axis=1), np.sqrt(np.mean(values**2, axis=1)), values.min(axis=1),
                     values.max(axis=1), np.mean(values == 0, axis=1)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Scaler:
    """Standardises features by the samples it was made from, and clips at ten standard deviations.

    A feature that is constant there becomes its difference to that constant.
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, values: Floats) -> Scaler:
        """Return the scaler of rows (N, features), N > 0."""
        deviation = values.std(axis=0)
        # A constant column's computed deviation is rounding noise, not always zero.
        flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0))
        return cls(values.mean(axis=0), np.where(flat, 1.0, deviation))

    def __call__(self, values: Floats) -> np.ndarray:
        """Return standardised rows, float32."""
        return np.clip((values - self.mean) / self.deviation, -CLIP, CLIP).astype(np.float32)


def _flat(values: np.ndarray) -> Floats:
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _moments(ordered: Floats) -> Floats:
    """Return moments and norms of every row, (N, 6); rows come sorted, so the order of units cannot round otherwise."""
    mean, deviation = ordered.mean(axis=1), ordered.std(axis=1)
    scaled = (ordered - mean[:, None]) / np.where(deviation > 0, deviation, 1.0)[:, None]
    return np.stack([mean, deviation, np.mean(scaled**3, axis=1), np.mean(scaled**4, axis=1),
                     np.abs(ordered).mean(axis=1), np.sqrt(np.mean(ordered**2, axis=1))], axis=1)


def _centroids(values: Floats, labels: np.ndarray, classes: int) -> Floats:
    """Return the mean activation per class, (classes, units)."""
    found = np.tile(values.mean(axis=0), (classes, 1))
    for label in np.unique(labels):
        found[label] = values[labels == label].mean(axis=0)
    return found


def _distances(values: Floats, labels: np.ndarray, centroids: Floats) -> Floats:
    """Return distance to the own centroid, to the nearest other, their difference, and the own cosine, (N, 4)."""
    squared = (values**2).sum(axis=1)[:, None] - 2 * values @ centroids.T + (centroids**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squared, 0.0))
    samples = np.arange(len(values))
    own = distances[samples, labels]
    distances[samples, labels] = np.inf
    # With a single class there is no other.
    other = distances.min(axis=1) if len(centroids) > 1 else own
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(centroids[labels], axis=1)
    cosine = (values * centroids[labels]).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    return np.stack([own, other, other - own, cosine], axis=1)


def _calibration(seen: Observation) -> Calibration:
    if seen.calibration is None:
        raise ValueError("the observation has no calibration")
    return seen.calibration


def _calibrated(seen: Observation) -> Floats:
    """Return φ and loss less their means over models that lack the sample, and that mean of φ, (N, 3)."""
    outside = _calibration(seen)
    return np.stack([signals.phi(seen.logits, seen.labels) - outside.phi,
                     signals.loss(seen.logits, seen.labels) - outside.loss, outside.phi], axis=1)


def _stored(name: str) -> Callable[[Observation], Floats]:
    def read(seen: Observation) -> Floats:
        values = getattr(seen, name)
        if values is None:
            raise ValueError(f"the observation has no {name}")
        return np.asarray(values, np.float64)

    return read


def _top(seen: Observation) -> Floats:
    return signals.top_k(seen.logits, min(3, seen.logits.shape[1]))


def _correct(seen: Observation) -> Floats:
    return (seen.logits.argmax(axis=1) == seen.labels).astype(np.float64)


GROUPS: dict[str, Callable[[Observation], Floats]] = {
    POSTERIOR: lambda seen: signals.softmax(seen.logits),
    "top3": _top,
    "loss": lambda seen: signals.loss(seen.logits, seen.labels),
    "modified_entropy": lambda seen: signals.modified_entropy(seen.logits, seen.labels),
    "phi": lambda seen: signals.phi(seen.logits, seen.labels),
    "correct": _correct,
    CALIBRATED: _calibrated,
    HIDDEN: _stored(HIDDEN),
    ACTIVATIONS: _stored(ACTIVATIONS),
}
# What needs no further answers than the logits on the samples themselves.
FROM_LOGITS = tuple(name for name in GROUPS if name not in (CALIBRATED, HIDDEN, ACTIVATIONS))
