"""The stage that scores a membership subject by its reference models, and the record that reports show of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mindleak.attacks.membership import report
from mindleak.attacks.membership.metric import MetricAttack
from mindleak.attacks.membership.names import METRIC_ATTACKS
from mindleak.attacks.membership.reference_attack import reference_attacks
from mindleak.attacks.membership.reference_report import (
    Truth,
    figures,
    per_class_decisions,
    several_targets,
)
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import ModelSignals, ReferenceSignals, model_signals, stacked
from mindleak.audits.membership.plan import MembershipPlan
from mindleak.audits.membership.references import ReferencePlan
from mindleak.data.dataset import TRAINING
from mindleak.evaluation.classification import accuracy
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import Answering

EXPOSED = 20


@dataclass(frozen=True)
class _Answers:
    """Logits of subject and references on the samples attacked and on the population.

    Shapes: subject (queries, samples, classes), subject_z (population, classes), references (models, queries, samples,
    classes), references_z (models, population, classes).
    """

    subject: np.ndarray
    subject_z: np.ndarray
    references: np.ndarray
    references_z: np.ndarray


def reference_stage(planned: MembershipPlan) -> StageResult:
    """Score the membership subject by every reference attack that was asked for, and report on it."""
    references = planned.references
    assert references is not None
    plan = planned.plan
    results = [task.run() for task in references.tasks]
    answering = planned.subject.answering
    inputs = {"attacks": list(references.attacks),
              "source": own_file.source(plan.config.model.name),
              "subject": answering.digest, "rmia": vars(references.rmia), "mirrored": references.mirrored,
              "references": [[result.key, stable_hash(result.arrays["logits"])] for result in results],
              "split": planned.split.digest, "pool": stable_hash([references.rows, references.keep]),
              "classes": list(plan.dataset.class_names)}
    seed = plan.session.seed("references", "bootstrap")

    def compute(context: StageContext) -> dict[str, Any]:
        return _attack(context, planned, references, results, answering, seed)

    return plan.session.run.stage(f"references-{plan.name}", __name__, inputs, seed, compute)


def _attack(context: StageContext, planned: MembershipPlan, references: ReferencePlan, results: list[StageResult],
            answering: Answering, seed: int) -> dict[str, Any]:
    """Gather the answers, score, save every sample's scores, and return the record."""
    data, rows_in = planned.plan.dataset, planned.split.indices["target_in"]
    targets, _ = planned.targets()
    columns = np.isin(references.rows, targets)
    rows = references.rows[columns]
    truth = Truth(np.isin(rows, rows_in), references.keep[:, columns], data.y_train[rows])
    answers = _answers(planned, references, results, answering, columns)
    subject, others = _signals(references, answers, truth, data.y_train[references.population])
    scores = _scores(references, answers, truth, subject, others)
    lead = scores[references.attacks[0]].target
    exposed = _most_exposed(lead, truth.members)
    context.save_arrays(
        rows=rows, members=truth.members, labels=truth.labels, logits=answers.subject[0],
        exposed_rows=rows[exposed], exposed_images=data.x_train[rows[exposed]], exposed_labels=truth.labels[exposed],
        exposed_scores=lead[exposed], keep=truth.keep, phi=subject.phi, reference_phi=others.phi, log_p=subject.log_p,
        reference_log_p=others.log_p, population_rows=references.population, population_log_p=subject.log_p_z,
        reference_population_log_p=others.log_p_z, **{f"scores_{name}": each.target for name, each in scores.items()},
        **{f"decided_{name}": each.in_turn for name, each in scores.items() if each.in_turn is not None})
    return {**_sizes(planned, references, truth), "attacks": _records(planned, scores, truth, seed),
            "exposed": {"attack": references.attacks[0], "n": len(exposed)}, "notes": _notes(planned, references),
            **_likeness(answers, truth, results)}


def _answers(planned: MembershipPlan, references: ReferencePlan, results: list[StageResult], answering: Answering,
             columns: np.ndarray) -> _Answers:
    """Ask the subject and read what the references have answered."""
    queries = references.rows[columns]
    ways = (False, True) if references.mirrored else (False,)
    own = [answering.logits(TRAINING, queries, mirrored) for mirrored in ways]
    pairs = [references.logits(number, result) for number, result in enumerate(results)]
    return _Answers(np.stack(own), answering.logits(TRAINING, references.population),
                    np.stack([pool[:, columns] for pool, _ in pairs]), np.stack([z for _, z in pairs]))


