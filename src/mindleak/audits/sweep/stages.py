"""The sweep: many variants of how a network is made, all measured alike, and what follows from their differences.

What varies is a defence (``sweep.question: defence``, does it protect?) or the subject itself (``subject``: its size,
its data, its training; what makes a network leak?). What is measured beside accuracy, the other families say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mindleak.audits.families import families
from mindleak.audits.family import Plan
from mindleak.audits.gauge import Gauge, Measure, NetworkFigures
from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import comparisons, summarise
from mindleak.audits.sweep.subject_findings import subject_findings
from mindleak.audits.sweep.variants import planned_variants
from mindleak.data.dataset import Dataset
from mindleak.errors import InputError, nearest
from mindleak.subjects.asked import Task
from mindleak.subjects.session import Session
from mindleak.subjects.task import TrainingTask
from mindleak.subjects.variant import Variant

FINDINGS = {"defence": defence_findings, "subject": subject_findings}


class AccuracyGauge(Gauge):
    """What every variant is held against: how well its networks do, and how many weights they have at zero."""

    def measured(self, variant: Variant, backwards: bool = False) -> list[NetworkFigures]:
        """Return what the trainings recorded."""
        return [NetworkFigures(_accuracies(task.run().metrics)) for task in variant.tasks]

    def measure(self, name: str) -> Measure:
        """Return how an accuracy, the gap, or a share of zeros reads."""
        return {"accuracy": Measure("Test accuracy"), "train_accuracy": Measure("Training accuracy"),
                "gap": Measure("Generalisation gap", lowest=-1.0), "sparsity": Measure("Weights at zero")}[name]


def _accuracies(trained: Mapping[str, Any]) -> dict[str, float]:
    seen, unseen = (trained[f"{side}_accuracy"]["value"] for side in ("train", "test"))
    zeros = {"sparsity": trained["sparsity"]["overall"]} if trained["sparsity"] else {}
    return {"accuracy": unseen, "train_accuracy": seen, "gap": seen - unseen, **zeros}


class SweepPlan(Plan):
    """All variants of one configuration, what is measured of them, and the record of it for the report."""

    subject = None

    def __init__(self, session: Session) -> None:
        self._settings = session.config.sweep
        if self._settings.question not in FINDINGS:
            raise InputError(f"sweep.question '{self._settings.question}' is unknown"
                             + nearest(self._settings.question, FINDINGS))
        self.variants = planned_variants(session)
        offered = {name: family.gauge(self.variants) for name, family in families().items()}
        self.gauges: dict[str, Gauge] = {"training": AccuracyGauge(),
                                         **{name: gauge for name, gauge in offered.items() if gauge is not None}}

    @property
    def dataset(self) -> Dataset:
        """The data that all variants share."""
        return self.variants[0].dataset

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The data that all variants share."""
        return {"sweep": self.dataset}

    @property
    def tasks(self) -> list[Task]:
        """Everything that is to be trained."""
        beside = [task for gauge in self.gauges.values() for task in gauge.tasks]
        return [*beside, *(task for variant in self.variants for task in variant.tasks)]

    def assist(self) -> None:
        """Compute from the end what ``record`` computes from the beginning on another process, until they meet."""
        for variant in reversed(self.variants):
            for gauge in reversed(self.gauges.values()):
                gauge.measured(variant, backwards=True)

    def record(self) -> dict[str, Any]:
        """Return the sweep as JSON values; trains and attacks what is missing."""
        settings, measures, variants = self._settings, dict[str, Measure](), []
        for variant in self.variants:
            networks = self._measured(variant, measures)
            variants.append(_record(variant, networks, measures))
        # A network that allows no threshold lacks the rates there; a measure that no variant has is none.
        shown = {name: measure for name, measure in measures.items()
                 if any(name in variant["measures"] for variant in variants)}
        body = {"question": settings.question, "baseline": settings.baseline, "models": settings.models,
                "measures": {name: asdict(measure) for name, measure in shown.items()},
                "leaks": [name for name, measure in shown.items() if measure.leak], "variants": variants,
                "gauges": {name: gauge.record() for name, gauge in self.gauges.items()},
                "comparisons": comparisons(variants, settings.baseline, settings.pairs)}
        return {**body, "conclusions": FINDINGS[settings.question](body)}

    def _measured(self, variant: Variant, measures: dict[str, Measure]) -> list[NetworkFigures]:
        """Return all figures of a variant's networks; new measures are added to ``measures``."""
        by_gauge = []
        for gauge in self.gauges.values():
            networks = gauge.measured(variant)
            measures |= {name: gauge.measure(name) for network in networks for name in network.values}
            by_gauge.append(networks)
        return [NetworkFigures({name: value for part in parts for name, value in part.values.items()},
                               {name: value for part in parts for name, value in part.parts.items()})
                for parts in zip(*by_gauge)]


def _record(variant: Variant, networks: list[NetworkFigures], measures: Mapping[str, Measure]) -> dict[str, Any]:
    """Return one variant for the report: its settings, and every measure over its networks."""
    task = variant.tasks[0]
    metrics = task.run().metrics
    setting, short = _setting(task, metrics["privacy"])
    # A mean needs all networks.
    shared = [name for name in networks[0].values if all(name in network.values for network in networks)]
    parts = {name: [network.parts[name] for network in networks] for name in shared
             if all(name in network.parts for network in networks)}
    return {"name": variant.name, "n_train": int(variant.pool.keep[0].sum()), "pool": len(variant.pool.rows),
            "training": task.recipe.method, "setting": setting, "short": short,
            **({"split_misfit": metrics["split_misfit"]} if metrics.get("split_misfit") else {}),
            "recipe": task.recipe.as_dict(), "parameters": metrics["parameters"],
            "measures": summarise({name: [network.values[name] for network in networks] for name in shared}, parts,
                                  {name: measures[name].lowest for name in shared}),
            "seconds": sum(task.run().seconds for task in variant.tasks)}


def _setting(task: TrainingTask, privacy: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return what tells a variant from others of its kind, in words and as short as it goes."""
    settings, recipe = task.settings, task.recipe
    if recipe.method == "suppress":
        return f"{settings.sparse_end:g} of the weights to zero", f"{settings.sparse_end:g}"
    if recipe.method == "prune":
        return f"{settings.sparsity:g} of the weights pruned", f"{settings.sparsity:g}"
    if privacy is not None:
        epsilon = "infinite" if privacy["epsilon"] is None else f"{privacy['epsilon']:.3g}"
        return f"ε = {epsilon} at δ = {privacy['delta']:g}", f"ε {epsilon}"
    return (f"weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""), ""
