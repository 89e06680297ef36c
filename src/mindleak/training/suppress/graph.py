"""Suppress training in the compiled loop: masks and de-weight terms lie on the device, updated between its calls.

Plain SGD without weight decay takes MindArmour's step, w − lr·(mask·gradient + term), and ends with MindArmour's
weights. Any other optimiser would carry the term on in its state, and decay would disturb the cancelling; there an
update writes the weights themselves, and sets the optimiser's state of dead weights to zero. From then on such a weight
has gradient 0, state 0 and decay 0, so every optimiser that moves a weight by its own gradient and state alone (all
that a recipe can name) leaves it at exactly 0, at any learning rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from tqdm import tqdm

from mindleak.training import in_place
from mindleak.training.loop import LoopTotals, make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest, TrainingResult
from mindleak.training.suppress import mindarmour
from mindleak.training.suppress.checks import check_suppress, shortfalls
from mindleak.training.suppress.masks import LayerUpdate, NoiseStream, Schedule, update_masks
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers
from mindleak.training.suppress.sparsity import sparsity
from mindleak.training.trainer import STEPS_PER_CALL, Training
from mindleak.training.wrapped_optimizer import WrappedOptimizer

# Per optimiser, the prefixes of the state that it keeps of every weight, before the weight's name.
_STATE = {"sgd": (), "momentum": ("moments",), "nesterov": ("accum",), "adam": ("moment1", "moment2")}


class MaskedOptimizer(WrappedOptimizer):
    """An optimiser that sees gradients through masks.

    Its own parameters, beside those of ``optimizer``, are per layer a mask (1 alive, 0 dead), the term to be added to
    the masked gradient of the next step (0 again after it), and how many noise numbers have been drawn.
    """

    def __init__(self, optimizer: nn.Optimizer, recipe: Recipe, layers: Sequence[MaskLayer]) -> None:
        super().__init__(optimizer)
        self.by_term = recipe.optimizer == "sgd" and recipe.weight_decay == 0
        names = [layer.name for layer in layers]
        self.weights = {parameter.name: parameter for parameter in optimizer.parameters if parameter.name in names}
        self.places = tuple(names.index(parameter.name) if parameter.name in names else -1
                            for parameter in optimizer.parameters)
        self.masks = ParameterTuple([_beside(self.weights[name], "mask", 1) for name in names])
        terms = names if self.by_term else []
        self.terms = ParameterTuple([_beside(self.weights[name], "term", 0) for name in terms])
        self.drawn = Parameter(Tensor(0, ms.int64), name="drawn", requires_grad=False)
        self._index = {name: index for index, name in enumerate(names)}
        self._states = {name: _states(optimizer, recipe, name) for name in names}

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Mask the gradients, add the terms, use the latter up, and take the optimiser's step."""
        masked = [self._masked(gradients[index], self.places[index]) for index in range(len(self.places))]
        done = self.optimizer(tuple(masked))
        for term in self.terms:
            done = ops.depend(done, ops.assign(term, ops.zeros_like(term)))
        return done

    def _masked(self, gradient: Tensor, place: int) -> Tensor:
        """Return a parameter's gradient as the optimiser sees it; ``place`` −1 means that it is not masked."""
        if place < 0:
            return gradient
        gradient = gradient * self.masks[place]
        return gradient + self.terms[place] if self.by_term else gradient

    def dead(self) -> dict[str, np.ndarray]:
        """Return which weights are masked, bool by layer."""
        return {name: self.masks[index].asnumpy() <= 0 for name, index in self._index.items()}

    def apply(self, name: str, update: LayerUpdate, learning_rate: float) -> None:
        """Take over the update of a layer; ``learning_rate`` is that of the step to come, before it is rounded."""
        alive = (~update.dead).astype(np.float32)
        in_place.write(self.masks[self._index[name]], alive)
        if self.by_term:
            in_place.write(self.terms[self._index[name]], update.term(learning_rate))
            return
        weight = self.weights[name]
        in_place.write(weight, (weight.asnumpy() - update.removal).astype(np.float32))
        for state in self._states[name]:
            in_place.write(state, state.asnumpy() * alive)


