"""Scoring reference attacks: stored logits to LiRA, RMIA and their figures with intervals, time and peak memory.

64 reference models and a target on 60,000 samples of ten classes; every reference is a target in its turn as well, and
thresholds are fixed on these. The logits are drawn, since scoring does not care where they come from: members have a
higher φ by a share of the samples' own. There is no peer; the bounds are 20 s and 4 GiB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import _pairs
from mindleak.attacks.membership.reference_attack import RmiaSettings, reference_attacks
from mindleak.attacks.membership.reference_report import Truth, figures, several_targets
from mindleak.attacks.membership.scores import AttackScores
from mindleak.attacks.membership.signals import ModelSignals, model_signals, stacked
from mindleak.data.splits import halves

CLASSES = 10
ATTACKS = ("lira_online", "lira_offline", "rmia_online", "rmia_offline")
SEED = 0
PREPARATION = "logits to signals, not counted"
# Of real trainings: the mean shift of φ by membership, and the spread of φ within and between samples (nats).
SHIFT, WITHIN, BETWEEN = 0.8, 1.5, 3.0


class Population:
    """Samples with a difficulty of their own, and models that answer for them."""

    def __init__(self, samples: int, population: int) -> None:
        self._generator = np.random.default_rng(SEED)
        self.labels, self.labels_z = (np.arange(count) % CLASSES for count in (samples, population))
        self._difficulty = self._generator.normal(4.0, BETWEEN, samples + population)

    def logits(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a model's logits on samples and population, float32, given which samples it was trained on."""
        labels = np.concatenate([self.labels, self.labels_z])
        count = len(labels)
        answers = self._generator.normal(0.0, 1.0, (count, CLASSES))
        seen = np.zeros(count)
        seen[:len(members)] = members
        wanted = self._difficulty + SHIFT * seen + self._generator.normal(0.0, WITHIN, count)
        answers[np.arange(count), labels] = -np.inf
        rest = np.log(np.exp(answers).sum(axis=1))
        answers[np.arange(count), labels] = rest + wanted
        answers = answers.astype(np.float32)
        return answers[:len(members)], answers[len(members):]


class Clock:
    """Seconds by part: on the wall, and of the processor, which neighbours on the machine do not lengthen as much."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun, busy = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - begun
        self.processor[name] = self.processor.get(name, 0.0) + time.process_time() - busy


def peak_gib() -> float:
    """Return the largest resident size so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def one_round(models: int, samples: int, population: int) -> tuple[Clock, dict[str, float]]:
    """Return seconds by part, and the AUC by attack, of one scoring from logits to figures."""
    world = Population(samples, population)
    kept, keep = halves(world.labels, np.arange(samples), models, SEED)
    assert len(kept) == samples
    members = np.arange(samples) // CLASSES % 2 == 0
    clock = Clock()

    def signals_of(inside: np.ndarray) -> ModelSignals:
        logits, logits_z = world.logits(inside)
        with clock.part(PREPARATION):
            return model_signals(logits, world.labels, logits_z, world.labels_z)

    references, target = stacked([signals_of(row) for row in keep], keep), signals_of(members)
    truth = Truth(members, keep, world.labels)
    with clock.part("signals to scores"):
        scores = {attack.name: attack.attack(target, references)
                  for attack in reference_attacks(ATTACKS, RmiaSettings())}
        scores["phi"] = AttackScores(target.phi[:, 0], references.phi[:, :, 0])
    with clock.part("scores to figures with intervals"):
        found = {name: figures(each, truth, SEED) for name, each in scores.items()}
        for each in scores.values():
            several_targets(each, truth)
    return clock, {name: each["overall"]["auc"]["value"] for name, each in found.items()}


def main() -> None:
    """Score once or several times and print time and memory."""
    arguments = _pairs.standard_parser(__doc__).parse_args()
    models, samples, population = (8, 400, 100) if arguments.toy else (64, 60_000, 5_000)
    rounds = 1 if arguments.toy or arguments.quick else 3
    done = [one_round(models, samples, population) for _ in range(rounds)]
    totals = [sum(clock.wall.values()) - clock.wall[PREPARATION] for clock, _ in done]
    clock, areas = done[int(np.argsort(totals)[rounds // 2])]
    record = _pairs.compare(f"scoring/{models}x{samples}", totals, (), "s", peak_gib=round(peak_gib(), 2),
                            wall=clock.wall, processor=clock.processor, auc=areas, seed=SEED)
    _pairs.show(record)
    for name, seconds in clock.wall.items():
        print(f"    {name}: {seconds:.2f} s on the wall, {clock.processor[name]:.2f} s of processor")
    print(f"    peak memory: {record['peak_gib']:.2f} GiB")
    _pairs.finish([record])


if __name__ == "__main__":
    main()
