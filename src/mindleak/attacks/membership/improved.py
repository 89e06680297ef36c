"""The improved shadow attack: more features, other attack models, and the ablation that says what each is worth.

What the RNN tutorial asks for at its end, under the protocol of its posterior attack (attacks/membership/shadow.py):
the same shadows in the same parts, balanced classes, stopped on shadows that are not trained on, a further one kept
for thresholds, and the subject asked once. Features are in attacks/membership/features.py, attack models in
attacks/membership/attack_models.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mindleak.attacks.membership.attack_models import (
    MODELS,
    AttackModel,
    AttackRows,
    ImprovedTraining,
    make_model,
)
from mindleak.attacks.membership.balancing import MIN_PER_CLASS, ByClass
from mindleak.attacks.membership.features import (
    ACTIVATIONS,
    FROM_LOGITS,
    HIDDEN,
    POSTERIOR,
    Observation,
    Scaler,
    checked_features,
    group_matrix,
    known_rows,
    require_parts,
)
from mindleak.attacks.membership.names import IMPROVED
from mindleak.attacks.membership.shadow import (
    ShadowAttackResult,
    ShadowTrained,
    ThresholdScores,
    named,
    shadow_parts,
)
from mindleak.attacks.target import LAYERS, LOGITS
from mindleak.errors import InputError, nearest

ADDED, LEFT_OUT, ATTACK_MODELS = "added", "left_out", "models"
ABLATIONS = (ADDED, LEFT_OUT, ATTACK_MODELS)
BASELINE, ALL = "posterior only", "all"


@dataclass(frozen=True)
class Observed:
    """A model's observation with the truth beside it: whether it was trained on each sample, (N,) bool.

    The truth is kept apart from what features are made of.
    """

    seen: Observation
    members: NDArray[np.bool_]

    @property
    def logits(self) -> np.ndarray:
        """The model's logits, (N, classes)."""
        return self.seen.logits

    @property
    def labels(self) -> np.ndarray:
        """The true classes, (N,)."""
        return self.seen.labels


@dataclass(frozen=True)
class AblationVariant:
    """One form of the attack: which groups of features, which attack model, one for all classes or one for each."""

    name: str
    features: tuple[str, ...]
    model: str
    per_class: bool