class SuppressTraining(Training):
    """A training whose epochs are cut at the mask updates, or with the other engine, one by MindArmour's classes.

    With the graph engine, two trainings with equal requests on one device give bit-identical weights, and so does one
    that was interrupted and resumed. MindArmour's masks are in no checkpoint: with its engine, an interrupted training
    starts again from its beginning. ``record`` says how many weights are zero. The best checkpoint is kept once the
    network is suppressed as asked for.
    """

    section = "suppress"
    settings_type = SuppressSettings
    kind = "suppress training"
    shares_graphs = False

    @classmethod
    def train(cls, request: TrainingRequest) -> TrainingResult:
        """Train a network, after saying what keeps it from ``sparse_end``.

        Raises:
            InputError: see ``check_suppress`` and ``Training.train``; or MindArmour's layer matching went astray.
        """
        network, recipe, settings, samples = (request.network, request.recipe, request.settings,
                                              request.data.samples)
        layers = check_suppress(network, recipe, settings, samples)
        for note in shortfalls(network, layers, recipe, settings, samples):
            request.printer.note(note)
        if settings.engine == "graph":
            return cls(request).run()
        result, updates = mindarmour.train(request, layers, cls.fingerprint(request))
        return replace(result, record=_counted(network, layers, settings, updates))

    @classmethod
    def check(cls, network: nn.Cell, shape: tuple[int, ...], recipe: Recipe, settings: SuppressSettings,
              samples: int) -> None:
        """Refuse what ``check_suppress`` refuses."""
        check_suppress(network, recipe, settings, samples)

    @classmethod
    def resized(cls, settings: SuppressSettings, given: Mapping[str, Any], samples: int,
                reference: int) -> SuppressSettings:
        """Return the settings with as many mask updates per sample, unless their number was given for this size."""
        return settings if "mask_times" in given else settings.scaled(samples, reference)

    @classmethod
    def resumes(cls, settings: SuppressSettings) -> bool:
        """Return False for MindArmour's masks, which are in no checkpoint; the compiled engine's are."""
        return settings.engine != "mindarmour"

    @classmethod
    def divides(cls, settings: SuppressSettings) -> bool:
        """Return True for the compiled engine, whose masks follow from weights that all processes share."""
        return settings.engine != "mindarmour"

    def __init__(self, request: TrainingRequest) -> None:
        network, recipe, settings = request.network, request.recipe, request.settings
        order = [parameter.name for parameter in network.get_parameters()]
        self._asked = mask_layers(network, settings.layers)
        self._layers = sorted(self._asked, key=lambda layer: order.index(layer.name))
        self._first = order[0]
        self._masked = MaskedOptimizer(make_optimizer(network, recipe), recipe, self._layers)
        super().__init__(request, self._masked)
        self.schedule = Schedule(settings, recipe.epochs, self.steps)
        self._noise: NoiseStream | None = None
        self._updates = frozenset(self.schedule.updates)

    def take_steps(self, epoch: int, order: Tensor) -> LoopTotals:
        """Take all steps of an epoch, updating the masks before the step that follows an update's.

        MindArmour updates after a step; nothing happens in between, but a checkpoint then needs no pending terms.
        """
        totals = LoopTotals()
        before = (epoch - 1) * self.steps
        with tqdm(total=self.steps, leave=False, disable=not self.request.printer.wants_steps(), unit=" steps") as bar:
            for start, stop in self._pieces(before):
                if before + start in self._updates:
                    self._update(before + start)
                self.loop.run(order, start, stop, totals)
                bar.update(stop - start)
        return totals

    def is_best(self, epoch: int) -> bool:
        """Only the last epoch can be the best: the ones before are of a network less suppressed than asked for."""
        return epoch == self.recipe.epochs

    def record(self) -> dict[str, Any]:
        """Return the zeros by layer."""
        return _counted(self._network, self._asked, self.request.settings, len(self.schedule.updates))

    def _pieces(self, before: int) -> Iterator[tuple[int, int]]:
        """Yield the steps of an epoch in pieces that begin at a mask update or are as long as one call may be."""
        start = 0
        for stop in range(1, self.steps + 1):
            if stop == self.steps or before + stop in self._updates or stop - start == STEPS_PER_CALL:
                yield start, stop
                start = stop

    def _update(self, step: int) -> None:
        """Update the masks from the weights as they are after ``step``."""
        masked = self._masked
        if self._noise is None:
            self._noise = NoiseStream(self.request.seed, int(masked.drawn.asnumpy()))
        weights = {name: weight.asnumpy() for name, weight in masked.weights.items()}
        changed = update_masks(self._layers, self._first, weights, masked.dead(), self.schedule.sparsity(step),
                               self._noise)
        for name, update in changed.items():
            masked.apply(name, update, self.rate)
        in_place.write(masked.drawn, np.array(self._noise.drawn))


def _counted(network: nn.Cell, layers: list[MaskLayer], settings: SuppressSettings, updates: int) -> dict[str, Any]:
    """Return the zeros by layer and the number of mask updates, under the name that records have for them."""
    return {"sparsity": {**sparsity(network, layers, settings.sparse_end), "mask_updates": updates}}


def _beside(weight: Parameter, prefix: str, value: float) -> Parameter:
    """Return a parameter of a weight's shape, filled with ``value``, that nothing trains."""
    return Parameter(Tensor(np.full(weight.shape, value, np.float32)), name=f"{prefix}.{weight.name}",
                     requires_grad=False)


def _states(optimizer: nn.Optimizer, recipe: Recipe, name: str) -> list[Parameter]:
    """Return the optimiser's state of one weight."""
    wanted = {f"{prefix}.{name}" for prefix in _STATE[recipe.optimizer]}
    return [parameter for parameter in optimizer.get_parameters() if parameter.name in wanted]
