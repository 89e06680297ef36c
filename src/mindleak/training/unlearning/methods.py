"""The ways to unlearn, by their names: the only list of them."""

from __future__ import annotations

from collections.abc import Mapping

from mindleak.training.unlearning.bad_teacher import BadTeacher
from mindleak.training.unlearning.fine_tune import FineTune
from mindleak.training.unlearning.gradient_ascent import GradientAscent
from mindleak.training.unlearning.random_labels import RandomLabels
from mindleak.training.unlearning.scrub import Scrub
from mindleak.training.unlearning.sparse_fine_tune import SparseFineTune
from mindleak.training.unlearning.ssd import SelectiveSynapticDampening
from mindleak.training.unlearning.suppress_fine_tune import SuppressFineTune
from mindleak.training.unlearning.unlearning import Unlearning

_ALL: tuple[type[Unlearning], ...] = (FineTune, GradientAscent, RandomLabels, BadTeacher, SelectiveSynapticDampening,
                                      Scrub, SparseFineTune, SuppressFineTune)
METHODS: Mapping[str, type[Unlearning]] = {method.name: method for method in _ALL}
