"""Selective synaptic dampening: weights that matter more for the forgotten rows than for all rows are made smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindleak.training import in_place
from mindleak.training.unlearning.fisher import FisherDiagonal
from mindleak.training.unlearning.parameters import positive
from mindleak.training.unlearning.unlearning import Unlearning, UnlearningRequest, UnlearningResult


class SelectiveSynapticDampening(Unlearning):
    """Dampening without a training step: wᵢ ← min(λ · Dᵢ / Fᵢ, 1) · wᵢ wherever Fᵢ > α · Dᵢ.

    F and D are the diagonals of the Fisher information, means of squared per-sample gradients: F over the forgotten
    rows, D over all rows of the request, forgotten and retained.

    Source: Foster et al., arXiv 2308.07707. Public code squares the mean gradient of a batch, which
    depends on the batch size; here every sample's own gradient is squared, in any network (``fisher``).

    Traps: α is no universal number. D shrinks where the network fits its training set well, so that one α selects
    nothing in one network and most weights in another: look at ``record["dampened"]``, and choose α on a validation
    request. Rows drawn at random have F close to D, and then little is selected at any sensible α.

    Args:
        alpha: α, from how many times the importance on a weight is dampened.
        dampening: λ; the smaller, the closer to 0 are the dampened weights.

    Raises:
        InputError: a hyper-parameter out of its range.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = SelectiveSynapticDampening(alpha=5.0).unlearn(request)  # doctest: +SKIP
        >>> result.record["dampened"]  # doctest: +SKIP
        0.012
    """

    name = "ssd"
    source = "arXiv 2308.07707"
    traps = ("One alpha selects nothing in one network and most weights in another, and for samples drawn at random "
             "both importances are nearly the same.")
    grid = ({"alpha": 10.0}, {"alpha": 5.0}, {"alpha": 2.0}, {"alpha": 1.2})

    def __init__(self, *, alpha: float = 10.0, dampening: float = 1.0) -> None:
        super().__init__(alpha=positive("alpha", alpha), dampening=positive("dampening", dampening))
        self.alpha = alpha
        self.dampening = dampening

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        fisher: FisherDiagonal = self._kept(request, lambda: FisherDiagonal(request.network, request.x))
        forgotten, kept = len(request.forget), len(request.retained)
        own = fisher(request.y, request.forget)
        rest = fisher(request.y, request.retained)
        layers: dict[str, Any] = {}
        count = size = 0
        for parameter, on_forget, on_retained in zip(request.network.trainable_params(), own, rest):
            overall = (on_forget + on_retained) / (forgotten + kept)
            factors = self.factors(on_forget / forgotten, overall)
            in_place.write(parameter, parameter.asnumpy() * factors)
            layers[parameter.name] = float((factors < 1).mean())
            count, size = count + int((factors < 1).sum()), size + factors.size
        return UnlearningResult(request.network, float(forgotten + kept),
                                record={"dampened": count / size, "dampened_by_parameter": layers})

    def factors(self, forgotten: np.ndarray, overall: np.ndarray) -> np.ndarray:
        """Return what every weight is multiplied by, float32, from its importance on forgotten and on all rows."""
        selected = forgotten > self.alpha * overall
        shares = np.divide(self.dampening * overall, forgotten, out=np.ones_like(forgotten), where=selected)
        return np.minimum(shares, 1.0).astype(np.float32)

    def _step(self, request: UnlearningRequest) -> str:
        return f"dampening (now {self.dampening:g}) or raise alpha (now {self.alpha:g})"
