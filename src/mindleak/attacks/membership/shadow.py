"""The shadow-model membership attack: one binary attack model per class, native in MindSpore.

Source: Shokri et al., arXiv 1610.05820; seed 000's attack with the protocol of docs/methods.md: disjoint roles,
balanced in/out from the same split, stopped early on shadows that the attack models were not trained on,
tested on the subject only. Decisions use P(member) = ½, fixed beforehand; a further shadow, left out of training
and stopping, is scored like the subject, for thresholds at given false-positive rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindleak import device
from mindleak.errors import InputError
from mindleak.evaluation.signals import softmax
from mindleak.models.fcnet import FCNet
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class Answers:
    """A model's logits (N, classes) on samples with labels (N,), and whether it was trained on each (N,) bool."""

    logits: np.ndarray
    labels: np.ndarray
    members: np.ndarray


@dataclass(frozen=True)
class ThresholdScores:
    """How the attack scores a shadow that its models were not trained on: what thresholds are fixed on.

    Attributes:
        scores: float64 (M,), log-odds of membership; NaN where the sample's class has no attack model.
        labels: int32 (M,).
        members: bool (M,).
        stopped_too: True where there was no third shadow, so that the one which stopped the training serves here
            as well. Its part in the training is the choice of an epoch per class.
    """

    scores: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    stopped_too: bool

    def non_members(self, label: int | None = None) -> np.ndarray:
        """Return the non-members' scores, of all attacked classes or of one."""
        chosen = ~self.members & np.isfinite(self.scores)
        return self.scores[chosen if label is None else chosen & (self.labels == label)]


@dataclass(frozen=True)
class ShadowAttackResult:
    """Per-sample outcome on the subject.

    Attributes:
        scores: float64 (N,), log-odds of membership by the class's attack model; NaN where there is none.
        labels: int32 (N,).
        members: bool (N,), the truth.
        attacked: bool (N,), False where the sample's class has no attack model.
        skipped: class → why it has none.
        attack_rows: class → number of rows its attack model was trained on.
        threshold_shadow: the same attack's scores of a shadow kept for thresholds.
    """

    scores: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    attacked: np.ndarray
    skipped: dict[int, str]
    attack_rows: dict[int, int]
    threshold_shadow: ThresholdScores

    @property
    def predicted(self) -> np.ndarray:
        """Membership by the threshold that was fixed beforehand, P(member) > ½."""
        return self.scores > 0.0


@dataclass(frozen=True)
class AttackTraining:
    """How the attack models are trained: field names are the keys of ``membership.attack``."""

    dim_hidden: int = 20
    epochs: int = 50
    batch_size: int = 100
    learning_rate: float = 0.01
    patience: int = 5

    def __post_init__(self) -> None:
        for name in ("dim_hidden", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"membership.attack.{name} is {getattr(self, name)}; at least 1 is needed")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"membership.attack.learning_rate is {self.learning_rate}; a finite number above 0 "
                             "is needed")


