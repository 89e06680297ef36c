"""The RNN tutorial's membership attack as its code does it: one FCNet per class on the logits of ten shadows.

Source: MIA/run_attack.py and MIA/classifier_methods.py at github.com/hepucuncao/RNN, commit 06c1e9b, after Shokri et
al., arXiv 1610.05820. What it draws stands in ``data.rnn_tutorial_rows``; how it is judged, its own way and others, in
``rnn_tutorial_protocols``. docs/rnn_tutorial_attack.md lists where this differs from the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from mindspore import Tensor, nn, ops

from mindleak import device
from mindleak.attacks.checks import require_answers, require_members
from mindleak.attacks.contract import Attack
from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL, BALANCINGS, MIN_PER_CLASS, AttackData
from mindleak.errors import InputError
from mindleak.models.fcnet import FCNet
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop

# The section of the configuration.
_SECTION = "membership.rnn_tutorial"


@dataclass(frozen=True)
class RnnTutorialSettings:
    """Sizes and training of the RNN tutorial's attack: field names are the keys of ``membership.rnn_tutorial``.

    Sizes of None follow from the subject's (``sized``); the tutorial has TRAIN_SIZE 10,000 for target and shadows,
    TEST_SIZE 500 for the target and 3,000, three tenths of TRAIN_SIZE, for the shadows.

    Raises:
        InputError: a value out of range.
    """

    shadows: int = 10
    train_size: int | None = None
    test_size: int | None = None
    shadow_test_size: int | None = None
    dim_hidden: int = 50
    epochs: int = 5
    batch_size: int = 50
    learning_rate: float = 0.001
    momentum: float = 0.9

    def __post_init__(self) -> None:
        for name in ("shadows", "train_size", "test_size", "shadow_test_size", "dim_hidden", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{_SECTION}.{name} is {value}; expected at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"{_SECTION}.learning_rate is {self.learning_rate}; expected a finite number above 0")
        if not 0 <= self.momentum < 1:
            raise InputError(f"{_SECTION}.momentum is {self.momentum}; expected 0 ≤ momentum < 1")

    def sized(self, subject_size: int) -> Sizes:
        """Return the sizes, those that were not given in the tutorial's proportions to the subject's training set."""
        train = subject_size if self.train_size is None else self.train_size
        return Sizes(train, max(1, round(0.05 * train)) if self.test_size is None else self.test_size,
                     max(1, round(0.3 * train)) if self.shadow_test_size is None else self.shadow_test_size)


@dataclass(frozen=True)
class Sizes:
    """How many samples are drawn: for a shadow's training, as the target's non-members, as a shadow's."""

    train: int
    test: int
    shadow_test: int

    def check(self, pool: int, n_test: int, subject: int) -> None:
        """Refuse sizes that the data cannot give, and those that the tutorial's balancing cannot work with.

        Args:
            pool: rows of the training split that are neither the subject's nor its non-members'.
            n_test: rows of the test split that may stand for non-members.
            subject: members that the subject is attacked on.

        Raises:
            InputError: with the key to change.
        """
        if self.train > pool:
            raise InputError(f"{_SECTION}.train_size is {self.train}, and the training split has {pool} samples "
                             "outside the subject's members and non-members for shadows to draw from"
                             + (f"; expected 1 to {pool}" if pool else "; give membership.target_out fewer"))
        if self.test + self.shadow_test > n_test:
            raise InputError(f"{_SECTION}.test_size {self.test} and shadow_test_size {self.shadow_test} together ask "
                             f"for more than the {n_test} different images of the test split that are no training "
                             "images; expected that many together")
        for key, out, inside, whose in (("test_size", self.test, subject, "attacked members"),
                                        ("shadow_test_size", self.shadow_test, self.train, "a shadow's members")):
            if 2 * out > inside:
                raise InputError(f"{_SECTION}.{key} is {out}; the RNN tutorial keeps two members per non-member, and "
                                 f"there are {inside} ({whose}): expected 1 to {inside // 2}")


@dataclass(frozen=True)
class ClassScores:
    """What attack models of one kind of training data say.

    Attributes:
        scores: float64 (N,), log-odds of membership; above 0 the tutorial's argmax says member. NaN where the sample's
            class has no attack model.
        skipped: class → why it has none.
        attack_rows: class → number of rows its attack model was trained on.
    """

    scores: np.ndarray
    skipped: dict[int, str]
    attack_rows: dict[int, int]


@dataclass(frozen=True)
class RnnTutorialResult:
    """What the attack says of the samples that it was asked about.

    Attributes:
        trained: scores by how the attack models' training rows were balanced, ``balancing.BALANCINGS``' names.
    """

    trained: dict[str, ClassScores]

    @property
    def own(self) -> ClassScores:
        """The scores by attack models trained as the tutorial does."""
        return self.trained[AS_IN_TUTORIAL]


