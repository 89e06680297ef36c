"""Kernels of our own for CPU, in C++, where MindSpore's operators spend a small network's training time.

LeNet5's convolution blocks and the LSTM layer; MindSpore's operators remain, for every other device, for machines
without a compiler, and as what the kernels are tested against.
"""

from mindleak.models.native.library import Library, attempt, for_device
from mindleak.models.native.operators import conv_block, lstm_last, lstm_layer

__all__ = ["Library", "attempt", "conv_block", "for_device", "lstm_last", "lstm_layer"]
