"""The stage of the RNN tutorial's membership attack: shadows that answer for both splits, and what they give away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mindleak.attacks.membership import report
from mindleak.attacks.membership.balancing import AS_IN_TUTORIAL, AttackData
from mindleak.attacks.membership.names import RNN_TUTORIAL
from mindleak.attacks.membership.rnn_tutorial import RnnTutorialAttack, RnnTutorialSettings, Sizes
from mindleak.attacks.membership.rnn_tutorial_protocols import Asked, judged
from mindleak.attacks.membership.shadow import Answers
from mindleak.audits.membership.answers import answers_of
from mindleak.data.dataset import TEST, TRAINING
from mindleak.data.rnn_tutorial_rows import rnn_tutorial_rows
from mindleak.data.splits import Split
from mindleak.evaluation.classification import accuracy
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import Answering, ModelTask
from mindleak.subjects.asked import AskedTask, asked_aside
from mindleak.subjects.subject import SubjectPlan

# The attack was called "document". The word stays where it enters seeds, as a purpose or in the shadows' roles, and in
# the names of stages and arrays: with another, equal seeds would give other scores.
SEED = "document"
TRAIN_DATA, TEST_DATA = "attack_train_data", "attack_test_data"


@dataclass(frozen=True, eq=False)
class RnnTutorialPlan:
    """The RNN tutorial's attack on one subject.

    Attributes:
        settings: as configured.
        sizes: what they come to for this subject.
        pool: rows of the training split that shadows draw from.
        target_test: rows of the test split that stand for the subject's non-members.
        tasks: the shadows' trainings.
    """

    settings: RnnTutorialSettings
    sizes: Sizes
    pool: np.ndarray
    target_test: np.ndarray
    tasks: list[AskedTask]


def plan_rnn_tutorial(plan: SubjectPlan, split: Split, alike: ModelTask, members: np.ndarray,
                  attacks: Sequence[str]) -> RnnTutorialPlan | None:
    """Return the RNN tutorial's shadows, or None where its attack was not asked for.

    Args:
        plan: the subject's.
        split: its roles.
        alike: what is made by the subject's recipe, in any role.
        members: rows that the subject is trained on.
        attacks: names that have been checked.

    Raises:
        InputError: settings out of range, or more samples asked for than there are.
    """
    settings = RnnTutorialSettings(**plan.config.membership.rnn_tutorial)
    if RNN_TUTORIAL not in attacks:
        return None
    data = plan.dataset
    # The target's rows, and those that judge it on its own split, reach no shadow.
    taken = np.concatenate([members, split.indices["target_out"]])
    pool = split.apart(np.arange(len(data.y_train)), taken)
    test = data.copies.unseen_test_rows
    sizes = settings.sized(len(members))
    sizes.check(len(pool), len(test), len(split.distinct("target_in")))
    drawn = rnn_tutorial_rows(pool, test, settings.shadows, sizes.train, sizes.test, sizes.shadow_test,
                          plan.session.seed(SEED))
    tasks = [asked_aside(alike, f"{SEED}{number}", rows_in, rows_out, out_of_test=True)
             for number, (rows_in, rows_out) in enumerate(drawn.shadows)]
    return RnnTutorialPlan(settings, sizes, pool, drawn.target_test, tasks)


def rnn_tutorial_stage(plan: SubjectPlan, split: Split, planned: RnnTutorialPlan, answering: Answering,
                   subject_size: int) -> StageResult:
    """Attack the subject, judge the attack in every way, and keep its data and scores.

    Args:
        plan: the subject's.
        split: its roles.
        planned: the attack.
        answering: what answers as the subject.
        subject_size: number of samples that it was trained on.
    """
    shadows = [(task, task.run()) for task in planned.tasks]
    inputs = {"attack": RNN_TUTORIAL, "source": own_file.source(plan.config.model.name),
              "subject": answering.digest, "split": split.digest,
              "shadows": [[result.key, stable_hash(result.arrays["logits"])] for _, result in shadows],
              "settings": asdict(planned.settings), "test": stable_hash(planned.target_test),
              "classes": list(plan.dataset.class_names), "subject_size": subject_size}
    seed = plan.session.seed(SEED)

    def compute(context: StageContext) -> dict[str, Any]:
        return _attack(context, plan, split, planned, answering, subject_size, seed)

    return plan.session.run.stage(f"document-{plan.name}", __name__, inputs, seed, compute)


def _attack(context: StageContext, plan: SubjectPlan, split: Split, planned: RnnTutorialPlan, answering: Answering,
            subject_size: int, seed: int) -> dict[str, Any]:
    """Gather the answers, train the attack models, score and judge, and return the record."""
    data, results = plan.dataset, [task.run() for task in planned.tasks]
    train = _joined([answers_of(task, result) for task, result in zip(planned.tasks, results)])
    sides = [split.distinct(role) for role in ("target_in", "target_out")]
    rows = np.concatenate(sides)
    n_in, n_own = len(sides[0]), len(rows)
    logits = np.concatenate([answering.logits(TRAINING, rows),
                             answering.logits(TEST, planned.target_test)])
    labels = np.concatenate([data.y_train[rows], data.y_test[planned.target_test]])
    place = np.arange(len(labels))
    asked = Asked(place < n_in, place >= n_own, labels)
    found = RnnTutorialAttack(data.num_classes, planned.settings, seed).attack(train, logits, labels).trained
    shown = judged(found, asked, data.class_names, planned.settings.batch_size, seed)
    test = asked.members | asked.tested
    context.save_arrays(TRAIN_DATA, train_x=train.logits, train_y=train.members.astype(np.int32),
                        train_classes=train.labels.astype(np.int32))
    context.save_arrays(TEST_DATA, test_x=logits[test], test_y=asked.members[test].astype(np.int32),
                        test_classes=labels[test].astype(np.int32))
    context.save_arrays(rows=rows, members=asked.members[:n_own], scores=found[AS_IN_TUTORIAL].scores[:n_own],
                        test_rows=planned.target_test, test_scores=found[AS_IN_TUTORIAL].scores[n_own:],
                        **{f"scores_trained_{name}": each.scores[:n_own] for name, each in found.items()})
    return {**_sizes(planned, n_in, n_own - n_in), **shown, "overall": _overall(shown),
            "notes": _notes(planned, subject_size),
            "commonest_class": float(np.bincount(labels[asked.members]).max() / asked.members.sum()),
            "shadow_accuracy": [{"train": result.metrics["train_accuracy"]["value"],
                                 "test": result.metrics["test_accuracy"]["value"]} for result in results],
            "subject_accuracy": report.generalisation(
                *(accuracy(logits[side], labels[side])
                  for side in (asked.members, ~asked.members & ~asked.tested)))}


def _joined(answers: Sequence[Answers]) -> AttackData:
    """Return the rows of all shadows together."""
    return AttackData(np.concatenate([answer.logits for answer in answers]),
                      np.concatenate([answer.members for answer in answers]),
                      np.concatenate([answer.labels for answer in answers]))


def _overall(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the figures on the samples that all attacks are judged on."""
    (same,) = (each for each in shown["evaluations"]
               if (each["training"], each["evaluation"]) == (AS_IN_TUTORIAL, "same_split"))
    return {key: same[key] for key in ("auc", "accuracy", "balanced_accuracy")}


