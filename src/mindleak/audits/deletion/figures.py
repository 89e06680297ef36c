"""What is measured of every network after a deletion, and how far that is from a full retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindleak.attacks.membership.metric import balanced_threshold
from mindleak.attacks.membership.sibling_figures import lira_measures, lira_parts
from mindleak.attacks.membership.siblings import SiblingLira
from mindleak.attacks.membership.signals import others, partners
from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.design import Design
from mindleak.audits.deletion.words import LOSS, TWO_MODELS, U_LIRA
from mindleak.evaluation.equivalence import equivalence
from mindleak.evaluation.intervals import clopper_pearson, mean_metric
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.roc import auc, balanced_accuracy_at
from mindleak.evaluation.shared_references import mean_over_siblings
from mindleak.evaluation.signals import loss, phi

LIRA = "lira_online"
# Measures with a value that a deletion should bring to a full retraining's.
ACCURACY, RETAINED = "accuracy/test", "accuracy/retained"
FORGOTTEN, UNSEEN = "accuracy/forgotten", "accuracy/never_seen"
MEMBERS = "auc/retained"
EXCESS, CHANGE = "excess@0.01/u_lira", "change/phi"
SUCCESS, SUCCESS_MEMBERS = "balanced_accuracy/forgotten", "balanced_accuracy/retained"
MEASURES = (ACCURACY, FORGOTTEN, RETAINED, UNSEEN, LOSS, SUCCESS, SUCCESS_MEMBERS, U_LIRA, EXCESS, TWO_MODELS, MEMBERS,
            CHANGE)
AREAS = (LOSS, U_LIRA, TWO_MODELS)
# Those whose networks are each other's references.
SHARED = (U_LIRA, TWO_MODELS, EXCESS)
BOUNDS = {CHANGE: (-np.inf, np.inf), EXCESS: (-1.0, 1.0)}
# What "nothing is known of the deleted samples" would give.
NULLS = {**dict.fromkeys((LOSS, SUCCESS, SUCCESS_MEMBERS, U_LIRA, TWO_MODELS, MEMBERS), 0.5), CHANGE: 0.0, EXCESS: 0.0}


@dataclass(frozen=True)
class NetworkValues:
    """The measures of one method.

    Attributes:
        values: by name, (models,).
        parts: of those in ``SHARED``, (models, models).
        pairs: of a deleted and a never-seen sample that chance dealt to a network or not.
    """

    values: Mapping[str, list[float]]
    parts: Mapping[str, list[list[float | None]]]
    pairs: int


def measured(answers: Answers, before: Answers | None, design: Design,
             labels: np.ndarray) -> tuple[NetworkValues, dict[str, np.ndarray]]:
    """Return every measure of every network of one method.

    Deleted samples are told from never-seen ones by the loss alone (``auc/loss``), by LiRA with the other networks as
    references, all of them treated by the same method (``auc/u_lira``), and by LiRA on how much φ fell from the network
    before the deletion to the one after it (``auc/two_models``, Chen et al., arXiv 2005.02205: whoever has both
    models). ``auc/retained`` tells retained samples from never-seen ones by the loss. ``balanced_accuracy`` is how
    often a threshold on the loss is right that was fixed on the other networks: the "success" of a simple attack on
    the deleted samples, and on the retained ones. ``change/phi`` is how much more φ fell for deleted samples than for
    never-seen ones.

    Args:
        answers: after the deletion.
        before: of the same networks before it; None for these themselves.
        design: of the request.
        labels: of the whole training split.

    Returns:
        The measures, and every sample's scores by name, (models, P): ``loss`` is lower for samples more like deleted
        ones, the others are higher.
    """
    truth, keep = labels[design.pool], design.keep
    signals = np.stack([phi(logits, truth) for logits in answers.pool])
    values = measured_alone(answers, design, labels)
    values.update(_success(answers, design, labels))
    fallen = None if before is None else np.stack([phi(logits, truth) for logits in before.pool]) - signals
    if fallen is not None:
        values[CHANGE] = [float(fell[kept].mean() - fell[~kept].mean()) for fell, kept in zip(fallen, keep)]
    parts: dict[str, list[list[float | None]]] = {}
    scores = {"phi": signals, "loss": np.stack([loss(logits, truth) for logits in answers.pool]),
              "u_lira": _take_lira("u_lira", signals, keep, values, parts)}
    if fallen is not None:
        # A deleted sample's φ falls: more of it is more like one.
        scores["two_models"] = _take_lira("two_models", fallen, keep, values, parts)
    return NetworkValues({name: values[name] for name in MEASURES if name in values}, parts,
                         len(design.pool) // 2), scores


def measured_alone(answers: Answers, design: Design, labels: np.ndarray) -> dict[str, list[float]]:
    """Return the measures of each network that need no other network; see ``measured``."""
    truth, shown = labels[design.pool], labels[design.shown]
    values: dict[str, list[float]] = {ACCURACY: answers.accuracy.tolist()}
    for pool, known, kept in zip(answers.pool, answers.shown, design.keep):
        right, (scores, inside) = pool.argmax(1) == truth, _of_members(pool, known, kept, truth, shown)
        found = {FORGOTTEN: right[kept].mean(), UNSEEN: right[~kept].mean(),
                 RETAINED: (known.argmax(1) == shown).mean(), LOSS: auc(-loss(pool, truth), kept).value,
                 **({MEMBERS: auc(scores, inside).value} if design.comparable else {})}
        for name, value in found.items():
            values.setdefault(name, []).append(float(value))
    return values


def _of_members(pool: np.ndarray, known: np.ndarray, kept: np.ndarray, truth: np.ndarray,
                shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of retained and never-seen samples by the loss, and which are retained."""
    losses, unseen = loss(known, shown), loss(pool, truth)[~kept]
    return -np.concatenate([losses, unseen]), np.repeat([True, False], [len(losses), len(unseen)])


