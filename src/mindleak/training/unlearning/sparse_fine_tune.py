"""Pruning, then fine-tuning on the retained rows: a sparse network has less room for single samples."""

from __future__ import annotations

from typing import Any, Optional

from mindspore import nn

from mindleak.training.loop import make_optimizer
from mindleak.training.pruning import HeldZeros, prune_layers
from mindleak.training.recipe import Recipe
from mindleak.training.suppress.sparsity import sparsity as counted
from mindleak.training.unlearning.parameters import fraction
from mindleak.training.unlearning.passes import LEARN
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult


class SparseFineTune(Stepwise):
    """The smallest weights of every layer become zero and stay so while the rest learns the retained rows.

    m = 0 for the ``sparsity`` smallest |w| of a layer, else 1; w ← m · w; then w ← m · (w − η ∇ mean cross-entropy).
    Layers and the floors on how many weights they keep are those of ``training.pruning``.

    Source: Jia et al., arXiv 2304.04934, section 4 ("prune first, then unlearn"), with one-shot magnitude pruning and
    fine-tuning.

    Traps: what is compared must be as sparse: a pruned network against a dense retrained one differs by the pruning.
    And a fine-tuned dense network that is worse may simply have had fewer zeros to relearn from.

    Args:
        sparsity: fraction of every pruned layer that becomes zero.
        passes: over the retained rows, after the pruning.
        learning_rate: η; None is the recipe's.
        layers: ``"auto"``, or a list of parameter names, as in ``prune.layers``.

    Raises:
        InputError: a hyper-parameter out of its range, or layers that the network does not have.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = SparseFineTune(sparsity=0.9).unlearn(request)  # doctest: +SKIP
        >>> result.record["sparsity"]["overall"]  # doctest: +SKIP
        0.9
    """

    name = "sparse_fine_tune"
    source = "arXiv 2304.04934"
    traps = "A sparse network has to be compared with one retrained as sparse, or the pruning is taken for forgetting."
    grid = ({"sparsity": 0.9}, {"sparsity": 0.7}, {"sparsity": 0.5})

    def __init__(self, *, sparsity: float = 0.9, passes: int = 5, learning_rate: Optional[float] = None,
                 layers: Any = "auto") -> None:
        super().__init__(passes, learning_rate, sparsity=fraction("sparsity", sparsity), layers=layers)
        self.sparsity = sparsity
        self.layers = layers

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        network = request.network
        layers = prune_layers(network, self.layers)
        passes = self._begin(request)
        held: Any = passes.optimizer
        held.prune(layers, self.sparsity)
        losses = self._repeat(passes, LEARN, request, request.retained, request.y)
        return UnlearningResult(network, float(self.passes * len(request.retained)),
                                record={"losses": losses, "sparsity": counted(network, layers, self.sparsity)})

    def _optimizer(self, network: nn.Cell, recipe: Recipe) -> nn.Cell:
        """Return the recipe's optimiser, which holds the zeros of the pruned layers."""
        return HeldZeros(make_optimizer(network, recipe), [layer.name for layer in prune_layers(network, self.layers)])
