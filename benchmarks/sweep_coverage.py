"""How often a sweep's intervals of LiRA among siblings hold, where the truth is known.

Families of networks that differ in their seeds only: every difference between two of them is chance. Simulated families
answer with Gaussian φ; real ones are many small networks trained side by side on halves of scikit-learn's digits. A
family's mean AUC is compared with that of others (false alarms, nominal 5 %) and, where samples and halves are drawn
anew for every family, with the mean over all families (coverage, nominal 95 %). Student's t over the networks, which
takes them for independent, stands beside it. Nothing is timed and there is no peer: lines are JSON, one a case.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.datasets import load_digits

from _processes import add_processes, outcomes_of
from mindleak.attacks.membership.siblings import TILT, SiblingLira
from mindleak.data.splits import halves
from mindleak.evaluation.intervals import mean_metric
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.shared_references import mean_over_siblings, reference_parts
from mindleak.evaluation.signals import phi as logit_scaled_confidence

MODELS = (6, 8, 10)
# What φ (nats) is made of: a sample's own spread between samples, noise within it, the mean shift of members, and how
# much networks differ as a whole, in that shift and in level.
KINDS = {"no leak": (0.0, 0.0, 0.0), "leak": (0.5, 0.0, 0.0), "networks that differ": (0.5, 0.2, 1.0)}
BETWEEN = 5.0


@dataclass(frozen=True)
class Family:
    """One variant's networks: their AUCs, and what each makes of each one's."""

    areas: NDArray[np.float64]
    parts: NDArray[np.float64]


def measured(phi: NDArray[np.float64], keep: NDArray[np.bool_]) -> Family:
    """Attack every network of a family by LiRA online; ``phi`` (models, samples), ``keep`` likewise."""
    models = len(phi)
    parts, areas = np.full((models, models), np.nan), np.empty(models)
    for target in range(models):
        lira = SiblingLira(phi[:, :, None], keep, target)

        def area(sibling: int, weight: float, lira: SiblingLira = lira, target: int = target) -> float:
            weights = np.where(np.arange(models) == sibling, weight, 1.0)
            ranks = stats.rankdata(lira.target_scores(weights).online)[keep[target]]
            n_in, n_out = len(ranks), keep.shape[1] - len(ranks)
            return float((ranks.mean() - (n_in + 1) / 2) / n_out)

        siblings = [number for number in range(models) if number != target]
        areas[target] = area(target, 1.0)
        slopes = [(area(number, 1 + TILT) - area(number, 1 - TILT)) / (2 * TILT) for number in siblings]
        parts[target, siblings] = reference_parts(areas[target], slopes)
    return Family(areas, parts)


def simulated(kind: str, models: int, families: int, samples: int, seed: int, dealt_anew: bool) -> Iterator[Family]:
    """Yield families of Gaussian φ of one kind; without ``dealt_anew`` all have the same samples and halves."""
    shift, shift_spread, level_spread = KINDS[kind]
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(0.0, BETWEEN, samples)
    for number in range(families):
        deal = number if dealt_anew else 0
        keep = halves(np.zeros(samples, int), np.arange(samples), models, deal)[1]
        if dealt_anew:
            difficulty = generator.normal(0.0, BETWEEN, samples)
        shifts, levels = generator.normal(0, 1, (2, models, 1))
        noise = generator.normal(size=keep.shape)
        yield measured(difficulty + noise + keep * (shift + shift_spread * shifts) + level_spread * levels, keep)


def digits(models: int, families: int, epochs: int, seed: int) -> Iterator[Family]:
    """Yield families of networks 64 → 32 → 10 trained by Adam on the same halves of 1,200 digits."""
    images, labels = load_digits(return_X_y=True)
    rows, keep = halves(labels, np.arange(1200), models, 0)
    images, labels = (images[rows] / 16).astype(np.float32), labels[rows]
    for logits in side_by_side(images, labels, keep, families, epochs, seed):
        yield measured(np.stack([logit_scaled_confidence(each, labels) for each in logits]), keep)


def side_by_side(images: NDArray[np.float32], labels: NDArray[np.int64], keep: NDArray[np.bool_], families: int,
                 epochs: int, seed: int, hidden: int = 32, batch: int = 30) -> NDArray[np.float32]:
    """Train all families' networks at once, each on its half; return logits (families, models, samples, classes)."""
    generator = np.random.default_rng(seed)
    own = np.tile(np.stack([np.flatnonzero(kept) for kept in keep]), (families, 1))
    networks, classes = len(own), int(labels.max()) + 1
    truth = np.eye(classes, dtype=np.float32)[labels]
    sizes = [(images.shape[1], hidden), (1, hidden), (hidden, classes), (1, classes)]
    scales = [np.sqrt(2 / images.shape[1]), 0.0, np.sqrt(2 / hidden), 0.0]
    weights = [(scale * generator.normal(size=(networks, *size))).astype(np.float32)
               for scale, size in zip(scales, sizes)]
    first, second = ([np.zeros_like(each) for each in weights] for _ in range(2))
    steps = 0
    for _ in range(epochs):
        order = np.argsort(generator.random(own.shape), axis=1)
        for start in range(0, own.shape[1] - batch + 1, batch):
            chosen = np.take_along_axis(own, order[:, start:start + batch], axis=1)
            steps += 1
            for weight, gradient, mean, square in zip(weights, _gradients(weights, images[chosen], truth[chosen]),
                                                      first, second):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient**2 - square)
                weight -= (0.003 * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)) * mean / (np.sqrt(square) + 1e-7)
    logits = [np.maximum(images @ a + b, 0) @ c + d for a, b, c, d in zip(*weights)]
    return np.stack(logits).reshape(families, len(keep), len(images), classes)


