"""Kernels of our own for CPU, in C++, where MindSpore's operators spend a small network's training time.

LeNet5's convolution blocks and the recurrent layers; MindSpore's operators remain, for every other device, for machines
without a compiler, and as what the kernels are tested against.
"""

from mindleak.kernels.library import Library, attempt, for_device
from mindleak.kernels.operators import conv_block, recurrent_last, recurrent_layer

__all__ = ["Library", "attempt", "conv_block", "for_device", "recurrent_last", "recurrent_layer"]
