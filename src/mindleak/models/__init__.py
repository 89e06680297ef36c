"""Networks: Cells only."""

from mindleak.models.base import LOGITS, Classifier, count_parameters
from mindleak.models.fcnet import FCNet
from mindleak.models.lenet5 import LeNet5, LeNet5Bias
from mindleak.models.recurrent import Recurrent
from mindleak.models.registry import CLASSIFIERS, build

__all__ = ["CLASSIFIERS", "LOGITS", "Classifier", "FCNet", "LeNet5", "LeNet5Bias", "Recurrent", "build",
           "count_parameters"]
