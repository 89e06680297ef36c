"""Bad teacher: the network imitates an untrained one on the forgotten rows and itself, as it was, on retained ones."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mindleak.errors import InputError
from mindleak.training.loop import Predictor
from mindleak.training.unlearning.parameters import fraction
from mindleak.training.unlearning.passes import Objective, log_probabilities
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult

IMITATE = Objective(divergence=1.0)
# Keeps the choice of retained rows apart from what else is drawn by the same seed.
_STREAM = int.from_bytes(b"teacher", "big")


class BadTeacher(Stepwise):
    """Two teachers: mean over rows of KL(untrained ‖ network) on forgotten and KL(original ‖ network) on retained ones.

    Neither teacher changes, so both are asked once, before the first step: their answers are a table on the device.
    Only some of the retained rows are used, chosen by the seed.

    Source: Chundawat et al., arXiv 2205.08096 (temperature 1).

    Traps: an untrained network answers almost uniformly, which no network that was trained without the forgotten rows
    does: they become *too* unknown, and the paper's own measure, closeness to the untrained teacher, rewards that.

    Args:
        passes: over the forgotten rows and the chosen retained ones together.
        learning_rate: step size; None is a tenth of the recipe's.
        retained_fraction: of the retained rows that are used (the paper: 0.3).

    Raises:
        InputError: a hyper-parameter out of its range, or a ``fresh`` that returns the network itself.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = BadTeacher(passes=2).unlearn(request)  # doctest: +SKIP
    """

    name = "bad_teacher"
    source = "arXiv 2205.08096"
    traps = ("An untrained teacher answers almost uniformly, which no retrained network does, so the forgotten samples "
             "may stand out by being too unknown.")
    factor = 0.1
    grid = ({"rate": 0.1}, {"rate": 0.03}, {"rate": 0.3})

    def __init__(self, *, passes: int = 3, learning_rate: Optional[float] = None,
                 retained_fraction: float = 0.3) -> None:
        super().__init__(passes, learning_rate,
                         retained_fraction=fraction("retained_fraction", retained_fraction, whole_too=True))
        self.retained_fraction = retained_fraction

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        retained = chosen(request.retained, self.retained_fraction, request.seed)
        rows = np.union1d(request.forget, retained)
        passes = self._begin(request)
        answers = _untrained(request) + log_probabilities(passes.predict, request.x, retained)
        losses = self._repeat(passes, IMITATE, request, rows, request.y, answers)
        return UnlearningResult(request.network, float(self.passes * len(rows)), float(len(rows)),
                                {"losses": losses, "retained_used": len(retained)})


def chosen(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return a fraction of rows (n,), one at least, in ascending order."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM])))
    return np.sort(generator.choice(rows, max(1, round(share * len(rows))), replace=False))


def _untrained(request: UnlearningRequest) -> np.ndarray:
    """Return the untrained teacher's log-probabilities of the forgotten rows, (N, classes), 0 elsewhere.

    Raises:
        InputError: the teacher is the network itself.
    """
    untrained = request.fresh(request.seed)
    if untrained is request.network:
        raise InputError("fresh returns the network itself; expected a new, untrained one")
    return log_probabilities(Predictor(untrained), request.x, request.forget)