def _success(answers: Answers, design: Design, labels: np.ndarray) -> dict[str, list[float]]:
    """Return how often a threshold on the loss is right that was fixed on all other networks.

    With a network one of the other side goes, sample by sample (``signals.partners``): otherwise its own members would
    be rarer among the others' members, and where networks are alike the threshold would lie too high for it.
    """
    truth, shown = labels[design.pool], labels[design.shown]
    scores = np.stack([-loss(pool, truth) for pool in answers.pool])
    known = np.stack([-loss(logits, shown) for logits in answers.shown])
    partner = partners(design.keep)
    found: dict[str, list[float]] = {}
    for model, kept in enumerate(design.keep):
        inside, outside = others(design.keep, model, partner[model])
        border = balanced_threshold(scores[inside], scores[outside])
        found.setdefault(SUCCESS, []).append(float(balanced_accuracy_at(scores[model], kept, border).value))
        if design.comparable:
            border = balanced_threshold(np.delete(known, model, axis=0).ravel(), scores[outside])
            found.setdefault(SUCCESS_MEMBERS, []).append(float(balanced_accuracy_at(
                *_of_members(answers.pool[model], answers.shown[model], kept, truth, shown), border).value))
    return found


def _take_lira(name: str, signals: np.ndarray, keep: np.ndarray, values: dict[str, list[float]],
               parts: dict[str, list[list[float | None]]]) -> np.ndarray:
    """Attack every network by LiRA among all of them and return the scores; a measure that one lacks is left out."""
    names, models = {f"auc/{LIRA}": f"auc/{name}", f"excess@0.01/{LIRA}": f"excess@0.01/{name}"}, len(keep)
    turns, scores = [], []
    for model in range(models):
        lira = SiblingLira(signals[:, :, None], keep, model)
        scores.append(lira.target_scores().of(LIRA))
        turns.append((lira_measures(lira, [LIRA]), lira_parts(lira, [LIRA], models, model)))
    for found, called in names.items():
        if called in MEASURES and all(found in measures for measures, _ in turns):
            values[called] = [measures[found] for measures, _ in turns]
            parts[called] = [of[found] for _, of in turns]
    return np.stack(scores)


def summarised(found: NetworkValues) -> dict[str, dict[str, Any]]:
    """Return the mean over the networks of every measure, with interval, p value and the values, as JSON values."""
    summary = {}
    for name, per_model in found.values.items():
        values, bounds, null = np.asarray(per_model), BOUNDS.get(name, (0.0, 1.0)), NULLS.get(name)
        if name in AREAS and np.ptp(values) == 0 and values[0] in (0.0, 1.0):
            summary[name] = {**_perfect(found, values[0]).to_json(), "values": list(per_model)}
            continue
        mean = (mean_over_siblings(values, _filled(found.parts[name]), bounds=bounds, null=null) if name in found.parts
                else mean_metric(values, bounds=bounds, null=null))
        summary[name] = {**mean.to_json(), "values": list(per_model)}
    return summary


def _perfect(found: NetworkValues, value: float) -> Metric:
    """Return the metric of an area that is 1, or 0, in every network: a spread of nothing has no interval by networks.

    Which sample of a pair a network was trained on is chance, so that where nothing is told all pairs come out alike
    with probability 2^(1 - pairs), in one network already. The interval is that of so many pairs won out of as many.
    """
    pairs = found.pairs
    return Metric(value, len(found.values[LOSS]), ci=clopper_pearson(value * pairs, pairs), ci_level=0.95,
                  ci_method="clopper-pearson of pairs", reason="alike in all networks", p=2.0 ** (1 - pairs))


def gaps(found: NetworkValues, retrained: NetworkValues, margin: float) -> dict[str, dict[str, Any]]:
    """Return, for every area, the mean difference from a full retraining, network by network, held against a margin."""
    gap = {}
    for name in AREAS:
        if name in found.values and name in retrained.values:
            parts = (None if name not in found.parts
                     else _filled(found.parts[name]) - _filled(retrained.parts[name]))
            differences = np.subtract(found.values[name], retrained.values[name])
            gap[name] = equivalence(differences, margin, parts).to_json()
    return gap


def _filled(parts: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Return parts as numbers, NaN where a network has none of its own."""
    return np.array(parts, dtype=np.float64)
