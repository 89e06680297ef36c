"""Fine-tuning: the network is trained on with the retained rows alone, and what it knew of the others fades."""

from __future__ import annotations

from typing import Optional

from mindleak.training.unlearning.passes import LEARN
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult


class FineTune(Stepwise):
    """Fine-tuning on the retained rows: w ← w − η ∇ mean cross-entropy(retained), by the recipe's optimiser.

    Source: a baseline of Golatkar et al., arXiv 1911.04933, and of the papers since.

    Traps: nothing pushes the forgotten rows out. With the recipe's step size accuracy on them hardly falls, and a
    strong attack goes on telling them apart; a low mean loss on the retained rows says nothing about that.

    Args:
        passes: over the retained rows.
        learning_rate: η; None is the recipe's.

    Raises:
        InputError: a hyper-parameter out of its range.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = FineTune(passes=3).unlearn(request)  # doctest: +SKIP
        >>> result.sample_epochs == 3 * len(request.retained)  # doctest: +SKIP
        True
    """

    name = "fine_tune"
    source = "arXiv 1911.04933 (fine-tuning)"
    traps = "Nothing pushes the forgotten samples out, so attacks keep finding them while every accuracy looks right."
    grid = ({"passes": 5}, {"passes": 5, "rate": 3.0}, {"passes": 10})

    def __init__(self, *, passes: int = 5, learning_rate: Optional[float] = None) -> None:
        super().__init__(passes, learning_rate)

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        losses = self._repeat(self._begin(request), LEARN, request, request.retained, request.y)
        return UnlearningResult(request.network, float(self.passes * len(request.retained)),
                                record={"losses": losses})