def checked_ablation(asked: bool | Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of variants that ``membership.ablation`` asks for; none for False, all for True.

    Raises:
        InputError: a name that is no kind.
    """
    if isinstance(asked, bool):
        return ABLATIONS if asked else ()
    for name in asked:
        if name not in ABLATIONS:
            raise InputError(f"membership.ablation: '{name}' is unknown{nearest(str(name), ABLATIONS)} (true: all)")
    return tuple(kind for kind in ABLATIONS if kind in asked)


def ablation_variants(kinds: Sequence[str], groups: Sequence[str], training: ImprovedTraining) -> list[AblationVariant]:
    """Return the variants of an ablation: the posterior alone first, then all groups, then what the kinds ask for.

    Args:
        kinds: of ``ABLATIONS``: the posterior and one group more; all groups but one; all groups by every attack
            model, shared by the classes and one per class.
        groups: the groups there are, the posterior among them.
        training: the configured attack model, which stands in all but the last kind.
    """
    base = AblationVariant(BASELINE, (POSTERIOR,), training.model, training.per_class)
    everything = replace(base, name=ALL, features=tuple(groups))
    found = [base, everything]
    if ADDED in kinds:
        found += [replace(base, name=f"posterior + {group}", features=(POSTERIOR, group))
                  for group in groups if group != POSTERIOR]
    if LEFT_OUT in kinds and len(groups) > 2:
        found += [replace(everything, name=f"all but {group}", features=tuple(g for g in groups if g != group))
                  for group in groups]
    if ATTACK_MODELS in kinds:
        found += [replace(everything, name=f"all, {model.replace('_', ' ')}, {_shared_in_words(per_class)}",
                          model=model, per_class=per_class)
                  for model in MODELS for per_class in (False, True)
                  if (model, per_class) != (training.model, training.per_class)]
    return found


class ImprovedAttack(ShadowTrained[Observed]):
    """Learns from shadows, by features beyond the posterior, how members differ from non-members.

    Shadow models are those of Shokri et al., arXiv 1610.05820; docs/methods.md has the sources of every feature. The
    signal is the log-odds of membership by the attack model.

    Args:
        num_classes: number of classes.
        features: names of ``features.GROUPS``; by default those that logits alone give.
        training: which attack model, and how it is trained.
        seed: of balancing, initialisation and shuffling.

    Raises:
        InputError: no feature, or an unknown one.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> labels, members = np.arange(200) % 2, np.arange(200) < 100
        >>> def seen():  # members are answered with more confidence
        ...     logits = draw.normal(size=(200, 2)) + np.eye(2)[labels] * (1 + 3 * members[:, None])
        ...     return Observed(Observation(logits, labels), members)
        >>> attack = ImprovedAttack(2, ("posterior", "loss"), ImprovedTraining(model="logistic"))
        >>> result = attack.attack([seen(), seen()], seen())
        >>> bool(result.scores[members].mean() > result.scores[~members].mean())
        True
    """

    def __init__(self, num_classes: int, features: Sequence[str] = FROM_LOGITS,
                 training: ImprovedTraining | None = None, seed: int = 0) -> None:
        super().__init__(num_classes, seed)
        self._features = checked_features(features)
        self._training = training or ImprovedTraining()
        self.needs = frozenset({LOGITS, LAYERS} if {HIDDEN, ACTIVATIONS} & set(self._features) else {LOGITS})

    def prepared(self, shadows: Sequence[Observed], subject: Observed) -> VariantTrainer:
        """Return what trains variants of the attack on these shadows, features computed once for all of them.

        Raises:
            InputError: as ``attack``.
        """
        self._check(shadows, subject)
        return self._prepared(shadows, subject)

    def _check(self, shadows: Sequence[Observed], subject: Observed) -> None:
        super()._check(shadows, subject)
        for whose, one in named(shadows, subject):
            require_parts(whose, one.seen, self._features)

    def _run(self, shadows: Sequence[Observed], subject: Observed) -> ShadowAttackResult:
        form = AblationVariant(IMPROVED, self._features, self._training.model, self._training.per_class)
        return self._prepared(shadows, subject).run(form)

    def _prepared(self, shadows: Sequence[Observed], subject: Observed) -> VariantTrainer:
        return VariantTrainer(shadows, subject, self._features, self._num_classes, self._training, self._seed)


class VariantTrainer:
    """Trains variants of the attack on the same shadows; made by ``ImprovedAttack.prepared``.

    Features are computed and standardised once, by the shadows that are trained on; every variant then looks at its
    own columns. All variants of one object learn from the same samples: where any of ``groups`` needs a calibration,
    samples of shadows that no other shadow leaves out take no part in any of them.

    Args:
        shadows: what is observed of each, on its in and out samples; at least two.
        subject: what is observed of the subject; its ``members`` are carried into results and otherwise not looked at.
        groups: names of features that variants may use.
        num_classes: number of classes.
        training: of attack models.
        seed: of balancing, initialisation and shuffling.

    Raises:
        InputError: no class with enough samples on both sides.
    """

    def __init__(self, shadows: Sequence[Observed], subject: Observed, groups: Sequence[str], num_classes: int,
                 training: ImprovedTraining, seed: int) -> None:
        parts = shadow_parts(len(shadows))
        self._num_classes = num_classes
        self._training = training
        self._seed = seed
        self._stopped_too = len(shadows) == 2
        self._subject, self._kept = subject, shadows[-1]
        self._fit, self._stop = (_Pooled(shadows[part], groups) for part in (parts.fit, parts.stop))
        self._design = _Design(self._fit, groups, num_classes)
        self._known = np.concatenate([known_rows(each.seen, groups) for each in (subject, self._kept)])
        # Rows without a calibration get no score; zeros keep their place.
        self._asked = np.concatenate([self._design.matrix(_Pooled([each], groups))
                                      for each in (subject, self._kept)])
        self._labels = np.concatenate([subject.seen.labels, self._kept.seen.labels])
        self._fit_rows, self._stop_rows = (AttackRows(self._design.matrix(data), data.members.astype(np.int32))
                                           for data in (self._fit, self._stop))
        self._skipped, self._classes = self._attacked_classes()
        self._models: dict[str, AttackModel] = {}

    def _uncalibrated(self) -> int:
        """Return how many of the shadows' samples no shadow can calibrate."""
        return int(sum((~data.known).sum() for data in (self._fit, self._stop))
                   + (~self._known[len(self._subject.members):]).sum())

    def run(self, variant: AblationVariant) -> ShadowAttackResult:
        """Train a variant on the shadows and score the subject and the shadow kept for thresholds."""
        model = self._model(variant.model)
        columns = self._design.columns(variant.features, shared=not variant.per_class)
        scores = np.full(len(self._labels), np.nan)
        for number, together in enumerate([[label] for label in self._classes] if variant.per_class
                                          else [self._classes]):
            rows, held_out = (np.concatenate([data.by_class.balanced(label, self._seed) for label in together])
                              for data in (self._fit, self._stop))
            model.fit(columns, rows, held_out, (self._seed * 1000 + number) % 2**31)
            chosen = np.isin(self._labels, together) & self._known
            scores[chosen] = model.score(self._asked[chosen])
        size = len(self._subject.members)
        kept = ThresholdScores(scores[size:], self._kept.seen.labels, self._kept.members, self._stopped_too)
        trained_on = {label: 2 * self._fit.by_class.smaller_side(label) for label in self._classes}
        return ShadowAttackResult(scores[:size], self._subject.seen.labels, self._subject.members,
                                  np.isfinite(scores[:size]), dict(self._skipped), trained_on, kept,
                                  self._uncalibrated())

    def _model(self, name: str) -> AttackModel:
        """Return the attack model by name, made once: another variant only trains it anew."""
        if name not in self._models:
            most = sum(2 * self._fit.by_class.smaller_side(label) for label in self._classes)
            self._models[name] = make_model(name, self._fit_rows, self._stop_rows, self._training, most)
        return self._models[name]

    def _attacked_classes(self) -> tuple[dict[int, str], list[int]]:
        """Return which classes are left out and why, and the others."""
        skipped: dict[int, str] = {}
        for label in range(self._num_classes):
            smaller = min(data.by_class.smaller_side(label) for data in (self._fit, self._stop))
            if smaller < MIN_PER_CLASS:
                skipped[label] = (f"{smaller} shadow samples on the smaller side; at least {MIN_PER_CLASS} are needed")
            elif not (self._subject.seen.labels == label).any():
                skipped[label] = "no sample of the subject's is of this class"
        classes = [label for label in range(self._num_classes) if label not in skipped]
        if not classes:
            raise InputError("membership attack: none of the subject's samples is of a class that the shadows have "
                             f"{MIN_PER_CLASS} members and non-members of; use larger shadows")
        return skipped, classes


class _Pooled:
    """Samples of several models together."""

    def __init__(self, observed: Sequence[Observed], groups: Sequence[str]) -> None:
        self.observed = observed
        self.members = np.concatenate([each.members for each in observed])
        self.labels = np.concatenate([each.seen.labels for each in observed])
        self.known = np.concatenate([known_rows(each.seen, groups) for each in observed])

    def group(self, name: str) -> NDArray[np.float64]:
        """Return the features of a group of all samples, unknown ones NaN."""
        return np.concatenate([group_matrix(name, each.seen) for each in self.observed])

    @property
    def by_class(self) -> ByClass:
        """The samples by class and side; those that not every group knows do not count."""
        return ByClass(self.labels, self.members, self.known)


class _Design:
    """The columns of all groups side by side, standardised by the samples that are trained on, then the class."""

    def __init__(self, fit: _Pooled, groups: Sequence[str], num_classes: int) -> None:
        self._groups = tuple(groups)
        self._num_classes = num_classes
        self._scalers: dict[str, Scaler] = {}
        self._widths: dict[str, int] = {}
        for name in self._groups:
            values = fit.group(name)
            self._widths[name] = values.shape[1]
            # No sample left to train on is refused by whoever asks for the classes.
            self._scalers[name] = Scaler.of(values[fit.known] if fit.known.any() else np.zeros_like(values[:1]))

    def matrix(self, data: _Pooled) -> np.ndarray:
        """Return all columns, float32 (N, width); rows that are not known are zero."""
        parts = [np.where(data.known[:, None], self._scalers[name](data.group(name)), np.float32(0))
                 for name in self._groups]
        classes = np.eye(self._num_classes, dtype=np.float32)[data.labels]
        return np.concatenate([*parts, classes], axis=1)

    def columns(self, groups: Iterable[str], shared: bool) -> NDArray[np.bool_]:
        """Return which columns belong to groups, and the class where one model serves all classes."""
        wanted = set(groups)
        flags = [np.full(self._widths[name], name in wanted) for name in self._groups]
        return np.concatenate([*flags, np.full(self._num_classes, shared)])


def _shared_in_words(per_class: bool) -> str:
    return "one per class" if per_class else "one for all classes"
