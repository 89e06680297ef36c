"""What reference models and targets answer, turned into the signals that all reference attacks share.

Signals are computed once per model from its stored logits; every attack after that is arithmetic on arrays of shape
(models, samples). Nothing here trains or queries a network.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mindleak.attacks.checks import require_answers
from mindleak.errors import InputError
from mindleak.evaluation import signals

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ModelSignals:
    """The signals of one model.

    Attributes:
        phi: logit-scaled confidence of every query, (samples, queries).
        log_p: ln p_y at RMIA's temperature, of the plain image, (samples,).
        log_p_z: the same on the population, (population,).
        temperature: RMIA's, by which logits were divided for ``log_p`` and ``log_p_z``.
    """

    phi: Floats
    log_p: Floats
    log_p_z: Floats
    temperature: float = 1.0


@dataclass(frozen=True)
class ReferenceSignals:
    """The signals of all reference models, and which of them were trained on which samples.

    Attributes:
        keep: (models, samples), True where a model was trained on a sample.
        phi: (models, samples, queries).
        log_p: (models, samples).
        log_p_z: (models, population); the population is in no training set, and may be empty for attacks without one.
        temperature: as of each model.
    """

    keep: Flags
    phi: Floats
    log_p: Floats
    log_p_z: Floats
    temperature: float = 1.0
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        models, samples = self.keep.shape
        shapes = (self.phi.shape[:2], self.log_p.shape, self.log_p_z.shape[:1])
        if shapes != ((models, samples), (models, samples), (models,)):
            raise ValueError(f"signals of shapes {shapes} do not belong to a keep matrix of {models} x {samples}")

    def once(self, what: Hashable, compute: Callable[[], Any]) -> Any:
        """Return what ``compute`` gives, computed once for all attacks that ask for the same of these references."""
        if what not in self._known:
            self._known[what] = compute()
        return self._known[what]

    def model(self, number: int) -> ModelSignals:
        """Return one model's signals, as those of a target."""
        return ModelSignals(self.phi[number], self.log_p[number], self.log_p_z[number], self.temperature)


def model_signals(logits: ArrayLike, labels: ArrayLike, logits_z: ArrayLike | None = None,
                  labels_z: ArrayLike | None = None, temperature: float = 1.0) -> ModelSignals:
    """Return a model's signals from its logits.

    Args:
        logits: (samples, classes), or (queries, samples, classes) with the plain image first.
        labels: (samples,).
        logits_z: (population, classes); none for attacks that need no population.
        labels_z: (population,).
        temperature: RMIA's P(x|f) is the softmax of logits/temperature.

    Raises:
        InputError: shapes that do not fit, logits that are not finite, a population without its labels, or a
            temperature not above 0.
    """
    if (logits_z is None) != (labels_z is None):
        raise InputError("the population has logits or labels only; expected both, or neither")
    if not 0.0 < temperature < float("inf"):
        raise InputError(f"temperature is {temperature}; expected a finite number above 0")
    stack = np.asarray(logits)
    stack = stack[None] if stack.ndim == 2 else stack
    if stack.ndim != 3 or not len(stack):
        raise InputError(f"logits have shape {np.shape(logits)}; expected (samples, classes) or (queries, samples, "
                         "classes)")
    for query in stack:
        require_answers("the samples", query, labels)
    if logits_z is not None and labels_z is not None:
        require_answers("the population", logits_z, labels_z, stack.shape[2])
    phi = np.stack([signals.phi(query, labels) for query in stack], axis=1)
    log_p_z = (np.zeros(0) if logits_z is None or labels_z is None
               else _log_p(np.asarray(logits_z), labels_z, temperature))
    return ModelSignals(phi, _log_p(stack[0], labels, temperature), log_p_z, temperature)


def stacked(models: Sequence[ModelSignals], keep: ArrayLike) -> ReferenceSignals:
    """Return the signals of several models together.

    Raises:
        InputError: no model, several temperatures, or shapes that do not fit each other or the keep matrix.
    """
    if not models:
        raise InputError("there are no references; expected at least one")
    temperatures = sorted({model.temperature for model in models})
    if len(temperatures) > 1:
        raise InputError(f"models have temperatures {temperatures}; expected one for all")
    shapes = {(model.phi.shape, model.log_p.shape, model.log_p_z.shape) for model in models}
    if len(shapes) > 1:
        raise InputError(f"the references' signals have shapes {sorted(shapes)}; expected the same samples, queries "
                         "and population for all")
    samples = (len(models), len(models[0].log_p))
    if np.shape(keep) != samples:
        raise InputError(f"keep has shape {np.shape(keep)}; expected (models, samples), {samples}")
    return ReferenceSignals(np.asarray(keep, dtype=np.bool_), np.stack([model.phi for model in models]),
                            np.stack([model.log_p for model in models]), np.stack([model.log_p_z for model in models]),
                            temperatures[0])


def partners(keep: Flags) -> NDArray[np.int64]:
    """Return for each model and sample a model drawn from the other side of the sample, (models, samples).

    A reference that plays the target leaves its own side of each sample one model short. A sample's scores would then
    depend on the side through the counts alone; leaving out the partner as well keeps the sides equal. It must be
    drawn: were it always the target's neighbour, that model would be left out of one side only, and where models differ
    as a whole, one more confident than another, scores would again depend on the side. The draw is the same at every
    call. -1 where all models are on one side.
    """
    models, samples = keep.shape
    everyone = np.arange(samples)
    # The next one of the other side in an order of the sample's own, drawn from all orders.
    order = np.random.default_rng(0).random((models, samples)).argsort(axis=0)
    sides = keep[order, everyone].astype(np.int64)
    following = np.full((2, samples), -1, dtype=np.int64)
    result = np.empty((models, samples), dtype=np.int64)
    for step in range(2 * models - 1, -1, -1):
        number, side = order[step % models], sides[step % models]
        if step < models:
            result[number, everyone] = following[1 - side, everyone]
        following[side, everyone] = number
    return result


def others(keep: Flags, target: int, partner: NDArray[np.int64]) -> tuple[Flags, Flags]:
    """Return which references stand IN and OUT for each sample when model ``target`` is attacked, (models, samples).

    The target and its ``partner`` row (see ``partners``) are on neither side.
    """
    free = np.ones_like(keep)
    free[target] = False
    samples = np.flatnonzero(partner >= 0)
    free[partner[samples], samples] = False
    return keep & free, ~keep & free


def _log_p(logits: NDArray[np.floating], labels: ArrayLike, temperature: float) -> Floats:
    return -signals.loss(np.asarray(logits, dtype=np.float64) / temperature, labels)
