"""How many weights a suppress training has set to zero, measured on the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn

from mindleak.training.suppress.settings import MaskLayer

# A weight this small counts as zero: MindArmour's own ``base_ground_thd``. The de-weight step cancels a
# weight as w − lr·(w/lr), which float32 leaves a rounding error away from zero.
ZERO = 1e-7


def sparsity(network: nn.Cell, layers: Sequence[MaskLayer], target: float) -> dict[str, Any]:
    """Measure how many weights of the masked layers are zero (|w| ≤ 1e-7) on the network as it is.

    Returns:
        ``target``, ``overall`` (fraction of all masked weights), ``masked_total``, and per layer name, size,
        zeros, fraction, target, ``reachable`` (the target, or less where ``min_num`` sets a floor), min_num.
    """
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    rows = [_layer_row(layer, weights[layer.name], target) for layer in layers]
    total = sum(row["size"] for row in rows)
    return {"target": target, "overall": sum(row["zeros"] for row in rows) / total, "masked_total": total,
            "layers": rows}


def _layer_row(layer: MaskLayer, weights: np.ndarray, target: float) -> dict[str, Any]:
    """Measure one layer."""
    zeros = int((np.abs(weights) <= ZERO).sum())
    return {"name": layer.name, "size": int(weights.size), "zeros": zeros, "fraction": zeros / weights.size,
            "target": target, "reachable": layer.reachable(target, weights.size), "min_num": layer.min_num}
