"""A sweep of defences with made-up numbers."""

from __future__ import annotations

from typing import Any

from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import comparisons, summarise

LEAKS = ("confidence/fc1", "ssim/fc1", "auc/shadow", "auc/loss")
LABELS = {"accuracy": "Test accuracy", "sparsity": "Weights at zero", **{leak: leak for leak in LEAKS}}


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
    controls = {"mean_image": {"confidence": 0.1, "ssim": 0.2}, "original": {"confidence": 0.99, "ssim": 1.0}}
    body = {"question": question, "baseline": "ordinary", "models": 4, "labels": LABELS, "leaks": list(LEAKS),
            "variants": defences, "comparisons": comparisons(defences, "ordinary"),
            "inversion": {"images": 500, "judge": "lenet5", "controls": controls}}
    return {**body, "conclusions": defence_findings(body)}
