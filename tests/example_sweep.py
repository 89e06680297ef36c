"""A sweep of defences with made-up numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindleak.audits.gauge import Measure
from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import comparisons, summarise

LEAKS = ("confidence/fc1", "ssim/fc1", "auc/shadow", "auc/loss")
MEASURES = {"accuracy": Measure("Test accuracy"), "sparsity": Measure("Weights at zero"),
            "gap": Measure("Generalisation gap", table=None),
            **{leak: Measure(leak, leak=True, table="inversions", failures="silent/fc1") for leak in LEAKS[:2]},
            **{leak: Measure(leak, leak=True, table="membership on average") for leak in LEAKS[2:]}}


def written(measures: Mapping[str, Measure]) -> dict[str, Any]:
    """Measures as a record has them."""
    return {name: asdict(measure) for name, measure in measures.items()}


def defence(name: str, training: str, short: str, level: float) -> dict[str, Any]:
    values = {"accuracy": [.98 - level / 50 + .001 * k for k in range(4)],
              "gap": [.02 + level / 40 + .001 * k for k in range(4)]}
    values.update({leak: [.5 - level / 10 + .01 * ((k + place) % 4) for k in range(4)]
                   for place, leak in enumerate(LEAKS)})
    if training == "suppress":
        values["sparsity"] = [level] * 4
    return {"name": name, "training": training, "setting": f"setting of {name}", "short": short, "n_train": 10000,
            "pool": 20000, "measures": summarise(values)}


def make_sweep(question: str = "defence") -> dict[str, Any]:
    defences = [defence("ordinary", "ordinary", "ordinary", 0.0), defence("suppress-50", "suppress", "0.5", 0.5),
                defence("suppress-95", "suppress", "0.95", 0.95), defence("prune-95", "prune", "0.95", 0.9),
                defence("dp", "dp_sgd", "dp", 1.0)]
    body = {"question": question, "baseline": "ordinary", "models": 4, "measures": written(MEASURES),
            "leaks": list(LEAKS), "variants": defences, "comparisons": comparisons(defences, "ordinary"),
            "gauges": {"one": {"note": "This is how it was measured."}, "other": {}}}
    return {**body, "conclusions": defence_findings(body)}
