"""The sweep: many variants of how a network is made, all attacked alike, and what follows from their differences.

What varies is a defence (``sweep.question: defence``, does it protect?) or the subject itself (``subject``: its size,
its data, its training; what makes a network leak?). The judge of inverted images learns from rows outside all pools.
"""

from __future__ import annotations

from functools import cached_property, reduce
from typing import Any

import numpy as np

from mindleak import settings as configuration
from mindleak.audits.family import Plan
from mindleak.audits.inversion.plan import judge_task
from mindleak.audits.sweep.controls import controls
from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import comparisons, summarise
from mindleak.audits.sweep.subject_findings import subject_findings
from mindleak.audits.sweep.variants import Judge, NetworkFigures, Variant
from mindleak.data.dataset import Dataset
from mindleak.errors import InputError, nearest
from mindleak.models import registry
from mindleak.subjects.own import network_digest
from mindleak.subjects.session import Session
from mindleak.subjects.subject import SubjectPlan, sized
from mindleak.subjects.task import TrainingTask

LABELS = {"accuracy": "Test accuracy", "train_accuracy": "Training accuracy", "gap": "Generalisation gap",
          "sparsity": "Weights at zero"}
FINDINGS = {"defence": defence_findings, "subject": subject_findings}
LEAKS = ("confidence", "ssim", "auc", "excess@0.01")


class SweepPlan(Plan):
    """All variants of one configuration, their judge, and the record of them for the report."""

    subject = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.config.sweep
        if self._settings.question not in FINDINGS:
            raise InputError(f"sweep.question '{self._settings.question}' is unknown"
                             + nearest(self._settings.question, FINDINGS))
        self._variants = [Variant(_plan(session, name)) for name in self._settings.variants]
        for variant in self._variants:
            variant.check()

    @property
    def dataset(self) -> Dataset:
        """The data that all variants share."""
        return self._variants[0].plan.dataset

    @cached_property
    def judge(self) -> TrainingTask | None:
        """The training of the judge, on the rows outside every pool; None where nothing is inverted."""
        inverting = [variant for variant in self._variants if variant.inverts]
        if not inverting:
            return None
        pooled = reduce(np.union1d, [variant.pool.rows for variant in self._variants])
        left, needed = len(self.dataset.y_train) - len(pooled), self._session.config.judge.batch_size
        if left < needed:
            raise InputError(f"sweep.pool: {len(pooled)} of {len(self.dataset.y_train)} training images are in pools, "
                             f"which leave the judge {left}, less than its batch_size {needed}; take a smaller pool")
        return judge_task(inverting[0].plan, self.dataset.copies.train[pooled])

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The data that all variants share."""
        return {"sweep": self.dataset}

    @property
    def tasks(self) -> list[TrainingTask]:
        """Everything that is to be trained."""
        judges = [] if self.judge is None else [self.judge]
        return [*judges, *(task for variant in self._variants for task in variant.tasks)]

    def assist(self) -> None:
        """Compute from the end what ``record`` computes from the beginning on another process, until they meet."""
        judge = self._trained_judge()
        for variant in reversed(self._variants):
            variant.measures(judge, backwards=True)

    def record(self) -> dict[str, Any]:
        """Return the sweep as JSON values; trains and attacks what is missing."""
        judge, settings = self._trained_judge(), self._settings
        variants = [_record(variant, variant.measures(judge)) for variant in self._variants]
        names = list(dict.fromkeys(name for variant in variants for name in variant["measures"]))
        body = {"question": settings.question, "baseline": settings.baseline, "models": settings.models,
                "labels": {name: _label(name) for name in names},
                "leaks": [name for name in names if name.partition("/")[0] in LEAKS], "variants": variants,
                "inversion": None if judge is None else self._inversion(judge),
                "comparisons": comparisons(variants, settings.baseline, settings.pairs)}
        return {**body, "conclusions": FINDINGS[settings.question](body)}

    def _trained_judge(self) -> Judge | None:
        """Return the judge, training it where that has not been done."""
        if self.judge is None:
            return None
        network = self.judge.network(self.judge.run())
        return Judge(network, network_digest(network))

    def _inversion(self, judge: Judge) -> dict[str, Any]:
        """Return who judged inverted images, how many, and what images that no network gave away would score."""
        assert self.judge is not None
        return {"images": self._session.config.inversion.images, "judge": self.judge.plan.config.model.name,
                "judge_test_accuracy": self.judge.run().metrics["test_accuracy"], "controls": self._controls(judge)}

    def _controls(self, judge: Judge) -> dict[str, dict[str, float]]:
        """Return what images that no network gave away would score."""
        first = next(variant for variant in self._variants if variant.inverts)
        rows = first.pool.inverted(0, first.plan.config.inversion.images, self.dataset,
                                   self._session.seed("inversion"))
        return controls(self._session, self.dataset, rows, judge)


def _plan(session: Session, name: str) -> SubjectPlan:
    """Return the plan of one variant's networks."""
    own = configuration.for_variant(session.config, name)
    plan = SubjectPlan(session, name, sized(session, own, registry.CLASSIFIERS.get(own.model.name)))
    plan.place = "sweep.variants"
    return plan


def _record(variant: Variant, networks: list[NetworkFigures]) -> dict[str, Any]:
    """Return one variant for the report: its settings, and every measure over its networks."""
    task = variant.tasks[0]
    metrics = task.run().metrics
    setting, short = _setting(task, metrics["privacy"])
    # A network whose shadows allow no threshold lacks the rates there; a mean needs all networks.
    shared = [name for name in networks[0].values if all(name in network.values for network in networks)]
    parts = {name: [network.parts[name] for network in networks] for name in shared
             if all(name in network.parts for network in networks)}
    return {"name": variant.name, "n_train": int(variant.pool.keep[0].sum()), "pool": len(variant.pool.rows),
            "training": task.recipe.method, "setting": setting, "short": short,
            **({"split_misfit": metrics["split_misfit"]} if metrics.get("split_misfit") else {}),
            "recipe": task.recipe.as_dict(), "parameters": metrics["parameters"],
            "measures": summarise({name: [network.values[name] for network in networks] for name in shared}, parts),
            "seconds": sum(task.run().seconds for task in variant.tasks)}


def _setting(task: TrainingTask, privacy: dict[str, Any] | None) -> tuple[str, str]:
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


def _label(name: str) -> str:
    """Return the heading of a measure."""
    kind, _, of = name.partition("/")
    kind, _, rate = kind.partition("@")
    at = f"at {100 * float(rate):g} %" if rate else ""
    fixed = {"auc": f"Membership AUC, {of} attack", "tpr": f"TPR {at} FPR, {of} attack",
             "fpr": f"FPR realised {at}, {of} attack", "excess": f"TPR − FPR {at}, {of} attack",
             "confidence": f"Confidence, {of}", "ssim": f"SSIM, {of}",
             "silent": f"Inversions without features to follow, {of}",
             "gap_confidence": f"Confidence, {of}: members less non-members",
             "gap_ssim": f"SSIM, {of}: members less non-members"}
    return LABELS.get(name) or fixed[kind]
