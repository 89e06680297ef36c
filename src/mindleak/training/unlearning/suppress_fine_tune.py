"""Suppression on the retained rows, then fine-tuning on them: weights go one by one while the network learns on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import numpy as np
from mindspore import nn

from mindleak.training import in_place
from mindleak.training.loop import make_optimizer
from mindleak.training.pruning import HeldZeros
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.suppress.settings import SuppressSettings, mask_layers
from mindleak.training.suppress.sparsity import ZERO
from mindleak.training.suppress.sparsity import sparsity as counted
from mindleak.training.unlearning.parameters import fraction, whole
from mindleak.training.unlearning.passes import LEARN
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult


class SuppressFineTune(Stepwise):
    """Suppress training on the retained rows, from the trained weights on, and passes over them with the zeros held.

    Over ``suppress_passes`` the smallest weights of every layer are set to zero, a few more at each update, up to
    ``sparsity`` (``training.suppress``, its compiled engine); then w ← m · (w − η ∇ mean cross-entropy), with m = 0 for
    what is zero. A pass of the suppression has whole batches only, and may leave out a few rows each time.

    Source: MindArmour's suppress privacy (``mindarmour.privacy.sup_privacy``), used here after training, as Jia et
    al., arXiv 2304.04934, use pruning.

    Traps: as of ``sparse_fine_tune``: what it is compared with must be as sparse. Suppression was made against the
    inversion of images; nothing in it knows the forgotten rows.

    Args:
        sparsity: fraction of every suppressed layer that becomes zero, as far as its floor allows.
        suppress_passes: over the retained rows while weights are suppressed.
        updates: of the masks in these; at most one a step.
        passes: over the retained rows, afterwards.
        learning_rate: η, of both parts; None is the recipe's.
        layers: ``"auto"``, or a list as in ``suppress.layers``.

    Raises:
        InputError: a hyper-parameter out of its range; layers that the network does not have, or a suppression that
            does not get as far as ``sparsity``, by the names of its own settings; fewer retained rows than a batch.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = SuppressFineTune(sparsity=0.9).unlearn(request)  # doctest: +SKIP
        >>> result.record["sparsity"]["overall"]  # doctest: +SKIP
        0.9
    """

    name = "suppress_fine_tune"
    source = "MindArmour's mindarmour.privacy.sup_privacy, after training as in arXiv 2304.04934"
    traps = ("A sparse network has to be compared with one retrained as sparse, and nothing in suppression knows the "
             "forgotten samples.")
    grid = ({"sparsity": 0.9}, {"sparsity": 0.7}, {"sparsity": 0.5})

    def __init__(self, *, sparsity: float = 0.9, suppress_passes: int = 3, updates: int = 100, passes: int = 2,
                 learning_rate: Optional[float] = None, layers: Any = "auto") -> None:
        super().__init__(passes, learning_rate, sparsity=fraction("sparsity", sparsity),
                         suppress_passes=whole("suppress_passes", suppress_passes, 1),
                         updates=whole("updates", updates, 1), layers=layers)
        self.sparsity = sparsity
        self.suppress_passes = suppress_passes
        self.updates = updates
        self.layers = layers

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        network, retained = request.network, request.retained
        layers = mask_layers(network, self.layers)
        seen = self._suppress(request)
        passes = self._begin(request)
        held: Any = passes.optimizer
        for weight, mask in zip(held.held, held.masks):
            in_place.write(mask, np.abs(weight.asnumpy()) > ZERO)
        losses = self._repeat(passes, LEARN, request, retained, request.y)
        return UnlearningResult(network, float(seen + self.passes * len(retained)),
                                record={"losses": losses, "sparsity": counted(network, layers, self.sparsity)})

    def _suppress(self, request: UnlearningRequest) -> int:
        """Suppress weights while the retained rows are learnt; return how many samples were looked at."""
        recipe = replace(request.recipe, method="suppress", schedule="constant", epochs=self.suppress_passes,
                         learning_rate=self._rate(request.recipe))
        steps = recipe.steps_per_epoch(len(request.retained)) * self.suppress_passes
        settings = SuppressSettings(sparse_end=self.sparsity, start_epoch=1, mask_times=min(self.updates, steps),
                                    layers=self.layers)
        # A training is watched on some rows; nothing is chosen by what they show.
        watched = request.retained[:recipe.batch_size]
        data = TrainingData(request.x, request.y, request.x[watched], request.y[watched], "", request.retained)
        SuppressTraining.train(TrainingRequest(request.network, data, recipe, request.seed, settings))
        return steps * recipe.batch_size

    def _optimizer(self, network: nn.Cell, recipe: Recipe) -> nn.Cell:
        """Return the recipe's optimiser, which holds the zeros of the suppressed layers."""
        return HeldZeros(make_optimizer(network, recipe), [layer.name for layer in mask_layers(network, self.layers)])
