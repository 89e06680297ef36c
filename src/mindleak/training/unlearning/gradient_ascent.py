"""Gradient ascent: steps that make the loss on the forgotten rows larger, up to a bound."""

from __future__ import annotations

from typing import Optional

from mindleak.training.unlearning.parameters import positive
from mindleak.training.unlearning.passes import Objective
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult

ASCENT = Objective(cross_entropy=-1.0, bounded=True)


class GradientAscent(Stepwise):
    """Gradient ascent on the forgotten rows: w ← w + η ∇ mean cross-entropy(forget), by the recipe's optimiser.

    Cross-entropy has no upper end, and a few steps too many destroy the network. So there is no step from a batch whose
    mean loss is above ``loss_bound``, nor any after it.

    Source: Graves et al., arXiv 2010.10981, and Golatkar et al., arXiv 1911.04933 ("negative gradient").

    Traps: whatever resembles the forgotten rows is forgotten too, and with a bound above the loss of unseen rows the
    forgotten ones stand out by being known too badly. A small set takes few steps in a pass. Weight decay, where the
    recipe has any, goes on shrinking the weights.

    Args:
        passes: over the forgotten rows, at most.
        learning_rate: η; None is a tenth of the recipe's.
        loss_bound: of a batch's mean cross-entropy, in nats; guessing among ten classes has 2.3.

    Raises:
        InputError: a hyper-parameter out of its range.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = GradientAscent(passes=10, loss_bound=2.0).unlearn(request)  # doctest: +SKIP
        >>> result.record["stopped"]  # doctest: +SKIP
        True
    """

    name = "gradient_ascent"
    source = "arXiv 2010.10981; arXiv 1911.04933 (negative gradient)"
    traps = ("It also forgets whatever resembles the forgotten samples, and past the loss of unseen ones these stand "
             "out by being known too badly.")
    factor = 0.1
    grid = ({"rate": 0.1}, {"rate": 0.03}, {"rate": 0.3}, {"rate": 1.0})

    def __init__(self, *, passes: int = 5, learning_rate: Optional[float] = None, loss_bound: float = 5.0) -> None:
        super().__init__(passes, learning_rate, loss_bound=positive("loss_bound", loss_bound))
        self.loss_bound = loss_bound

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        passes = self._begin(request)
        wanted = passes.steps(len(request.forget))
        losses, steps = [], 0
        for number in range(1, self.passes + 1):
            seen = passes.run(ASCENT, request.forget, (request.seed, number), request.y, bound=self.loss_bound)
            steps += seen.steps
            if seen.steps:
                losses.append(-seen.loss)
            if seen.steps < wanted:
                break
        record = {"losses": losses, "steps": steps, "stopped": steps < self.passes * wanted}
        return UnlearningResult(request.network, len(request.forget) * steps / wanted, record=record)
