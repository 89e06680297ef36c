"""What is measured of one method's networks, as a stage: the figures, and beside them every sample's scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.figures import NetworkValues, measured
from mindleak.audits.deletion.plan import DeletionPlan
from mindleak.runs.digest import stable_hash
from mindleak.runs.stages import StageContext

ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class Measured:
    """The measures of one method.

    Attributes:
        values: of its networks.
        arrays: file of every sample's scores, relative to the run directory: ``rows`` of the training split, (P,),
            ``deleted`` (models, P), whether a network was asked to forget the sample or never saw it, and of shape
            (models, P) ``phi``, ``loss``, ``u_lira`` and, where there are networks before the deletion, ``two_models``.
    """

    values: NetworkValues
    arrays: str


def measured_stage(planned: DeletionPlan, called: str, answers: Answers, before: Answers | None) -> Measured:
    """Return what is measured of the networks of a method, called so; it is computed where it is not there.

    Args:
        planned: the request.
        called: the method.
        answers: after the deletion.
        before: of the same networks before it; None for these themselves.
    """
    data, design = planned.plan.dataset, planned.design
    inputs = {"answers": list(answers.digests), "before": [] if before is None else list(before.digests),
              "data": data.digest, "pool": stable_hash(design.pool), "keep": stable_hash(design.keep),
              "shown": stable_hash(design.shown), "comparable": design.comparable}

    def compute(context: StageContext) -> dict[str, Any]:
        found, scores = measured(answers, before, design, data.y_train)
        context.save_arrays(rows=design.pool, deleted=design.keep, **scores)
        return {"values": found.values, "parts": found.parts, "pairs": found.pairs}

    run = planned.plan.session.run
    result = run.stage(f"measured-{planned.name}-{called}", __name__, inputs, 0, compute)
    return Measured(NetworkValues(**result.metrics), (result.path.relative_to(run.run_dir) / ARRAYS).as_posix())
