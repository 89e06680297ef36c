"""The stages of the improved shadow attack and of its ablation, on one subject and the shadows of ``shadow``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mindleak.attacks.membership import report
from mindleak.attacks.membership.ablation import ablation_record
from mindleak.attacks.membership.improved import ImprovedAttack, ablation_variants
from mindleak.attacks.membership.names import IMPROVED
from mindleak.attacks.membership.shadow import ShadowAttackResult
from mindleak.audits.membership.improved_plan import ImprovedPlan
from mindleak.audits.membership.observations import Observer
from mindleak.audits.membership.plan import MembershipPlan
from mindleak.audits.membership.shadow_stage import membership_figures
from mindleak.evaluation.classification import accuracy
from mindleak.models import own_file
from mindleak.runs.stages import StageContext, StageResult


def improved_stage(planned: MembershipPlan) -> StageResult:
    """Attack the membership subject by the configured features and attack model."""
    plan, improved = planned.plan, _improved(planned)
    observer = Observer(planned)
    stages = observer.stages()
    seed = plan.session.seed("membership", "improved")

    def compute(context: StageContext) -> dict[str, Any]:
        result = _attack(planned, improved.features).attack(*observer.observed(stages))
        rows, members = planned.targets()
        context.save_arrays(rows=rows, members=members, scores=result.scores)
        logits, labels = stages[-1].arrays["logits"], plan.dataset.y_train[rows]
        figures = membership_figures(result, plan.dataset.class_names, [task.run().metrics for task in planned.shadows])
        return {**figures, "attack": IMPROVED, **_made_of(improved, result), "features": list(improved.features),
                "subject_accuracy": report.generalisation(
                    *(accuracy(logits[side], labels[side]) for side in (members, ~members)))}

    inputs = {**_inputs(planned, stages), "features": list(improved.features)}
    return plan.session.run.stage(f"improved-{plan.name}", __name__, inputs, seed, compute)


def ablation_stage(planned: MembershipPlan) -> StageResult:
    """Run the attack in all variants that the ablation asks for, on the same shadows and samples."""
    plan, improved = planned.plan, _improved(planned)
    observer = Observer(planned)
    stages = observer.stages()
    variants = ablation_variants(improved.ablation, improved.groups, improved.training)

    def compute(context: StageContext) -> dict[str, Any]:
        trainer = _attack(planned, improved.groups).prepared(*observer.observed(stages))
        results = {variant.name: trainer.run(variant) for variant in variants}
        rows, members = planned.targets()
        context.save_arrays(rows=rows, members=members,
                            scores=np.stack([results[variant.name].scores for variant in variants]))
        first = results[variants[0].name]
        n_in = int(first.members[first.attacked].sum())
        return {**ablation_record(variants, results), **_made_of(improved, first), "n_shadows": len(planned.shadows),
                "n_in": n_in, "n_out": int(first.attacked.sum()) - n_in}

    inputs = {**_inputs(planned, stages), "variants": [asdict(variant) for variant in variants]}
    return plan.session.run.stage(f"ablation-{plan.name}", __name__, inputs,
                                  plan.session.seed("membership", "improved"), compute)


def _improved(planned: MembershipPlan) -> ImprovedPlan:
    assert planned.improved is not None
    return planned.improved


def _attack(planned: MembershipPlan, groups: Sequence[str]) -> ImprovedAttack:
    """Return the attack by groups of features."""
    return ImprovedAttack(planned.plan.dataset.num_classes, groups, _improved(planned).training,
                          planned.plan.session.seed("membership", "improved"))


def _inputs(planned: MembershipPlan, stages: list[StageResult]) -> dict[str, Any]:
    """Return what both stages depend on."""
    return {"source": own_file.source(planned.plan.config.model.name),
            "observed": [stage.digest for stage in stages], "split": planned.split.digest,
            "training": asdict(_improved(planned).training), "classes": list(planned.plan.dataset.class_names)}


def _made_of(improved: ImprovedPlan, result: ShadowAttackResult) -> dict[str, Any]:
    """Return what the attack was made up of, and what limits it."""
    notes = list(improved.notes)
    if result.uncalibrated:
        notes.append(f"{result.uncalibrated} samples of shadows take no part: every other shadow was trained on them, "
                     "so none can calibrate them")
    return {"attack_model": improved.training.model, "one_per_class": improved.training.per_class,
            "layers": {"hidden": improved.penultimate, "activations": list(improved.further)}, "notes": notes}