class RnnTutorialAttack(Attack):
    """The tutorial's attack models: logits in, no softmax; SGD with momentum, a fixed number of epochs, whole batches.

    Source: github.com/hepucuncao/RNN after Shokri et al., arXiv 1610.05820. The signal is the log-odds of membership by
    the FCNet of the sample's class.

    Args:
        num_classes: width of the logits.
        settings: of the attack models' training.
        seed: of initialisation, balancing and shuffling.

    Example:
        >>> _ = device.configure("CPU")
        >>> draw = np.random.default_rng(0)
        >>> labels, members = np.arange(900) % 2, np.arange(900) < 600
        >>> logits = draw.normal(size=(900, 2)).astype(np.float32)
        >>> logits[np.arange(900), labels] += 4.0 * members  # members are answered with more confidence
        >>> attack = RnnTutorialAttack(2, RnnTutorialSettings(epochs=5, learning_rate=0.02))
        >>> scores = attack.attack(AttackData(logits, members, labels), logits, labels).own.scores
        >>> bool(scores[members].mean() > scores[~members].mean())
        True
    """

    def __init__(self, num_classes: int, settings: RnnTutorialSettings | None = None, seed: int = 0) -> None:
        self._num_classes = num_classes
        self._settings = settings or RnnTutorialSettings()
        self._seed = seed

    @final
    def attack(self, shadows: AttackData, logits: np.ndarray, labels: np.ndarray) -> RnnTutorialResult:
        """Train on the shadows' answers, once for every way of balancing them, and score the subject's.

        All ways start from the same weights.

        Args:
            shadows: logits (M, classes), members and labels (M,) of all shadows together.
            logits: of the subject, (N, classes).
            labels: (N,).

        Raises:
            InputError: logits that are not finite or of another shape, labels or members that do not belong to them, or
                fewer than two members of shadows per non-member, which the tutorial's balancing takes.
        """
        require_answers("the shadows", shadows.logits, shadows.labels, self._num_classes)
        require_members("the shadows", shadows.members, len(shadows.labels))
        require_answers("the subject", logits, labels, self._num_classes)
        inside = int(shadows.members.sum())
        outside = len(shadows.members) - inside
        if inside < 2 * outside or not outside:
            raise InputError(f"the shadows have {inside} members and {outside} non-members; expected non-members, and "
                             "at least two members for each of them")
        return self._run(shadows, logits, labels)

    def _run(self, shadows: AttackData, logits: np.ndarray, labels: np.ndarray) -> RnnTutorialResult:
        rows = {name: balance(shadows, np.random.default_rng([self._seed, number]))
                for number, (name, balance) in enumerate(BALANCINGS.items())}
        most = max(np.bincount(shadows.labels[chosen]).max() for chosen in rows.values())
        model = _ClassModel(shadows, self._num_classes, self._settings, self._seed, int(most))
        return RnnTutorialResult({name: self._scored(model, shadows.take(chosen), chosen, logits, labels)
                                  for name, chosen in rows.items()})

    def _scored(self, model: _ClassModel, data: AttackData, rows: np.ndarray, logits: np.ndarray,
                labels: np.ndarray) -> ClassScores:
        """Train one attack model per class on ``rows``, whose samples are ``data``, and let it score its class."""
        scores = np.full(len(labels), np.nan)
        skipped: dict[int, str] = {}
        attack_rows: dict[int, int] = {}
        for label in range(self._num_classes):
            of_class = data.labels == label
            reason = self._too_few(data.members[of_class])
            if reason:
                skipped[label] = reason
                continue
            attack_rows[label] = int(of_class.sum())
            model.fit(label, rows[of_class])
            asked = labels == label
            scores[asked] = model.score(logits)[asked]
        return ClassScores(scores, skipped, attack_rows)

    def _too_few(self, members: np.ndarray) -> str:
        """Say why a class cannot have an attack model; nothing if it can."""
        inside = int(members.sum())
        sides = (inside, len(members) - inside)
        if min(sides) < MIN_PER_CLASS:
            return (f"{sides[0]} member and {sides[1]} non-member rows of shadows; at least {MIN_PER_CLASS} of each "
                    "are needed")
        if len(members) < self._settings.batch_size:
            return f"{len(members)} rows of shadows, fewer than a batch of {self._settings.batch_size}"
        return ""


class _ClassModel:
    """One FCNet for a class at a time, in one compiled loop: between classes only weights and indices change."""

    def __init__(self, shadows: AttackData, num_classes: int, settings: RnnTutorialSettings, seed: int,
                 most_rows: int) -> None:
        self._settings = settings
        self._num_classes = num_classes
        self._seed = seed
        self._network = self._fresh(0)
        self._optimizer = nn.Momentum(self._network.trainable_params(), settings.learning_rate, settings.momentum)
        self._untouched = [parameter.asnumpy().copy() for parameter in self._optimizer.get_parameters()]
        self._loop = TrainingLoop(self._network, self._optimizer, shadows.logits, shadows.members.astype(np.int32))
        self._predict = Predictor(self._network, batch_size=10_000)
        self._most_steps = max(1, most_rows // settings.batch_size)

    def _fresh(self, label: int) -> FCNet:
        """Return an attack model with the initial weights of a class."""
        with device.seeded(self._seed * 1000 + label):
            return FCNet(self._num_classes, self._settings.dim_hidden)

    def fit(self, label: int, rows: np.ndarray) -> None:
        """Train a class's model anew, all epochs, on ``rows`` of the shadows' samples."""
        # ops.assign writes where the values lie; set_data would detach them from the compiled loop.
        for parameter, value in zip(self._optimizer.get_parameters(), self._untouched):
            ops.assign(parameter, Tensor(value))
        for parameter, fresh in zip(self._network.get_parameters(), self._fresh(label).get_parameters()):
            ops.assign(parameter, fresh)
        for order, steps in self._epochs(label, rows):
            self._loop.run(Tensor(order), 0, steps, LoopTotals())

    def _epochs(self, label: int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yield every epoch's batches, padded to one shape for all classes, and how many of them there are."""
        generator = np.random.default_rng([self._seed, label, len(rows)])
        size = self._settings.batch_size
        steps = len(rows) // size
        for _ in range(self._settings.epochs):
            order = np.zeros((self._most_steps, size), np.int32)
            order[:steps] = generator.permutation(rows)[:steps * size].reshape(steps, size)
            yield order, steps

    def score(self, logits: np.ndarray) -> np.ndarray:
        """Return the log-odds of membership, float64 (N,)."""
        answers = self._predict(logits).astype(np.float64)
        odds: np.ndarray = answers[:, 1] - answers[:, 0]
        return odds
