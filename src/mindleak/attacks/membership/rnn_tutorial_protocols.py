"""The RNN tutorial's attack models judged in its own way, and in ways that tell what its figure is made of.

| evaluation | members | non-members |
| --- | --- | --- |
| ``AS_IN_TUTORIAL`` | two per non-member | of the test split, counted twice; whole batches only |
| ``as_drawn`` | all | of the test split |
| ``balanced`` | as many as non-members of every class | of the test split, each once |
| ``same_split`` | all | of the training split, of the same classes; no shadow was trained on them either |
| ``split_control`` | none: those non-members of the training split stand in | of the test split, of the same classes |

The split control tells no members from non-members, since there are none: whatever it finds is a difference between the
splits. With TPR on members and TNR on the test split's (t) and the training split's (s) non-members,

    ½(TPR + TNR_t) - ½  =  ½(TNR_t - TNR_s)  +  ½(TPR + TNR_s) - ½,

so what balanced accuracy has above chance falls into a difference of splits and membership, without remainder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindleak.attacks.membership import report
from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL, AttackData, doubled, matched_classes, once
from mindleak.attacks.membership.rnn_tutorial import ClassScores
from mindleak.evaluation.comparisons import p_by_inversion
from mindleak.evaluation.intervals import (
    difference_of_independent,
    mean_of_independent,
    proportion,
    weighted_proportion,
)
from mindleak.evaluation.metric import Metric, undefined
from mindleak.evaluation.roc import auc

# Which attack models (by how their training rows were balanced) are judged in which way.
JUDGED = ((AS_IN_TUTORIAL, AS_IN_TUTORIAL), (AS_IN_TUTORIAL, "as_drawn"), (AS_IN_TUTORIAL, "balanced"),
          (AS_IN_TUTORIAL, "same_split"), (AS_IN_TUTORIAL, "split_control"), ("none", "as_drawn"),
          ("none", "same_split"), ("once", "balanced"), ("once", "same_split"), ("once", "split_control"))


@dataclass(frozen=True, eq=False)
class Asked:
    """The samples that the subject was asked about: members bool, of the test split bool, labels, each (N,)."""

    members: np.ndarray
    tested: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Rows of ``Asked`` that are judged, repeated where one counts twice, and which of them stand for members."""

    rows: np.ndarray
    inside: np.ndarray


def judged(scores: Mapping[str, ClassScores], asked: Asked, class_names: Sequence[str], batch_size: int,
           seed: int) -> dict[str, Any]:
    """Return every figure of the RNN tutorial's attack on one subject as JSON values.

    Args:
        scores: by the balancing of the attack models' training rows (``RnnTutorialAttack.run``).
        asked: the samples behind the scores.
        class_names: by class number.
        batch_size: of the tutorial's test batches.
        seed: of the draws.
    """
    drawn = _rows_as_in_tutorial(asked, seed)
    evaluations = _evaluations(asked, drawn, batch_size, seed)
    own = scores[AS_IN_TUTORIAL]
    return {
        "evaluations": [{"training": training, "evaluation": name,
                         **figures(scores[training].scores, evaluations[name])} for training, name in JUDGED],
        "decomposition": {name: metric.to_json() for name, metric in decomposition(own.scores, asked).items()},
        "classes": _classes(own, asked, drawn, evaluations[AS_IN_TUTORIAL], class_names),
        "report": classification_text(own.scores, evaluations[AS_IN_TUTORIAL]),
        "skipped_classes": {class_names[label]: reason for label, reason in own.skipped.items()},
    }


def _rows_as_in_tutorial(asked: Asked, seed: int) -> np.ndarray:
    """Return the rows that the tutorial balances the target's answers to."""
    chosen = np.flatnonzero(asked.members | asked.tested)
    return chosen[doubled(_truth(asked, chosen), np.random.default_rng([seed, 0]))]


def _evaluations(asked: Asked, drawn: np.ndarray, batch_size: int, seed: int) -> dict[str, Evaluation]:
    generator = np.random.default_rng([seed, 1])
    both = np.flatnonzero(asked.members | asked.tested)
    outside = np.flatnonzero(~asked.members)
    control = matched_classes(asked.tested[outside], asked.labels[outside], generator)
    whole = _whole_batches(drawn, asked.labels, batch_size, generator)
    balanced = both[once(_truth(asked, both), generator)]
    same = np.flatnonzero(~asked.tested)
    same = same[matched_classes(asked.members[same], asked.labels[same], generator)]
    rows = {AS_IN_TUTORIAL: whole, "as_drawn": both, "balanced": balanced, "same_split": same}
    found = {name: Evaluation(each, asked.members[each]) for name, each in rows.items()}
    found["split_control"] = Evaluation(outside[control], ~asked.tested[outside[control]])
    return found


def _truth(asked: Asked, rows: np.ndarray) -> AttackData:
    """Return the truth of some rows as data to balance."""
    return AttackData(np.zeros((len(rows), 0), np.float32), asked.members[rows], asked.labels[rows])


