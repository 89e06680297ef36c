"""The shadow-model membership attack: one binary attack model per class, native in MindSpore.

Source: Shokri et al., arXiv 1610.05820; the RNN tutorial's attack with the protocol of docs/methods.md: disjoint roles,
balanced in/out from the same split, stopped early on shadows that the attack models were not trained on,
tested on the subject only. Decisions use P(member) = ½, fixed beforehand; a further shadow, left out of training
and stopping, is scored like the subject, for thresholds at given false-positive rates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, final

import numpy as np

from mindleak.attacks.checks import require_answers, require_members
from mindleak.attacks.contract import Attack
from mindleak.attacks.membership.balancing import MIN_PER_CLASS
from mindleak.attacks.membership.class_models import AttackTraining, ClassModels, LabelledRows
from mindleak.errors import InputError
from mindleak.evaluation.signals import softmax


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
        uncalibrated: number of the shadows' samples that take no part, for want of a shadow that was not trained on
            them; 0 for an attack that calibrates nothing.
    """

    scores: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    attacked: np.ndarray
    skipped: dict[int, str]
    attack_rows: dict[int, int]
    threshold_shadow: ThresholdScores
    uncalibrated: int = 0

    @property
    def predicted(self) -> np.ndarray:
        """Membership by the threshold that was fixed beforehand, P(member) > ½."""
        return self.scores > 0.0


class Answered(Protocol):
    """What an attack by shadows is given of a model: see ``Answers``."""

    @property
    def logits(self) -> np.ndarray:
        """(N, classes)."""

    @property
    def labels(self) -> np.ndarray:
        """(N,)."""

    @property
    def members(self) -> np.ndarray:
        """Bool (N,)."""


Given = TypeVar("Given", bound=Answered)


class ShadowTrained(Attack, Generic[Given]):
    """An attack that learns from shadows how members differ from non-members.

    Args:
        num_classes: width of the logits.
        seed: of initialisation, balancing and shuffling.
    """

    def __init__(self, num_classes: int, seed: int) -> None:
        self._num_classes = num_classes
        self._seed = seed

    @final
    def attack(self, shadows: Sequence[Given], subject: Given) -> ShadowAttackResult:
        """Train on the shadows' answers and score the subject's.

        The last shadow is kept for thresholds, one in four of the others, and at least one, for early stopping; of
        two shadows the last serves for both. ``subject.members`` is carried into the result and otherwise not
        looked at.

        Args:
            shadows: what each of them answers on its in and out samples; at least two.
            subject: what the attacked one answers.

        Raises:
            InputError: fewer than two shadows, logits that are not finite or not (N, classes), labels or members that
                do not belong to them, or no class with enough samples on both sides (``require_enough``).
        """
        self._check(shadows, subject)
        return self._run(shadows, subject)

    def _check(self, shadows: Sequence[Given], subject: Given) -> None:
        """Refuse what is no matching set of answers."""
        require_two(len(shadows))
        for whose, one in named(shadows, subject):
            require_answers(whose, one.logits, one.labels, self._num_classes)
            require_members(whose, one.members, len(one.labels))

    @abstractmethod
    def _run(self, shadows: Sequence[Given], subject: Given) -> ShadowAttackResult:
        """Return the result for answers that have been checked."""


class ShadowAttack(ShadowTrained[Answers]):
    """Learns from shadows how members differ from non-members, class by class (Shokri et al., arXiv 1610.05820).

    The signal is the log-odds of membership by the attack model of the sample's class, which sees the posterior vector
    in the order of the classes (docs/methods.md).

    Args:
        num_classes: width of the logits.
        training: of the attack models.
        seed: of their initialisation, balancing and shuffling.

    Example:
        >>> from mindleak import device
        >>> _ = device.configure("CPU")
        >>> draw = np.random.default_rng(0)
        >>> labels, members = np.arange(200) % 2, np.arange(200) < 100
        >>> def answers():  # members are answered with more confidence
        ...     lift = np.eye(2)[labels] * (1 + 3 * members[:, None])
        ...     return Answers(draw.normal(size=(200, 2)) + lift, labels, members)
        >>> result = ShadowAttack(2).attack([answers(), answers()], answers())
        >>> bool(result.scores[members].mean() > result.scores[~members].mean())
        True
    """

    def __init__(self, num_classes: int, training: AttackTraining | None = None, seed: int = 0) -> None:
        super().__init__(num_classes, seed)
        self._training = training or AttackTraining()

    def _run(self, shadows: Sequence[Answers], subject: Answers) -> ShadowAttackResult:
        sides = [(answer.labels[answer.members], answer.labels[~answer.members]) for answer in shadows]
        smaller_sides = require_enough(sides, self._num_classes)
        parts = shadow_parts(len(shadows))
        fit, stop = (_rows_of(shadows[part]) for part in (parts.fit, parts.stop))
        kept = shadows[-1]
        features = posteriors(np.concatenate([subject.logits, kept.logits]))
        labels = np.concatenate([subject.labels, kept.labels])
        skipped: dict[int, str] = {}
        for label, smaller_side in enumerate(smaller_sides):
            if smaller_side < MIN_PER_CLASS:
                skipped[label] = (f"{smaller_side} shadow samples on the smaller side; "
                                  f"at least {MIN_PER_CLASS} are needed")
            elif not (subject.labels == label).any():
                skipped[label] = "no sample of the subject's is of this class"
        attacked = [label for label in range(self._num_classes) if label not in skipped]
        if not attacked:
            raise InputError("membership attack: none of the subject's samples is of a class that the shadows have "
                             f"{MIN_PER_CLASS} members and non-members of; use larger shadows")
        models = ClassModels(fit, stop, attacked, self._training, self._seed)
        scores = models.score(features, labels)
        size = len(subject.labels)
        kept_scores = ThresholdScores(scores[size:], kept.labels, kept.members, stopped_too=len(shadows) == 2)
        return ShadowAttackResult(scores[:size], subject.labels, subject.members, np.isfinite(scores[:size]), skipped,
                                  models.rows, kept_scores)


def require_two(shadows: int) -> None:
    """Refuse fewer shadows than one to train on and one to stop by.

    Raises:
        InputError: as said.
    """
    if shadows < 2:
        raise InputError(f"membership.shadows is {shadows}; expected at least 2: one to train on, one to stop by")


def named(shadows: Sequence[Given], subject: Given) -> list[tuple[str, Given]]:
    """Return shadows and subject by what messages call them."""
    return [*((f"shadow {number}", shadow) for number, shadow in enumerate(shadows, 1)), ("the subject", subject)]


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
    require_two(len(sides))
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


def _rows_of(answers: Sequence[Answers]) -> LabelledRows:
    """Return the answers of several shadows together, as the attack models see them."""
    return LabelledRows(np.concatenate([posteriors(answer.logits) for answer in answers]),
                        np.concatenate([answer.labels for answer in answers]),
                        np.concatenate([answer.members for answer in answers]).astype(np.int32))
