"""All stages of membership inference on one subject, and the results that the record of a run has of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mindleak.attacks.membership.names import SHADOW
from mindleak.audits.membership.improved_stages import ablation_stage, improved_stage
from mindleak.audits.membership.paired import compared
from mindleak.audits.membership.plan import MembershipPlan
from mindleak.audits.membership.reference_stage import reference_stage
from mindleak.audits.membership.results import ABLATION, REFERENCES, RNN_TUTORIAL, SHADOWS
from mindleak.audits.membership.rnn_tutorial import rnn_tutorial_stage
from mindleak.audits.membership.shadow_stage import membership_stage
from mindleak.runs.stages import StageResult


def membership_results(planned: MembershipPlan) -> list[dict[str, Any]]:
    """Return the results of every attack that was asked for; stages that are there are not computed again."""
    identifier, run_dir = planned.subject.identifier, planned.plan.session.run.run_dir
    results = []
    if SHADOW in planned.attacks:
        results.append(_by_shadows(identifier, membership_stage(planned), planned, run_dir))
    if planned.improved is not None:
        results.append(_by_shadows(identifier, improved_stage(planned), planned, run_dir))
        if planned.improved.ablation:
            results.append(_result(ABLATION, identifier, ablation_stage(planned), run_dir))
    if planned.references is not None:
        results.append(_result(REFERENCES, identifier, reference_stage(planned), run_dir))
    if planned.rnn_tutorial is not None:
        results.append(_rnn_tutorial(planned, results, run_dir))
    return results


def _result(kind: str, identifier: str, result: StageResult, run_dir: Path) -> dict[str, Any]:
    """Return a stage's metrics with where every sample's scores lie."""
    arrays = result.path.relative_to(run_dir) / "arrays.npz"
    return {"kind": kind, "subject": identifier, **result.metrics, "arrays": arrays.as_posix(),
            "seconds": result.seconds}


def _by_shadows(identifier: str, result: StageResult, planned: MembershipPlan, run_dir: Path) -> dict[str, Any]:
    """Return the result of an attack, with the recipe that its shadows were trained by."""
    shadow = planned.shadows[0].training
    return {**_result(SHADOWS, identifier, result, run_dir),
            "shadow_recipe": shadow.made_by()}


def _rnn_tutorial(planned: MembershipPlan, others: list[dict[str, Any]], run_dir: Path) -> dict[str, Any]:
    """Return the result of the RNN tutorial's attack, with where its data lie, beside others on the same samples."""
    assert planned.rnn_tutorial is not None
    stage = rnn_tutorial_stage(planned.plan, planned.split, planned.rnn_tutorial, planned.subject.answering,
                           planned.subject.size)
    folder = stage.path.relative_to(run_dir)
    saved = {name: (folder / f"{name}.npz").as_posix() for name in ("attack_train_data", "attack_test_data")}
    result = {**_result(RNN_TUTORIAL, planned.subject.identifier, stage, run_dir), "saved": saved}
    by_others = [each for each in others if each["kind"] != ABLATION]
    return {**result, "compared": compared(result, by_others, run_dir)}