def _whole_batches(rows: np.ndarray, labels: np.ndarray, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """Return what the tutorial tests: of every class, in random order, as many rows as whole batches take."""
    shuffled = generator.permutation(rows)
    kept = [of_class[:len(of_class) // batch_size * batch_size]
            for of_class in (shuffled[labels[shuffled] == label] for label in np.unique(labels))]
    return np.concatenate([np.zeros(0, np.int64), *kept])


def figures(scores: np.ndarray, evaluation: Evaluation) -> dict[str, Any]:
    """Return accuracy, balanced accuracy and AUC with intervals, counts, and what saying one thing always gives.

    Counted rows give the accuracy, as the tutorial counts; everything else, and every interval, rests on distinct
    samples. A sample without a score is left out and counted in ``unscored``.
    """
    known = np.isfinite(scores[evaluation.rows])
    rows, inside = evaluation.rows[known], evaluation.inside[known]
    distinct, first, counts = np.unique(rows, return_index=True, return_counts=True)
    truth, right = inside[first], (scores[distinct] > 0) == inside[first]
    n_in = int(truth.sum())
    n_out = len(truth) - n_in
    share = float(inside.mean()) if len(inside) else None
    majority = None if share is None else max(share, 1 - share)
    sides = [proportion(int(right[side].sum()), int(side.sum()), of=name)
             for side, name in ((truth, "members"), (~truth, "non-members"))]
    enough = n_in and n_out
    return {
        "n_in": n_in, "n_out": n_out, "counted_in": int(inside.sum()), "counted_out": int((~inside).sum()),
        "unscored": int((~known).sum()),
        "accuracy": _accuracy(truth, right, counts, majority).to_json(),
        "always_member": share, "majority": majority,
        "balanced_accuracy": mean_of_independent(*sides).to_json(),
        "auc": auc(scores[distinct], truth).to_json(),
        "detectable": report.detectable(n_in, n_out)["auc"] if enough else None,
    }


def _accuracy(truth: np.ndarray, right: np.ndarray, counts: np.ndarray, majority: float | None) -> Metric:
    """Return the share of counted rows that are right; its interval rests on samples, not on rows.

    Where every row counts once, it carries the p value of being right as often as by always saying the same.
    """
    if len(right) == 0:
        return undefined("nothing was judged")
    if (counts == 1).all():
        return proportion(int(right.sum()), len(right), null=majority)
    sides = [weighted_proportion(right[side], counts[side]) for side in (truth, ~truth) if side.any()]
    if len(sides) == 1:
        return sides[0]
    return mean_of_independent(*sides, weight=float(counts[truth].sum() / counts.sum()))


def decomposition(scores: np.ndarray, asked: Asked) -> dict[str, Metric]:
    """Return the balanced accuracy above ½ of members against the test split, and its two parts (module text).

    On all samples with a score: ``above_chance`` = ``split`` + ``membership``.
    """
    known = np.isfinite(scores)
    called = scores > 0
    groups = {"hit": (asked.members, called, "members"), "test": (asked.tested, ~called, "test-split non-members"),
              "train": (~asked.members & ~asked.tested, ~called, "training-split non-members")}

    def parts(level: float) -> dict[str, Metric]:
        rates = {name: proportion(int((side & known & right).sum()), int((side & known).sum()), level, of=what)
                 for name, (side, right, what) in groups.items()}
        return {"above_chance": _moved(mean_of_independent(rates["hit"], rates["test"]), 1.0, -0.5),
                "split": _moved(difference_of_independent(rates["test"], rates["train"]), 0.5, 0.0),
                "membership": _moved(mean_of_independent(rates["hit"], rates["train"]), 1.0, -0.5)}

    def p_value(name: str) -> float:
        return p_by_inversion(lambda level: parts(level)[name].ci or (-math.inf, math.inf))

    return {name: metric if metric.ci is None else replace(metric, p=p_value(name))
            for name, metric in parts(report.LEVEL).items()}


def _moved(metric: Metric, factor: float, offset: float) -> Metric:
    """Return factor·metric + offset, for a positive factor."""
    ci = None if metric.ci is None else (factor * metric.ci[0] + offset, factor * metric.ci[1] + offset)
    return replace(metric, value=factor * metric.value + offset, ci=ci)


def _classes(scores: ClassScores, asked: Asked, drawn: np.ndarray, evaluation: Evaluation,
             class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the tutorial prints of every class: its "training number", "testing number" and accuracy."""
    rows = []
    for label, name in enumerate(class_names):
        tested = evaluation.rows[asked.labels[evaluation.rows] == label]
        right = (scores.scores[tested] > 0) == asked.members[tested]
        attacked = label in scores.attack_rows and len(tested) > 0
        rows.append({"class": label, "name": name, "training_number": scores.attack_rows.get(label, 0),
                     "testing_number": int((asked.labels[drawn] == label).sum()), "tested": len(tested),
                     "accuracy": float(right.mean()) if attacked else None})
    return rows


def classification_text(scores: np.ndarray, evaluation: Evaluation) -> str:
    """Return scikit-learn's classification report, which the tutorial prints; 1 is a member. Empty without rows."""
    # Imported here: scikit-learn costs a second, and nothing else of an audit needs it.
    from sklearn.metrics import classification_report

    known = np.isfinite(scores[evaluation.rows])
    rows, inside = evaluation.rows[known], evaluation.inside[known]
    if not len(rows):
        return ""
    return str(classification_report(inside.astype(int), (scores[rows] > 0).astype(int), labels=[0, 1],
                                     zero_division=np.nan))
