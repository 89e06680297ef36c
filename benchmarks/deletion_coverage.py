"""How often an audit of deletions gives a verdict where nothing is left, and where something is.

Simulated networks answer with Gaussian φ of known truth: samples of their half are remembered before the deletion; a
full retraining, and two methods that leave so much of what was remembered, are then judged by everything that the
report prints, Holm-corrected as there. Real networks, many small ones trained side by side on scikit-learn's digits,
are audited likewise: retrained ones, ones that never saw the samples, and ones from which nothing was removed. A
verdict "shown" may come from five questions, each held to 5 % in all methods together; they look at the same samples,
so that together they are false more rarely than five times as often. Nothing is timed and there is no peer: lines are
JSON, one a case.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from _made_up_deletions import audit, judged
from _processes import add_processes, outcomes_of
from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.design import Design
from mindleak.audits.deletion.findings import Asked, deletion_findings
from mindleak.audits.deletion.words import BEFORE, METHOD_NAMES, NEVER
from mindleak.audits.questions import Questions
from mindleak.data.splits import halves
from mindleak.evaluation.intervals import mean_metric
from sweep_coverage import side_by_side

MODELS = (6, 8, 16)
# By how much φ (nats) stays higher for deleted samples; of REMEMBERED before the deletion.
LEFT = (0.0, 0.3, 1.0, -0.3)
REMEMBERED = 3.0
METHODS = ("scrub", "fine_tune")
# Of the binary logarithm of relearning times' ratio, between networks.
RELEARNING = 0.3
# Rows of the digits: learnt by all networks, and the pool of which each learns one half; epochs until they overfit.
RETAINED, POOL, EPOCHS = 400, 200, 60
# Audits that one process does at a time.
SHARE = 25


def simulated(models: int, left: float, seed: int) -> dict[str, Any]:
    """Return the result of one audit."""
    found = audit(dict.fromkeys(METHODS, left), REMEMBERED, seed, models)
    generator = np.random.default_rng([seed, models])
    for entry in found["methods"]:
        if entry["relearning"]:
            entry["relearning"]["faster"] = mean_metric(generator.normal(0.0, RELEARNING, models), null=0.0).to_json()
    return found


def trained(models: int, seed: int, epochs: int = EPOCHS) -> dict[str, Any]:
    """Return the result of an audit of networks 64 → 32 → 10: retrained, or "unlearned" by doing nothing at all."""
    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
    rows = np.random.default_rng(seed).permutation(len(labels))
    pool, keep = halves(labels, rows[RETAINED:RETAINED + POOL], models, seed)
    design = Design(rows[:RETAINED], pool, keep, rows[:RETAINED // 4])
    learnt = np.zeros((models, len(labels)), bool)
    learnt[:, design.retained] = True
    before = learnt.copy()
    before[:, pool] = keep
    logits = {name: side_by_side(images, labels, known, 1, epochs, 3 * seed + number)[0]
              for number, (name, known) in enumerate({"before": before, "full": learnt, "never": learnt}.items())}
    unseen = np.setdiff1d(np.arange(len(labels)), [*design.retained, *pool])
    found = {name: Answers(each[:, pool], each[:, design.shown],
                           (each[:, unseen].argmax(2) == labels[unseen]).mean(axis=1), 1000.0, 1.0)
             for name, each in logits.items()}
    # Nothing was removed: the networks are those before the deletion.
    result = judged(found | dict.fromkeys(METHODS, found["before"]), design, labels)
    for entry in result["methods"]:
        entry["relearning"] = None
    return result


def counted(models: int, left: float | None, first: int, audits: int) -> Counter[str]:
    """Return in how many audits something was said, by what it is; of trained networks where ``left`` is None."""
    said: Counter[str] = Counter()
    for number in range(audits):
        result = trained(models, first + number) if left is None else simulated(models, left, first + number)
        entries = {("net", "0.1", entry["method"]): entry for entry in result["methods"]}
        asked = Asked.of(entries, Questions())
        said["found before"] += asked.chance.direction(("net", "0.1", BEFORE)) > 0
        # Where the control is flagged, no method is judged.
        verdicts = {name: next((each.verdict for each in deletion_findings([result], Questions())
                                if f": {METHOD_NAMES[name]}: " in each.text), None) for name in ("full", *METHODS)}
        shown = {name for name, verdict in verdicts.items() if verdict == "shown"}
        said["full retraining shown"] += "full" in shown
        said["methods shown"] += len(shown & set(METHODS))
        said["any shown"] += bool(shown)
        said["methods not shown"] += sum(verdicts[name] == "not shown" for name in METHODS)
        said["control flagged"] += any(family.direction(("net", "0.1", NEVER)) != 0
                                       for family in (asked.chance, asked.weak))
        for question in ("chance", "weak", "gap", "weak_gap", "again"):
            said[question] += any(getattr(asked, question).direction(("net", "0.1", name)) != 0
                                  for name in ("full", *METHODS))
    return said


def main() -> None:
    """Print one JSON line per number of networks and how much is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="as few as show that it runs")
    parser.add_argument("--audits", type=int, default=1000, help="per case (1000)")
    parser.add_argument("--digits", type=int, default=40, help="audits of networks trained on digits per case (40)")
    parser.add_argument("--models", type=int, nargs="+", default=list(MODELS), help="networks per audit")
    parser.add_argument("--left", type=float, nargs="*", default=list(LEFT), help="nats that the methods leave")
    add_processes(parser)
    asked = parser.parse_args()
    audits = {(models, left): 2 if asked.toy else asked.digits if left is None else asked.audits
              for models in asked.models for left in (*asked.left, None)}
    parts = [(*case, first, min(SHARE, count - first)) for case, count in audits.items()
             for first in range(0, count, SHARE)]
    found: dict[tuple[int, float | None], Counter[str]] = {case: Counter() for case, count in audits.items() if count}
    for (models, left, *_), said in zip(parts, outcomes_of(counted, parts, asked.processes)):
        found[models, left].update(said)
    for (models, left), said in found.items():
        count = audits[models, left]
        shares = {name: round(said[name] / count / (len(METHODS) if name.startswith("methods") else 1), 4)
                  for name in ("found before", "control flagged", "full retraining shown", "methods shown",
                               "methods not shown", "any shown", "chance", "weak", "gap", "weak_gap", "again")}
        print(json.dumps({"name": "deletion_coverage", "networks": "digits" if left is None else "simulated",
                          "models": models, "left": left, "audits": count, **shares}), flush=True)


if __name__ == "__main__":
    main()
