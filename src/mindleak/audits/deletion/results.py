"""The results of a deletion audit, as plain values for the record."""

from __future__ import annotations

from typing import Any

from mindleak.audits.deletion.figures import NetworkValues, gaps, measured, summarised
from mindleak.audits.deletion.plan import BEFORE, FULL, NEVER, SHARDED, DeletionPlan
from mindleak.audits.deletion.stages import SHARDED_BEFORE, Answers, DeletionStages


def deletion_result(planned: DeletionPlan) -> dict[str, Any]:
    """Return what one request has shown, by every method, beside the networks before it and those that never saw."""
    stages, design, labels = DeletionStages(planned), planned.design, planned.plan.dataset.y_train
    methods = [BEFORE, FULL, NEVER, *(name for name in planned.methods if name != FULL)]
    before = stages.answers(BEFORE)
    sharded_before = stages.answers(SHARDED_BEFORE) if SHARDED in planned.methods else before
    answers: dict[str, Answers] = {}
    values: dict[str, NetworkValues] = {}
    for name in methods:
        answers[name] = stages.answers(name)
        earlier = {BEFORE: None, SHARDED: sharded_before}.get(name, before)
        values[name] = measured(answers[name], earlier, design, labels)
    traps = {name: method.traps for name, method in planned.approximate().items()}
    return {"subject": planned.plan.name, "request": design.fraction, "models": len(design.keep),
            "members": len(design.retained) + int(design.keep[0].sum()), "forgotten": int(design.keep[0].sum()),
            "never_seen": int((~design.keep[0]).sum()), "shown": len(design.shown), "margin": planned.margin,
            "sharding": {key: planned.plan.config.deletion[key] for key in ("shards", "slices", "aggregate")},
            "methods": [{"method": name, "measures": summarised(values[name]),
                         "gaps": {} if name == FULL else gaps(values[name], values[FULL], planned.margin),
                         "sample_epochs": answers[name].sample_epochs, "seconds": answers[name].seconds,
                         **({"settings": planned.approximate()[name].settings(), "traps": traps[name]}
                            if name in traps else {})} for name in methods]}