class ShadowAttack:
    """Learns from shadows how members differ from non-members, class by class.

    Features are the posterior vector in the order of the classes (docs/methods.md).

    Args:
        num_classes: width of the logits.
        training: of the attack models.
        seed: of their initialisation, balancing and shuffling.
    """

    def __init__(self, num_classes: int, training: AttackTraining, seed: int) -> None:
        self._num_classes = num_classes
        self._training = training
        self._seed = seed

    def run(self, shadows: Sequence[Answers], subject: Answers) -> ShadowAttackResult:
        """Train on the shadows' answers and score the subject's.

        The last shadow is kept for thresholds, one in four of the others, and at least one, for early stopping; of
        two shadows the last serves for both. ``subject.members`` is carried into the result and otherwise not
        looked at.

        Raises:
            InputError: see ``require_enough``.
        """
        sides = [(answer.labels[answer.members], answer.labels[~answer.members]) for answer in shadows]
        smaller_sides = require_enough(sides, self._num_classes)
        parts = shadow_parts(len(shadows))
        fit, stop = (_AttackData(shadows[part], self._seed) for part in (parts.fit, parts.stop))
        kept = shadows[-1]
        features = posteriors(np.concatenate([subject.logits, kept.logits]))
        labels = np.concatenate([subject.labels, kept.labels])
        scores = np.full(len(labels), np.nan)
        skipped: dict[int, str] = {}
        rows: dict[int, int] = {}
        models = _ClassModels(fit, stop, self._num_classes, self._training, self._seed)
        for label, smaller_side in enumerate(smaller_sides):
            of_class = labels == label
            if smaller_side < MIN_PER_CLASS:
                skipped[label] = (f"{smaller_side} shadow samples on the smaller side; "
                                  f"at least {MIN_PER_CLASS} are needed")
            elif not (subject.labels == label).any():
                skipped[label] = "no sample of the subject's is of this class"
            else:
                rows[label] = models.fit(label)
                scores[of_class] = models.score(features)[of_class]
        if not rows:
            raise InputError("membership attack: none of the subject's samples is of a class that the shadows have "
                             f"{MIN_PER_CLASS} members and non-members of; use larger shadows")
        size = len(subject.labels)
        kept_scores = ThresholdScores(scores[size:], kept.labels, kept.members, stopped_too=len(shadows) == 2)
        return ShadowAttackResult(scores[:size], subject.labels, subject.members, np.isfinite(scores[:size]), skipped,
                                  rows, kept_scores)


def require_enough(sides: Sequence[tuple[np.ndarray, np.ndarray]], num_classes: int) -> list[int]:
    """Return, per class, on how few samples the attack would rest, refusing shadows that allow no attack at all.

    That is the smaller of in and out, in the shadows that are trained on or in those that stop the training,
    whichever is less. Needs no trained shadow, so a job can ask before hours of training.

    Args:
        sides: per shadow, the labels of its in and of its out samples.
        num_classes: number of classes.

    Raises:
        InputError: fewer than two shadows, or every class below ``MIN_PER_CLASS``.
    """
    if len(sides) < 2:
        raise InputError(f"membership.shadows is {len(sides)}; at least 2 are needed: one to train on, one to stop by")
    counts = np.array([[np.bincount(labels, minlength=num_classes) for labels in pair] for pair in sides])
    parts = shadow_parts(len(sides))
    smaller = np.minimum(counts[parts.fit].sum(axis=0).min(axis=0), counts[parts.stop].sum(axis=0).min(axis=0))
    if smaller.max() < MIN_PER_CLASS:
        raise InputError(f"membership attack: the shadows have at most {smaller.max()} members and non-members of a "
                         f"class, at least {MIN_PER_CLASS} are needed; raise membership.target_in, target_out and "
                         "shadow_pool, or membership.shadows")
    return [int(count) for count in smaller]


@dataclass(frozen=True)
class ShadowParts:
    """Which shadows the attack models are trained on, and which stop that training."""

    fit: slice
    stop: slice


