"""SCRUB: steps away from the original network on the forgotten rows, and back to it on the retained ones."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mindleak.errors import InputError
from mindleak.training.unlearning.parameters import not_negative, whole
from mindleak.training.unlearning.passes import Objective, log_probabilities
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult

LEAVE = Objective(divergence=-1.0)


class Scrub(Stepwise):
    """Every pass is one over the retained rows, and the first ``max_passes`` have one over the forgotten before it.

    With d(x) = KL(original ‖ network), the original being the network as it was:

    - max-steps on the forgotten rows: w ← w + η ∇ mean d;
    - min-steps on the retained ones: w ← w − η ∇ (α · mean d + γ · mean cross-entropy).

    The original is asked once, before the first step; both kinds of step share one optimiser, the recipe's.

    Source: Kurmanji et al., arXiv 2302.09880 (temperature 1, no rewinding).

    Traps: max-steps have no upper end. Too many leave the forgotten rows with a loss that no unseen row has, which an
    attack sees; the paper's rewinding (SCRUB+R) picks a checkpoint for that and is not done here. Too few do nothing,
    without a word: the very first one starts from the original, where its gradient is zero, and a small forget set has
    few steps in a pass (``record["divergences"]`` shows it). Adam makes a whole step of that zero's rounding error, so
    that with it the result differs between devices, and between kernels and operators, by far more than rounding. The
    last passes have to be min-steps alone, or the network is left damaged.

    Args:
        passes: over the retained rows.
        max_passes: of these that begin with one over the forgotten rows.
        learning_rate: η; None is the recipe's.
        alpha: α, the weight of staying like the original.
        gamma: γ, the weight of the labels.

    Raises:
        InputError: a hyper-parameter out of its range, more ``max_passes`` than ``passes``, or α and γ both 0.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = Scrub(passes=12, max_passes=10).unlearn(request)  # doctest: +SKIP
    """

    name = "scrub"
    source = "arXiv 2302.09880"
    traps = ("Too few max-steps do nothing, the first having a gradient of zero, and too many leave the forgotten "
             "samples with a loss that no unseen one has; without the paper's rewinding nothing looks for the right "
             "moment.")
    grid = ({"rate": 1.0}, {"rate": 0.3}, {"rate": 0.1})

    def __init__(self, *, passes: int = 10, max_passes: int = 8, learning_rate: Optional[float] = None,
                 alpha: float = 0.5, gamma: float = 1.0) -> None:
        super().__init__(passes, learning_rate, max_passes=whole("max_passes", max_passes, 1),
                         alpha=not_negative("alpha", alpha), gamma=not_negative("gamma", gamma))
        if max_passes > passes:
            raise InputError(f"max_passes is {max_passes}; expected at most passes ({passes})")
        if alpha == gamma == 0:
            raise InputError("alpha and gamma are 0; expected one of them above 0")
        self.max_passes = max_passes
        self.stay = Objective(cross_entropy=float(gamma), divergence=float(alpha))

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        network, forget, retained = request.network, request.forget, request.retained
        passes = self._begin(request)
        original = log_probabilities(passes.predict, request.x, np.union1d(forget, retained))
        left, losses = [], []
        for number in range(1, self.passes + 1):
            if number <= self.max_passes:
                left.append(-passes.run(LEAVE, forget, (request.seed, number), request.y, original).loss)
            losses.append(passes.run(self.stay, retained, (request.seed, number), request.y, original).loss)
        return UnlearningResult(network, float(self.max_passes * len(forget) + self.passes * len(retained)),
                                float(len(forget) + len(retained)), {"losses": losses, "divergences": left})