def _signals(references: ReferencePlan, answers: _Answers, truth: Truth,
             labels_z: np.ndarray) -> tuple[ModelSignals, ReferenceSignals]:
    """Return the signals of the subject and of the references, computed once for all attacks."""
    temperature = references.rmia.temperature
    subject = model_signals(answers.subject, truth.labels, answers.subject_z, labels_z, temperature)
    others = [model_signals(logits, truth.labels, logits_z, labels_z, temperature)
              for logits, logits_z in zip(answers.references, answers.references_z)]
    return subject, stacked(others, truth.keep)


def _scores(references: ReferencePlan, answers: _Answers, truth: Truth, subject: ModelSignals,
            others: ReferenceSignals) -> dict[str, AttackScores]:
    """Return the scores of every attack asked for, in that order."""
    held = {attack.name: attack for attack in reference_attacks(references.attacks, references.rmia)}
    return {name: held[name].attack(subject, others) if name in held
            else MetricAttack(name).attack(answers.subject[0], answers.references[:, 0], truth.labels)
            for name in references.attacks}


def _records(planned: MembershipPlan, scores: dict[str, AttackScores], truth: Truth, seed: int) -> list[dict[str, Any]]:
    """Return one record per attack: figures, notes, the same on the references, and the curve."""
    data = planned.plan.dataset
    records = []
    for name, each in scores.items():
        found = {"attack": name, **figures(each, truth, seed), "notes": dict(each.notes),
                 "as_targets": several_targets(each, truth)}
        if name in METRIC_ATTACKS:
            decided = per_class_decisions(each, truth, data.num_classes, data.class_names)
            found["overall"]["balanced_accuracy_per_class"] = decided["balanced_accuracy_per_class"]
            found["shared_threshold"] = decided["shared_threshold"]
        known = np.isfinite(each.target)
        both = 0 < truth.members[known].sum() < known.sum()
        found["roc"] = report.roc(each.target[known], truth.members[known]) if both else {"fpr": [], "tpr": []}
        records.append(found)
    return records


def _most_exposed(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the places of the members with the highest scores, highest first."""
    inside = np.flatnonzero(members & np.isfinite(scores))
    return inside[np.argsort(-scores[inside], kind="stable")][:EXPOSED]


def _sizes(planned: MembershipPlan, references: ReferencePlan, truth: Truth) -> dict[str, Any]:
    """Return how many there are of everything."""
    n_in = int(truth.members.sum())
    n_out = len(truth.members) - n_in
    return {"n_references": len(references.tasks), "reference_size": int(references.keep[0].sum()),
            "subject_size": planned.subject.size, "population": len(references.population), "n_in": n_in,
            "n_out": n_out, "mirrored": references.mirrored}


def _notes(planned: MembershipPlan, references: ReferencePlan) -> list[str]:
    """Return what limits the attack as a whole."""
    notes = []
    size = int(references.keep[0].sum())
    if abs(size - planned.subject.size) > 0.05 * planned.subject.size:
        notes.append(f"a reference is trained on {size} samples and the subject on {planned.subject.size}: there are "
                     "not enough samples outside the subject's for more")
    if references.left_out:
        notes.append(f"{references.left_out} samples of classes with an odd number are in no reference and are not "
                     "attacked")
    return notes


def _likeness(answers: _Answers, truth: Truth, results: list[StageResult]) -> dict[str, Any]:
    """Return accuracies of subject and references on members and others, and the share of the commonest class."""
    plain = answers.subject[0]
    sides = [accuracy(plain[side], truth.labels[side]).to_json() for side in (truth.members, ~truth.members)]
    return {"subject_accuracy": {"train": sides[0], "test": sides[1]},
            "commonest_class": float(np.bincount(truth.labels[truth.members]).max() / truth.members.sum()),
            "reference_accuracy": [{"train": result.metrics["train_accuracy"]["value"],
                                    "test": result.metrics["test_accuracy"]["value"]} for result in results]}