def shadow_parts(shadows: int) -> ShadowParts:
    """Deal shadows out; the last one is for thresholds, and stops the training too where there are only two."""
    if shadows == 2:
        return ShadowParts(slice(0, 1), slice(1, 2))
    first = shadows - 1 - max(1, (shadows - 1) // 4)
    return ShadowParts(slice(0, first), slice(first, shadows - 1))


def posteriors(logits: np.ndarray) -> np.ndarray:
    """Return what an attack model sees: softmax of the logits, float32 (N, classes)."""
    return softmax(logits).astype(np.float32)


class _AttackData:
    """Rows of several shadows together, with balanced index lists per class."""

    def __init__(self, answers: Sequence[Answers], seed: int) -> None:
        self.features = np.concatenate([posteriors(answer.logits) for answer in answers])
        self.members = np.concatenate([answer.members for answer in answers]).astype(np.int32)
        self._labels = np.concatenate([answer.labels for answer in answers])
        self._seed = seed

    def _sides(self, label: int) -> list[np.ndarray]:
        """Return the rows of a class that are out and in."""
        return [np.flatnonzero((self._labels == label) & (self.members == side)) for side in (0, 1)]

    def smaller_side(self, label: int) -> int:
        """Return how many rows of a class the rarer of in and out has."""
        return min(len(side) for side in self._sides(label))

    def balanced_rows(self, label: int) -> np.ndarray:
        """Return as many in as out rows of a class, drawn at random from the larger side."""
        generator = np.random.default_rng(np.random.SeedSequence([self._seed, label]))
        size = self.smaller_side(label)
        return np.concatenate([generator.choice(side, size, replace=False) for side in self._sides(label)])


class _ClassModels:
    """One FCNet after the other in the same compiled loop: between classes only weights and indices change.

    Every array handed to compiled code has one shape for all classes, so nothing is compiled twice.
    """

    def __init__(self, fit: _AttackData, stop: _AttackData, num_classes: int, training: AttackTraining,
                 seed: int) -> None:
        self._fit = fit
        self._stop = stop
        self._training = training
        self._num_classes = num_classes
        self._seed = seed
        self._network = self._fresh(0)
        self._optimizer = nn.Adam(self._network.trainable_params(), training.learning_rate)
        self._untouched = [parameter.asnumpy().copy() for parameter in self._optimizer.get_parameters()]
        self._loop = TrainingLoop(self._network, self._optimizer, fit.features, fit.members)
        self._predict = Predictor(self._network, batch_size=10_000)
        most = max(2 * fit.smaller_side(label) for label in range(num_classes))
        self._most_steps = max(1, most // training.batch_size)

    def _fresh(self, label: int) -> FCNet:
        """Return an attack model with the initial weights of a class."""
        with device.seeded(self._seed * 1000 + label):
            return FCNet(self._num_classes, self._training.dim_hidden)

    def fit(self, label: int) -> int:
        """Train on the class's balanced rows until the held-out loss stops falling; return how many rows."""
        rows = self._fit.balanced_rows(label)
        held_out = self._stop.balanced_rows(label)
        _assign(self._optimizer.get_parameters(), self._untouched)
        _assign(self._network.get_parameters(), _values(self._fresh(label)))
        generator = np.random.default_rng(np.random.SeedSequence([self._seed, label, 1]))
        best_loss, best_weights, waited = np.inf, _values(self._network), 0
        for _ in range(self._training.epochs):
            self._epoch(generator.permutation(rows))
            loss = self._held_out_loss(held_out)
            if loss < best_loss:
                best_loss, best_weights, waited = loss, _values(self._network), 0
            else:
                waited += 1
            if waited >= self._training.patience:
                break
        _assign(self._network.get_parameters(), best_weights)
        return len(rows)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds of membership, float64 (N,)."""
        logits = self._predict(features).astype(np.float64)
        return logits[:, 1] - logits[:, 0]

    def _epoch(self, rows: np.ndarray) -> None:
        """Take one pass over ``rows`` in whole batches."""
        size = min(self._training.batch_size, len(rows))
        steps = len(rows) // size
        order = np.zeros((self._most_steps, size), np.int32)
        order[:steps] = rows[:steps * size].reshape(steps, size)
        self._loop.run(Tensor(order), 0, steps, LoopTotals())

    def _held_out_loss(self, rows: np.ndarray) -> float:
        """Return the mean cross-entropy on held-out shadows."""
        scores = self.score(self._stop.features)[rows]
        signs = np.where(self._stop.members[rows] == 1, 1.0, -1.0)
        return float(np.logaddexp(0.0, -signs * scores).mean())


def _values(network: nn.Cell) -> list[np.ndarray]:
    """Return a copy of the network's weights."""
    return [parameter.asnumpy().copy() for parameter in network.get_parameters()]


def _assign(parameters: Iterable[Parameter], values: Iterable[np.ndarray]) -> None:
    """Write values into parameters where they lie.

    ``Parameter.set_data`` would give them other memory, and a loop compiled before goes on with the old: the
    attack models of all classes but the first then learn nothing.
    """
    for parameter, value in zip(parameters, values):
        ops.assign(parameter, Tensor(value))
