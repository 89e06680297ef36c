"""Suppress-privacy training: the smallest weights of chosen layers are set to zero for good as training goes on.

The method is MindArmour's ``sup_privacy`` (docs/methods.md). Two engines run it: ``graph``, the compiled loop with the
masks on the device, and ``mindarmour``, MindArmour's own classes, which are the reference.
"""

from mindleak.training.suppress.checks import check_suppress
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers
from mindleak.training.suppress.sparsity import ZERO, sparsity

__all__ = ["ZERO", "MaskLayer", "SuppressSettings", "SuppressTraining", "check_suppress", "mask_layers",
           "sparsity"]