def _sizes(planned: RnnTutorialPlan, n_in: int, n_out: int) -> dict[str, Any]:
    """Return how many there are of everything."""
    sizes = planned.sizes
    return {"attack": RNN_TUTORIAL, "n_shadows": len(planned.tasks), "n_in": n_in, "n_out": n_out, "n_test": sizes.test,
            "train_size": sizes.train, "shadow_test_size": sizes.shadow_test, "pool": len(planned.pool),
            "models_per_sample": len(planned.tasks) * sizes.train / len(planned.pool),
            "settings": {key: getattr(planned.settings, key)
                         for key in ("dim_hidden", "epochs", "batch_size", "learning_rate", "momentum")}}


def _notes(planned: RnnTutorialPlan, subject: int) -> list[str]:
    """Return what limits the attack as a whole."""
    drawn = len(planned.tasks) * planned.sizes.train
    notes = []
    if drawn > len(planned.pool):
        notes.append(f"{len(planned.tasks)} shadows of {planned.sizes.train} samples are drawn from "
                     f"{len(planned.pool)}, so a sample is in {drawn / len(planned.pool):.1f} shadows on average and "
                     "the rows that the attack models learn from are not independent")
    if planned.sizes.train != subject:
        notes.append(f"a shadow is trained on {planned.sizes.train} samples, the subject on {subject}; the tutorial "
                     "has one size for both")
    return notes
