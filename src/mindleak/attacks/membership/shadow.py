"""The shadow-model membership attack: one binary attack model per class, native in MindSpore.

Source: Shokri et al., arXiv 1610.05820; the RNN tutorial's attack with the protocol of docs/methods.md: disjoint roles,
balanced in/out from the same split, stopped early on shadows that the attack models were not trained on,
tested on the subject only. Decisions use P(member) = ½, fixed beforehand; a further shadow, left out of training
and stopping, is scored like the subject, for thresholds at given false-positive rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        raise InputError(f"membership.shadows is {len(sides)}; expected at least 2: one to train on, one to stop by")
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
