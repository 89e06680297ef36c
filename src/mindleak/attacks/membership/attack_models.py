"""Attack models of the improved shadow attack: what tells members from non-members by standardised features.

Every model learns from rows of the shadows that are trained on and is stopped by rows of other shadows; it answers with
log-odds of membership. One network in MindSpore, three models of scikit-learn; deterministic by seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from mindleak import device
from mindleak.errors import InputError, nearest
from mindleak.models.mlp import MLP
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop

Rows = NDArray[np.int64]
NETWORK = "network"
MODELS = (NETWORK, "logistic", "gradient_boosting", "random_forest")

BOOSTING_ROUNDS, TREES = 150, 100
SCORED_AT_ONCE = 2000
# A forest may be unanimous; its log-odds stay finite.
SURE = 1e-6


@dataclass(frozen=True)
class ImprovedTraining:
    """How the attack is made up and its network trained: field names are the keys of ``membership.improved``."""

    model: str = NETWORK
    per_class: bool = False
    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 40
    batch_size: int = 200
    learning_rate: float = 0.002
    patience: int = 5

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"membership.improved.model '{self.model}' is unknown{nearest(self.model, MODELS)}")
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"membership.improved.{name} is {getattr(self, name)}; expected at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(f"membership.improved.hidden is {list(self.hidden)}; expected the width of each hidden "
                             "layer, at least one layer and at least 1 unit each")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"membership.improved.learning_rate is {self.learning_rate}; expected a finite number "
                             "above 0")


@dataclass(frozen=True)
class AttackRows:
    """Standardised rows of several shadows: features (N, width) float32 and membership (N,) int32."""

    features: np.ndarray
    members: np.ndarray


class AttackModel(Protocol):
    """What every attack model offers; ``columns`` are the features that it may look at."""

    def fit(self, columns: NDArray[np.bool_], rows: Rows, held_out: Rows, seed: int) -> None:
        """Learn from ``rows`` of the training shadows, stopped by ``held_out`` rows of the stopping ones."""

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds of membership of rows with all columns, float64 (N,)."""


def make_model(name: str, fit: AttackRows, stop: AttackRows, training: ImprovedTraining, most_rows: int) -> AttackModel:
    """Return an untrained attack model by name, to be fitted as often as wanted.

    Args:
        name: of ``MODELS``.
        fit, stop: rows of the shadows that are trained on and that stop the training.
        training: of the network.
        most_rows: the largest number of rows that a fit will be given.

    Raises:
        ValueError: no such model.
    """
    if name == NETWORK:
        return NetworkModel(fit, stop, training, most_rows)
    if name == "gradient_boosting":
        return BoostingModel(fit, stop)
    return SklearnModel(_SKLEARN[name], fit)


class NetworkModel:
    """An MLP, trained again and again in one compiled loop: between fits only weights, gate and indices change."""

    def __init__(self, fit: AttackRows, stop: AttackRows, training: ImprovedTraining, most_rows: int) -> None:
        self._stop = stop
        self._training = training
        self._width = fit.features.shape[1]
        self._network = self._fresh(0)
        self._optimizer = nn.Adam(self._network.trainable_params(), training.learning_rate)
        self._untouched = _values(self._optimizer)
        self._loop = TrainingLoop(self._network, self._optimizer, fit.features, fit.members)
        self._predict = Predictor(self._network, SCORED_AT_ONCE)
        self._batch = min(training.batch_size, most_rows)
        self._most_steps = most_rows // self._batch

    def fit(self, columns: NDArray[np.bool_], rows: Rows, held_out: Rows, seed: int) -> None:
        """Train with Adam until the held-out loss stops falling, and go back to where it was least."""
        _assign(self._optimizer, self._untouched)
        _assign(self._network, _values(self._fresh(seed)))
        ops.assign(self._network.gate, Tensor(columns.astype(np.float32)))
        generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        best_loss, best, waited = np.inf, _values(self._network), 0
        for _ in range(self._training.epochs):
            self._epoch(generator.permutation(rows))
            loss = self._held_out_loss(held_out)
            if loss < best_loss:
                best_loss, best, waited = loss, _values(self._network), 0
            else:
                waited += 1
            if waited >= self._training.patience:
                break
        _assign(self._network, best)

    def score(self, features: np.ndarray) -> np.ndarray:
        """See AttackModel.score."""
        # Filled up, since another number of rows below a whole batch would be compiled anew.
        filled = np.pad(features, ((0, max(0, SCORED_AT_ONCE - len(features))), (0, 0)))
        logits = self._predict(filled)[:len(features)].astype(np.float64)
        return logits[:, 1] - logits[:, 0]

    def _fresh(self, seed: int) -> MLP:
        with device.seeded(seed):
            return MLP(self._width, self._training.hidden)

    def _epoch(self, rows: Rows) -> None:
        """Take one pass over ``rows`` in whole batches; too few for one are drawn on again to fill it."""
        if len(rows) < self._batch:
            rows = np.resize(rows, self._batch)
        steps = len(rows) // self._batch
        order = np.zeros((self._most_steps, self._batch), np.int32)
        order[:steps] = rows[:steps * self._batch].reshape(steps, self._batch)
        self._loop.run(Tensor(order), 0, steps, LoopTotals())

    def _held_out_loss(self, rows: Rows) -> float:
        return mean_loss(self.score(self._stop.features[rows]), self._stop.members[rows])


