"""Targets: what an attack may ask of a trained classifier, be it a MindSpore network or a scikit-learn estimator.

Importing this loads no MindSpore: attacks on answers alone do without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mindleak.attacks.checks import require_finite, require_images
from mindleak.errors import InputError

if TYPE_CHECKING:
    from mindspore import nn

LOGITS, LAYERS, GRADIENTS = "logits", "layers", "gradients"
OFFERS = (LOGITS, LAYERS, GRADIENTS)
# Probabilities below this are raised to it, as scikit-learn's ``log_loss`` does: ln 0 has no place in a mean.
SMALLEST = float(np.finfo(np.float64).eps)


class Target(ABC):
    """A classifier as an attack sees it. Public calls check what goes in and comes out; subclasses answer.

    Attributes:
        name: what messages call it.
        offers: of ``OFFERS``.
        image_shape: (C, H, W) of the images that it takes; None where nobody knows.
    """

    name: str
    offers: frozenset[str]
    image_shape: tuple[int, ...] | None = None

    @final
    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits (N, classes) for images (N, C, H, W) in [0, 1].

        Raises:
            InputError: the target offers none, images of another shape or range, or answers that are no finite numbers
                (N, classes).
        """
        require(self, {LOGITS})
        require_images("images", images, self.name, self.image_shape)
        answers = self._logits(images)
        if answers.ndim != 2 or len(answers) != len(images) or answers.shape[1] < 2:
            raise InputError(f"logits of {self.name} have shape {answers.shape}; expected ({len(images)}, classes)")
        require_finite(f"logits of {self.name}", answers)
        return answers

    @final
    def layer(self, name: str, images: np.ndarray) -> np.ndarray:
        """Return the outputs (N, …) of a named layer for images (N, C, H, W) in [0, 1].

        Raises:
            InputError: the target offers no layers or not this one, or as ``logits``.
        """
        require(self, {LAYERS})
        require_images("images", images, self.name, self.image_shape)
        outputs = self._layer(name, images)
        require_finite(f"outputs of layer '{name}' of {self.name}", outputs)
        return outputs

    @final
    def differentiable(self, layer: str) -> nn.Cell:
        """Return the Cell from images to the output of ``layer``, through which an attack takes gradients.

        A Cell and no values: an attack compiles its whole loop around it.

        Raises:
            InputError: the target offers no gradients, or has no such layer.
        """
        require(self, {GRADIENTS})
        return self._differentiable(layer)

    @abstractmethod
    def _logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits for images of the right shape."""

    def _layer(self, name: str, images: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} offers {LAYERS} and has no _layer")

    def _differentiable(self, layer: str) -> nn.Cell:
        raise NotImplementedError(f"{type(self).__name__} offers {GRADIENTS} and has no _differentiable")


def require(target: Target, needs: Iterable[str]) -> None:
    """Refuse a target that lacks something an attack needs.

    Raises:
        InputError: as said; the message names what there is and what else is expected.
    """
    wanted = set(needs)
    missing = [what for what in OFFERS if what in wanted - target.offers]
    if missing:
        offered = [what for what in OFFERS if what in target.offers]
        raise InputError(f"{target.name} offers {' and '.join(offered) or 'nothing'}; expected "
                         f"{'also ' if offered else ''}{' and '.join(missing)}")


class NetworkTarget(Target):
    """A MindSpore network, in evaluation mode whenever it is asked.

    Its layers are those that ``mindleak.attacks.inversion.layers.layer_names`` lists; any network has 'logits'.

    Args:
        network: maps images (N, C, H, W) to logits (N, classes).

    Example:
        >>> import numpy as np
        >>> from mindspore import nn
        >>> from mindleak import device
        >>> _ = device.configure("CPU")
        >>> NetworkTarget(nn.Flatten()).logits(np.full((1, 1, 1, 2), 0.5, np.float32))
        array([[0.5, 0.5]], dtype=float32)
    """

    offers = frozenset(OFFERS)

    def __init__(self, network: nn.Cell) -> None:
        shape = getattr(network, "input_shape", None)
        self.network = network
        self.name = type(network).__name__
        self.image_shape = None if shape is None else tuple(shape)
        self._predictors: dict[str, Any] = {}

    def _logits(self, images: np.ndarray) -> np.ndarray:
        return self._layer(LOGITS, images)

    def _layer(self, name: str, images: np.ndarray) -> np.ndarray:
        # Imported here: it loads MindSpore, which an attack on an estimator does without.
        from mindleak.training.loop import Predictor

        if name not in self._predictors:
            self._predictors[name] = Predictor(self.network if name == LOGITS else self._differentiable(name))
        outputs: np.ndarray = self._predictors[name](images)
        return outputs

    def _differentiable(self, layer: str) -> nn.Cell:
        from mindleak.attacks.inversion.layers import features_cell

        return features_cell(self.network, layer)


class EstimatorTarget(Target):
    """A fitted scikit-learn classifier that gives probabilities; it sees images as flat rows of pixels.

    Logits are ln p, with p raised to ``SMALLEST`` where it lies below. A decision tree answers 0 and 1: φ is then
    finite, as large for every sure answer, and tells sure answers from others only.

    Args:
        estimator: has ``classes_`` and ``predict_proba``.
        num_classes: how many classes there are; by default as many as the estimator has seen.

    Raises:
        InputError: an estimator that is not fitted or gives no probabilities, or whose classes are not 0, 1, … up to
            ``num_classes`` - 1, each of them: a class that it has never seen has no column.

    Example:
        >>> import numpy as np
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> tree = DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])
        >>> EstimatorTarget(tree).logits(np.ones((1, 1, 1, 1))).round(1).tolist()
        [[-36.0, 0.0]]
    """

    offers = frozenset({LOGITS})

    def __init__(self, estimator: Any, num_classes: int | None = None) -> None:
        self.name = type(estimator).__name__
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{self.name} has no predict_proba; expected a classifier that gives probabilities")
        if not hasattr(estimator, "classes_"):
            raise InputError(f"{self.name} is not fitted; expected one with classes_")
        classes = estimator.classes_
        count = len(classes) if num_classes is None else num_classes
        if not isinstance(classes, np.ndarray) or count < 2 or not np.array_equal(np.sort(classes), np.arange(count)):
            wanted = f"0 to {count - 1}, each of them in its training data" if count > 1 else "two classes or more"
            raise InputError(f"classes_ of {self.name} is {np.asarray(classes).tolist()}; expected {wanted}")
        self._estimator = estimator
        self._columns = np.argsort(classes)

    def _logits(self, images: np.ndarray) -> np.ndarray:
        rows = images.reshape(len(images), -1)
        wanted = getattr(self._estimator, "n_features_in_", rows.shape[1])
        if rows.shape[1] != wanted:
            raise InputError(f"images have {rows.shape[1]} pixels; {self.name} takes {wanted}")
        probabilities = np.asarray(self._estimator.predict_proba(rows), np.float64)
        if probabilities.shape != (len(rows), len(self._columns)):
            raise InputError(f"predict_proba of {self.name} gives shape {probabilities.shape}; expected "
                             f"({len(rows)}, {len(self._columns)})")
        # NaN and what is no probability must be told, and not be clipped away.
        require_finite(f"probabilities of {self.name}", probabilities)
        if probabilities.min() < 0 or probabilities.max() > 1 + 1e-9:
            raise InputError(f"probabilities of {self.name} lie in {probabilities.min():g} to {probabilities.max():g}; "
                             "expected 0 to 1")
        return np.log(np.clip(probabilities[:, self._columns], SMALLEST, 1.0))

