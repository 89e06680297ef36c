"""The ways to train, by the value of ``training.method`` that asks for each: the only list of them."""

from __future__ import annotations

from mindleak.training.dp import PrivateTraining
from mindleak.training.pruning import PruneTraining
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.trainer import Training

METHODS: dict[str, type[Training]] = {
    "ordinary": Training, "suppress": SuppressTraining, "dp_sgd": PrivateTraining, "prune": PruneTraining}
SECTIONS = tuple(method.section for method in METHODS.values() if method.section is not None)
