"""The stage of the shadow attack: what it makes of a membership subject, and the figures that a report shows of it."""

from __future__ import annotations

from typing import Any

from mindleak.attacks.membership import report
from mindleak.attacks.membership.shadow import Answers, ShadowAttackResult
from mindleak.audits.membership.answers import answers_of
from mindleak.audits.membership.plan import MembershipPlan
from mindleak.data.dataset import TRAINING
from mindleak.evaluation.classification import accuracy
from mindleak.evaluation.metric import Metric
from mindleak.models import own_file
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext, StageResult


def membership_stage(planned: MembershipPlan) -> StageResult:
    """Attack the membership subject with its shadows' answers."""
    plan = planned.plan
    shadows = [(task, task.run()) for task in planned.shadows]
    answers = planned.subject.answering
    inputs = {"attack": "shadow", "source": own_file.source(plan.config.model.name),
              "subject": answers.digest,
              "shadows": [[result.key, stable_hash(result.arrays["logits"])] for _, result in shadows],
              "split": planned.split.digest, "training": dict(plan.config.membership.attack)}
    seed = plan.session.seed("membership")

    def compute(context: StageContext) -> dict[str, Any]:
        rows, members = planned.targets()
        logits = answers.logits(TRAINING, rows)
        subject = Answers(logits, plan.dataset.y_train[rows], members)
        result = planned.attack.attack([answers_of(task, found) for task, found in shadows], subject)
        context.save_arrays(rows=rows, scores=result.scores, members=members, logits=subject.logits)
        figures = membership_figures(result, plan.dataset.class_names, [found.metrics for _, found in shadows])
        return {**figures, "subject_accuracy": report.generalisation(
            *(accuracy(subject.logits[side], subject.labels[side]) for side in (members, ~members)))}

    return plan.session.run.stage(f"membership-{plan.name}", __name__, inputs, seed, compute)


def membership_figures(result: ShadowAttackResult, class_names: tuple[str, ...],
                       shadows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return everything a report says of one membership attack, as JSON values."""
    chosen = result.attacked
    scores, members, predicted = result.scores[chosen], result.members[chosen], result.predicted[chosen]
    n_in, kept = int(members.sum()), result.threshold_shadow
    return {"attack": "shadow", "n_shadows": len(shadows), "n_in": n_in, "n_out": len(members) - n_in,
            "overall": report.figures(scores, members, predicted, kept.non_members()),
            "per_class": report.per_class(scores, members, predicted, result.labels[chosen], class_names,
                                          kept.non_members),
            "thresholds": report.thresholds(kept.non_members(), kept.stopped_too),
            "skipped_classes": {class_names[label]: reason for label, reason in result.skipped.items()},
            "attack_rows": {class_names[label]: rows for label, rows in result.attack_rows.items()},
            "shadow_accuracy": [report.generalisation(*(Metric.from_json(shadow[side])
                                                        for side in ("train_accuracy", "test_accuracy")))
                                for shadow in shadows],
            "detectable": report.detectable(n_in, len(members) - n_in, n_threshold=len(kept.non_members())),
            "roc": report.roc(scores, members)}
