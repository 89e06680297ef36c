"""The contract of unlearning methods: hyper-parameters in the constructor, one final public call, a dataclass back.

The call checks the rows and the result; a subclass writes the algorithm alone, as ``_unlearn``. This is the template
method that attacks follow, too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.errors import InputError, NotFiniteError
from mindleak.training.compiled import Shelf
from mindleak.training.divergence import not_finite_weights
from mindleak.training.recipe import Recipe


@dataclass(frozen=True)
class UnlearningRequest:
    """What one network shall forget.

    Attributes:
        network: trained; maps images to logits (N, classes). Changed in place.
        x: images of the whole training split, float32 (N, C, H, W). Where nobody can write to it, it lies on the device
            once, for this and for whoever else uses the same array (``loop.on_device``).
        y: its labels, int32 (N,).
        forget: numbers of the rows to forget, in any order.
        retained: numbers of the rows that may be used to keep the network good; the rest of ``x`` is never looked at.
        recipe: by which the network was trained: optimiser, batch size, weight decay, and the learning rate of which
            the methods' step sizes are multiples. Its schedule is not followed.
        seed: of the batches and of whatever else is random.
        fresh: makes an untrained network of the same architecture from a seed.
    """

    network: nn.Cell
    x: np.ndarray
    y: np.ndarray
    forget: np.ndarray
    retained: np.ndarray
    recipe: Recipe
    seed: int
    fresh: Callable[[int], nn.Cell]


@dataclass(frozen=True)
class UnlearningResult:
    """A network after unlearning, and what that has cost.

    Attributes:
        network: that of the request, in evaluation mode.
        sample_epochs: samples × passes of which gradients were taken; a retraining's is samples × epochs.
        asked: samples × passes that were only asked for their logits.
        record: what else is worth recording, as JSON values; ``losses`` has the mean loss of every pass, where there
            are passes.
    """

    network: nn.Cell
    sample_epochs: float
    asked: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)


class Unlearning(ABC):
    """A way to make a network forget, with its hyper-parameters.

    Two calls with equal requests on one device give bit-identical weights; networks with Dropout are excepted, as they
    are for trainings. An instance that is asked again about the same network object and the same arrays, whose values
    nobody can write to, goes on with the graphs that it has compiled: whoever unlearns many models of one kind writes
    their weights into one network (``training.in_place``). Not a bit of the result depends on the calls before.

    Args:
        parameters: the hyper-parameters by name, checked.

    Attributes:
        name: of the method.
        source: the paper.
        traps: what is known to mislead whoever uses it.
        grid: hyper-parameters that are worth trying, by name; the first are the defaults.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    traps: ClassVar[str]
    grid: ClassVar[tuple[Mapping[str, Any], ...]]

    def __init__(self, **parameters: Any) -> None:
        self._parameters: Mapping[str, Any] = parameters
        # What it keeps holds network and images, which their ids in the keys rely on.
        self._shelf: Shelf[Any] = Shelf(most=1)

    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters by name, as JSON values, for keys of stages and for records."""
        return dict(self._parameters)

    @classmethod
    def candidates(cls, recipe: Recipe) -> list[Unlearning]:
        """Return the method with every entry of its grid, for a network that was trained by a recipe.

        They share what they compile: a grid's entries differ in numbers alone that no graph depends on.
        """
        found = [cls(**cls._parameters_of(entry, recipe)) for entry in cls.grid]
        for other in found[1:]:
            other._shelf = found[0]._shelf
        return found

    @classmethod
    def _parameters_of(cls, entry: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
        """Return the hyper-parameters that an entry of the grid stands for."""
        return dict(entry)

    @final
    def unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        """Make the request's network forget; it is changed in place and left in evaluation mode.

        Raises:
            InputError: arrays of another shape or type; rows that are none, unknown, named twice or in both sets; a
                network whose weights are not finite, before or after; losses on the way that are not; or what the
                method refuses.
        """
        asked = _checked(request)
        bad = not_finite_weights(request.network)
        if bad is not None:
            raise InputError(f"weights of the network are not finite ({bad}); expected a trained network")
        with device.seeded(request.seed):
            result = self._unlearn(asked)
        request.network.set_train(False)
        self._require_finite(request, result)
        return result

    @abstractmethod
    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        """Return the result for a request that was checked, whose rows are in ascending order."""

    def _require_finite(self, request: UnlearningRequest, result: UnlearningResult) -> None:
        """Refuse weights, and losses on the way to them, that are not finite."""
        bad = not_finite_weights(request.network)
        if bad is not None:
            raise NotFiniteError(f"{self.name} leaves weights that are not finite ({bad}); lower {self._step(request)}")
        for number, loss in enumerate(result.record.get("losses", []), 1):
            if not math.isfinite(loss):
                raise NotFiniteError(f"{self.name} meets losses that are not finite ({loss} in pass {number}); lower "
                                    f"{self._step(request)}")

    @abstractmethod
    def _step(self, request: UnlearningRequest) -> str:
        """Say what a message tells to lower, and what it is now: ``learning_rate (now 0.1)``."""

    def _kept(self, request: UnlearningRequest, make: Callable[[], Any]) -> Any:
        """Return what was compiled for the request's network and images, made now if there is none that still fits."""
        if request.x.flags.writeable:
            return make()
        return self._shelf.get((id(request.network), id(request.x), request.recipe), make)


def _checked(request: UnlearningRequest) -> UnlearningRequest:
    """Return the request with its rows in ascending order, int32.

    Raises:
        InputError: see ``Unlearning.unlearn``.
    """
    x, y = request.x, request.y
    if x.ndim != 4 or x.dtype != np.float32:
        raise InputError(f"x is {x.dtype} of shape {x.shape}; expected float32 (N, channels, height, width)")
    if y.shape != (len(x),) or y.dtype != np.int32:
        raise InputError(f"y is {y.dtype} of shape {y.shape}; expected int32 ({len(x)},)")
    forget, retained = (_rows(name, values, len(x))
                        for name, values in (("forget", request.forget), ("retained", request.retained)))
    both = np.intersect1d(forget, retained)
    if len(both):
        raise InputError(f"row {both[0]} is both forgotten and retained ({len(both):,} such rows); expected disjoint "
                         "sets")
    return replace(request, forget=forget, retained=retained)


def _rows(name: str, values: np.ndarray, samples: int) -> np.ndarray:
    """Return row numbers in ascending order, int32."""
    rows = np.asarray(values)
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
        raise InputError(f"{name} is {rows.dtype} of shape {rows.shape}; expected whole numbers (rows,)")
    if not len(rows):
        raise InputError(f"{name} is empty; expected at least one row")
    unknown = rows[(rows < 0) | (rows >= samples)]
    if len(unknown):
        raise InputError(f"{name} has row {unknown[0]}; expected 0 to {samples - 1}")
    numbers, counts = np.unique(rows, return_counts=True)
    if counts.max() > 1:
        raise InputError(f"{name} has row {numbers[counts.argmax()]} {counts.max()} times; expected every row once")
    return numbers.astype(np.int32)
