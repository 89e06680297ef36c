"""How often an audit of deletions gives a verdict where nothing is left, and where something is.

Simulated networks answer with Gaussian φ of known truth: samples of their half are remembered before the deletion; a
full retraining, and two methods that leave so much of what was remembered, are then judged by everything that the
report prints, Holm-corrected as there. A verdict "shown" may come from five questions, each held to 5 % in all methods
together; they look at the same samples, so that together they are false more rarely than five times as often. Nothing
is timed and there is no peer: lines are JSON, one a case.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np

from _made_up_deletions import audit
from _processes import add_processes, outcomes_of
from mindleak.audits.deletion.findings import Asked, deletion_findings
from mindleak.audits.deletion.words import METHOD_NAMES, NEVER
from mindleak.audits.questions import Questions
from mindleak.evaluation.intervals import mean_metric

MODELS = (6, 8, 16)
# By how much φ (nats) stays higher for deleted samples; of REMEMBERED before the deletion.
LEFT = (0.0, 0.3, 1.0, -0.3)
REMEMBERED = 3.0
METHODS = ("scrub", "fine_tune")
# Of the binary logarithm of relearning times' ratio, between networks.
RELEARNING = 0.3
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


def counted(models: int, left: float, first: int, audits: int) -> Counter[str]:
    """Return in how many audits something was said, by what it is."""
    said: Counter[str] = Counter()
    for number in range(audits):
        result = simulated(models, left, first + number)
        entries = {("net", "0.1", entry["method"]): entry for entry in result["methods"]}
        asked = Asked.of(entries, Questions())
        verdicts = {name: next(each.verdict for each in deletion_findings([result], Questions())
                               if f": {METHOD_NAMES[name]}: " in each.text) for name in ("full", *METHODS)}
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
    parser.add_argument("--models", type=int, nargs="+", default=list(MODELS), help="networks per audit")
    parser.add_argument("--left", type=float, nargs="+", default=list(LEFT), help="nats that the methods leave")
    add_processes(parser)
    asked = parser.parse_args()
    audits = 2 if asked.toy else asked.audits
    cases = [(models, left) for models in asked.models for left in asked.left]
    parts = [(*case, first, min(SHARE, audits - first)) for case in cases for first in range(0, audits, SHARE)]
    found: dict[tuple[int, float], Counter[str]] = {case: Counter() for case in cases}
    for (models, left, *_), said in zip(parts, outcomes_of(counted, parts, asked.processes)):
        found[models, left].update(said)
    for (models, left), said in found.items():
        shares = {name: round(said[name] / audits / (len(METHODS) if name.startswith("methods") else 1), 4)
                  for name in ("control flagged", "full retraining shown", "methods shown", "methods not shown",
                               "any shown", "chance", "weak", "gap", "weak_gap", "again")}
        print(json.dumps({"name": "deletion_coverage", "models": models, "left": left, "audits": audits, **shares}),
              flush=True)


if __name__ == "__main__":
    main()
