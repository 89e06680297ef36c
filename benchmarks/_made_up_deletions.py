"""Audits of deletions with made-up answers, whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindleak.audits.deletion.answers import Answers
from mindleak.audits.deletion.design import Design
from mindleak.audits.deletion.figures import gaps, measured, summarised
from mindleak.data.splits import halves
from mindleak.evaluation.intervals import mean_metric

CLASSES, POOL, SHOWN = 2, 200, 100
LABELS = np.tile([0, 1], 500).astype(np.int32)


def make_design(models: int = 8, seed: int = 0) -> Design:
    pool, keep = halves(LABELS, np.arange(POOL), models, seed)
    return Design(np.arange(POOL, 1000), pool, keep, np.arange(POOL, POOL + SHOWN))


def answers(design: Design, remembered: float, generator: np.random.Generator, hard: np.ndarray) -> Answers:
    """Networks whose φ is each sample's own difficulty, noise, and so much more for samples of their half."""
    models = len(design.keep)
    signal = hard + generator.normal(size=(models, len(design.pool))) + remembered * design.keep
    shown = 1 + generator.normal(size=(models, len(design.shown)))

    def logits(phi: np.ndarray, rows: np.ndarray) -> np.ndarray:
        # Of two classes φ is the difference of the two logits.
        return np.where(np.arange(CLASSES) == LABELS[rows][:, None], phi[..., None], 0.0)

    return Answers(logits(signal, design.pool), logits(shown, design.shown), np.full(models, .9), 1000.0, 1.0)


def entry(method: str, values: Any, full: Any, margin: float) -> dict[str, Any]:
    return {"method": method, "measures": summarised(values), "sample_epochs": 1000.0, "seconds": 1.0,
            "relearning": relearning(method),
            "gaps": {} if method == "full" else gaps(values, full, margin)}


def relearning(method: str, sooner: float = 0.0) -> dict[str, Any] | None:
    """Relearning times of eight networks, of which deleted samples come back sooner by so many doublings."""
    if method == "before":
        return None
    steps = {"value": 10.0, "n": 8, "ci": [8.0, 12.0], "ci_level": .95}
    return {"steps": steps, "control": steps, "passes": 20, "unreached": 0,
            "faster": mean_metric(sooner + np.linspace(-.1, .1, 8), null=0.0).to_json()}


def audit(left: dict[str, float], remembered: float = 3.0, seed: int = 0, models: int = 8,
          margin: float = .05) -> dict[str, Any]:
    """The result of a made-up audit: what each method leaves of what was remembered."""
    generator, design = np.random.default_rng(seed), make_design(models, seed)
    hard = 2 * generator.normal(size=len(design.pool))
    before = answers(design, remembered, generator, hard)
    known = {"before": remembered, "full": 0.0, "never": 0.0,
             **({"sharded_before": remembered / 2} if "sharded" in left else {}), **left}
    return judged({name: before if name == "before" else answers(design, level, generator, hard)
                   for name, level in known.items()}, design, LABELS, margin)


def judged(answered: dict[str, Answers], design: Design, labels: np.ndarray, margin: float = .05) -> dict[str, Any]:
    """The result of an audit whose networks answer so; relearning times are made up."""
    values = {name: measured(given, None if name.endswith("before") else answered["before"], design, labels)[0]
              for name, given in answered.items()}
    half = len(design.pool) // 2
    return {"subject": "net", "request": "0.1", "models": len(design.keep), "members": len(design.retained) + half,
            "forgotten": half, "never_seen": half, "shown": len(design.shown), "margin": margin, "validation_models": 0,
            "sharding": {"shards": 1, "slices": 1, "aggregate": "mean"},
            "methods": [entry(name, found, values["full"], margin) for name, found in values.items()]}