def _gradients(weights: list[NDArray[np.float32]], images: NDArray[np.float32],
               truth: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the gradients of the mean cross-entropy, network by network."""
    before = images @ weights[0] + weights[1]
    active = np.maximum(before, 0)
    logits = active @ weights[2] + weights[3]
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    error = (shares / shares.sum(axis=2, keepdims=True) - truth) / images.shape[1]
    inner = (error @ weights[2].transpose(0, 2, 1)) * (before > 0)
    return [images.transpose(0, 2, 1) @ inner, inner.sum(axis=1, keepdims=True),
            active.transpose(0, 2, 1) @ error, error.sum(axis=1, keepdims=True)]


def false_alarms(families: list[Family]) -> tuple[float, float, int]:
    """Return how often two families are told apart by our interval and by Student's, and of how many pairs.

    Each is compared with the three that follow it: more pairs of the same families would add little.
    """
    pairs = [(one, families[(number + step) % len(families)])
             for number, one in enumerate(families) for step in (1, 2, 3)]
    ours = [mean_over_siblings(a.areas - b.areas, a.parts - b.parts) for a, b in pairs]
    return _excluding(ours, 0.0), _excluding([mean_metric(a.areas - b.areas) for a, b in pairs], 0.0), len(pairs)


def covered(families: list[Family]) -> tuple[float, float]:
    """Return how often the intervals of a family's mean hold the mean over all families."""
    truth = float(np.mean([family.areas.mean() for family in families]))
    return (1 - _excluding([mean_over_siblings(family.areas, family.parts) for family in families], truth),
            1 - _excluding([mean_metric(family.areas) for family in families], truth))


def _excluding(found: list[Metric], value: float) -> float:
    return float(np.mean([metric.ci is not None and not metric.ci[0] <= value <= metric.ci[1] for metric in found]))


def record(networks: str, models: int, families: int, seed: int, epochs: int) -> dict[str, str | int | float]:
    """Simulate or train one case; return its line. The mean's truth is known where halves are drawn anew."""
    kind, anew = networks.removeprefix("simulated, ").split(", ")[0], networks.endswith("of their own")
    if kind in KINDS:
        return _record(networks, models, list(simulated(kind, models, families, 400, seed, anew)), anew)
    return _record(networks, models, list(digits(models, families, epochs, seed)), coverage=False)


def _record(networks: str, models: int, families: list[Family], coverage: bool) -> dict[str, str | int | float]:
    ours, students, pairs = false_alarms(families)
    line: dict[str, str | int | float] = {
        "name": "sweep_coverage", "networks": networks, "models": models, "families": len(families), "pairs": pairs,
        "mean_auc": round(float(np.mean([family.areas.mean() for family in families])), 4),
        "false_alarms": round(ours, 4), "false_alarms_student": round(students, 4)}
    if coverage:
        line |= dict(zip(("coverage", "coverage_student"), (round(share, 4) for share in covered(families))))
    return line


def main() -> None:
    """Print one JSON line per kind of network and size of family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 simulated families and 10 trained ones")
    parser.add_argument("--toy", action="store_true", help="as few as show that it runs")
    parser.add_argument("--families", type=int, default=1000, help="simulated families per case (1000)")
    parser.add_argument("--digits", type=int, default=40, help="families trained on digits per case (40)")
    parser.add_argument("--models", type=int, nargs="+", default=list(MODELS), help="networks per family")
    parser.add_argument("--seed", type=int, default=0)
    add_processes(parser)
    asked = parser.parse_args()
    count, trained, epochs = asked.families, asked.digits, 60
    if asked.quick or asked.toy:
        count, trained, epochs = (50, 10, 60) if asked.quick else (4, 4, 1)
    names = [f"simulated, {kind}, {dealt}" for kind in KINDS for dealt in ("same halves", "halves of their own")]
    cases = [(name, models, count if name in names else trained, asked.seed, epochs)
             for models in asked.models for name in (*names, "digits, same halves")]
    for line in outcomes_of(record, cases, asked.processes):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