class BoostingModel:
    """Histogram gradient boosting, cut off at the round with the least held-out loss."""

    def __init__(self, fit: AttackRows, stop: AttackRows) -> None:
        self._fit = fit
        self._stop = stop
        self._columns = np.ones(fit.features.shape[1], bool)
        self._rounds = 0
        self._model: Any = None

    def fit(self, columns: NDArray[np.bool_], rows: Rows, held_out: Rows, seed: int) -> None:
        """See AttackModel.fit."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._columns = columns
        self._model = HistGradientBoostingClassifier(max_iter=BOOSTING_ROUNDS, learning_rate=0.1, max_leaf_nodes=15,
                                                     min_samples_leaf=_leaf(len(rows)), early_stopping=False,
                                                     random_state=seed)
        self._model.fit(self._fit.features[rows][:, columns], self._fit.members[rows])
        truth = self._stop.members[held_out]
        losses = [mean_loss(scores.ravel(), truth)
                  for scores in self._model.staged_decision_function(self._stop.features[held_out][:, columns])]
        self._rounds = int(np.argmin(losses)) + 1

    def score(self, features: np.ndarray) -> np.ndarray:
        """See AttackModel.score."""
        staged = self._model.staged_decision_function(features[:, self._columns])
        scores = next(islice(staged, self._rounds - 1, None))
        return np.asarray(scores, np.float64).ravel()


class SklearnModel:
    """A model of scikit-learn that needs no stopping."""

    def __init__(self, make: Callable[[int, int], Any], fit: AttackRows) -> None:
        self._make = make
        self._fit = fit
        self._columns = np.ones(fit.features.shape[1], bool)
        self._model: Any = None

    def fit(self, columns: NDArray[np.bool_], rows: Rows, held_out: Rows, seed: int) -> None:
        """See AttackModel.fit; the held-out rows are not looked at."""
        self._columns = columns
        self._model = self._make(seed, len(rows)).fit(self._fit.features[rows][:, columns], self._fit.members[rows])

    def score(self, features: np.ndarray) -> np.ndarray:
        """See AttackModel.score."""
        inside = self._model.predict_proba(features[:, self._columns])[:, 1].clip(SURE, 1 - SURE)
        return np.log(inside) - np.log1p(-inside)


def mean_loss(scores: np.ndarray, members: np.ndarray) -> float:
    """Return the mean cross-entropy of log-odds (N,) on the truth (N,)."""
    return float(np.logaddexp(0.0, -np.where(members == 1, 1.0, -1.0) * scores).mean())


def _leaf(rows: int) -> int:
    """Return how many rows a leaf has at least: fifty, fewer where a class has few rows in all."""
    return max(5, min(50, rows // 40))


def _logistic(seed: int, rows: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500, random_state=seed)


def _random_forest(seed: int, rows: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, min_samples_leaf=_leaf(rows), random_state=seed, n_jobs=1)


_SKLEARN: dict[str, Callable[[int, int], Any]] = {"logistic": _logistic, "random_forest": _random_forest}


def _values(cell: nn.Cell) -> list[np.ndarray]:
    return [parameter.asnumpy().copy() for parameter in cell.get_parameters()]


def _assign(cell: nn.Cell, values: list[np.ndarray]) -> None:
    """Write values into parameters where they lie; ``set_data`` would detach them from the compiled loop."""
    for parameter, value in zip(cell.get_parameters(), values):
        ops.assign(parameter, Tensor(value))
