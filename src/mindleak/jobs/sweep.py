"""The defence sweep: many ways to train one architecture, each on several halves of one pool, all judged alike.

Every defence trains ``sweep.models`` networks on the halves that ``data.splits.halves`` deals out of one pool of
training rows: the same rows and the same seeds for every defence, so defences are compared network by network. The
networks of a defence are each other's shadows, the attacked one left out (docs/methods.md, "Defence sweep"). The
judge of inverted images learns from rows outside the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindleak import config as configuration
from mindleak.attacks.inversion.quality import measure as measure_images
from mindleak.attacks.membership.class_models import AttackTraining
from mindleak.attacks.membership.shadow import Answers, ShadowAttack, require_enough
from mindleak.data.dataset import Dataset
from mindleak.data.splits import halves, split_roles
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc, tpr_at_fpr
from mindleak.evaluation.signals import loss
from mindleak.jobs.attacks import code_digest
from mindleak.jobs.inversion import inversion_attacks, judge_task
from mindleak.jobs.own_model import network_digest
from mindleak.jobs.session import Session
from mindleak.jobs.subjects import SubjectPlan, TrainingTask
from mindleak.jobs.sweep_findings import comparisons, summarise, sweep_findings
from mindleak.runs.digest import file_digest, stable_hash
from mindleak.runs.stages import StageContext, StageResult
from mindleak.training.loop import Predictor

# A sixth of the data is what a membership subject is trained on, so halves of a third are of that size.
POOL_SHARE = 3
SHADOW, LOSS = "shadow", "loss"
TARGET_FPR = 0.01
LABELS = {"accuracy": "Test accuracy", "train_accuracy": "Training accuracy", "sparsity": "Weights at zero"}


@dataclass(frozen=True)
class Pool:
    """The rows that all defences share: ``rows`` (N,), and ``keep`` bool (models, N), who is trained on which."""

    rows: np.ndarray
    keep: np.ndarray

    def inverted(self, model: int, images: int) -> np.ndarray:
        """Return the first ``images`` rows that a model is trained on, then as many that it is not."""
        kept = self.keep[model]
        return np.concatenate([self.rows[kept][:images], self.rows[~kept][:images]])


def make_pool(data: Dataset, size: int | None, models: int, seed: int) -> Pool:
    """Draw the pool from the training split, class by class, and deal its halves out.

    Raises:
        InputError: a pool that leaves the judge nothing, or a number of models that has no halves.
    """
    available = len(data.y_train)
    size = available // POOL_SHARE if size is None else size
    if not 2 <= size < available:
        raise InputError(f"sweep.pool is {size}; right is 2 to {available - 1}, since the judge learns from the rest")
    split = split_roles(data, {"pool": size}, seed)
    return Pool(*halves(data.y_train, split.indices["pool"], models, seed))


class Defence:
    """One way to train: its networks, and what each of them gives away."""

    def __init__(self, plan: SubjectPlan, pool: Pool) -> None:
        self.plan = plan
        self.name = plan.name
        self._pool = pool

    @cached_property
    def tasks(self) -> list[TrainingTask]:
        """The trainings, one per model; equal rows and seeds in every defence."""
        recipe = self.plan.recipe()
        settings = self.plan.settings(recipe)
        return [TrainingTask(self.plan, f"model{number}", recipe, settings, self._pool.rows[kept])
                for number, kept in enumerate(self._pool.keep)]

    def check(self) -> None:
        """Raise InputError for an attack that cannot work, before anything is trained."""
        images, smallest = self.plan.config.inversion.images, int(self._pool.keep.sum(axis=1).min())
        if not 1 <= images <= smallest:
            raise InputError(f"inversion.images is {images}; a network of the sweep has {smallest} members, so right "
                             f"is 1 to {smallest}")
        inversion_attacks(self.plan, self.plan.untrained)
        labels = self.plan.dataset.y_train[self._pool.rows]
        require_enough([(labels[kept], labels[~kept]) for kept in self._pool.keep[1:]], self.plan.dataset.num_classes)

    def measures(self, judge: nn.Cell, judge_digest: str, backwards: bool = False) -> list[dict[str, float]]:
        """Return, per network, every measure by name; stages that are there already are not computed again."""
        numbers = range(len(self.tasks))
        order = reversed(numbers) if backwards else numbers
        found = {number: self._evaluation(number, judge, judge_digest) for number in order}
        evaluated = [found[number] for number in numbers]
        attacked = [self._membership(number, evaluated) for number in range(len(self.tasks))]
        trained = [task.run().metrics for task in self.tasks]
        return [_flat(*metrics) for metrics in zip(trained, (e.metrics for e in evaluated),
                                                   (a.metrics for a in attacked))]

    def _evaluation(self, number: int, judge: nn.Cell, judge_digest: str) -> StageResult:
        """Return a network's logits on the pool, and how its inverted images look to the judge."""
        task, plan = self.tasks[number], self.plan
        network = task.network(task.run())
        attacks = inversion_attacks(plan, network)
        rows = self._pool.inverted(number, plan.config.inversion.images)
        inputs = {"code": code_digest(plan, "sweep.py"), "network": network_digest(network),
                  "judge": judge_digest, "data": plan.dataset.digest, "pool": stable_hash(self._pool.rows),
                  "inverted": stable_hash(rows), "attacks": [attack.settings() for attack in attacks]}

        def compute(context: StageContext) -> dict[str, Any]:
            logits = Predictor(network)(plan.dataset.x_train[self._pool.rows])
            found = {attack.layer: _invert(attack, network, plan.dataset, rows, judge) for attack in attacks}
            arrays = {f"{layer}_{name}": values for layer, (per_image, _) in found.items()
                      for name, values in per_image.items()}
            context.save_arrays(logits=logits, rows=rows, **arrays)
            return {"inversion": {layer: figures for layer, (_, figures) in found.items()}}

        return plan.session.run.stage(f"sweep-{self.name}-model{number}", "attacks", inputs, task.seed, compute)

    def _membership(self, number: int, evaluated: Sequence[StageResult]) -> StageResult:
        """Return the membership attacks against one network, the others of its defence being the shadows."""
        plan, keep = self.plan, self._pool.keep
        seed = plan.session.seed("membership")
        settings = dict(plan.config.membership.attack)
        inputs = {"code": code_digest(plan, "sweep.py"), "target": number,
                  "logits": [stable_hash(result.arrays["logits"]) for result in evaluated],
                  "keep": stable_hash(keep), "training": settings}

        def compute(context: StageContext) -> dict[str, Any]:
            labels = plan.dataset.y_train[self._pool.rows]
            answers = [Answers(result.arrays["logits"], labels, kept) for result, kept in zip(evaluated, keep)]
            target = answers.pop(number)
            attack = ShadowAttack(plan.dataset.num_classes, AttackTraining(**settings), seed)
            found = attack.run(answers, target)
            scores = {SHADOW: (found.scores[found.attacked], target.members[found.attacked]),
                      LOSS: (-loss(target.logits, labels), target.members)}
            context.save_arrays(**{name: values for name, (values, _) in scores.items()})
            return {"membership": {name: {"auc": auc(*pair).to_json(),
                                          "tpr@0.01": tpr_at_fpr(*pair, TARGET_FPR).to_json()}
                                   for name, pair in scores.items()}}

        return plan.session.run.stage(f"sweep-{self.name}-membership{number}", "attacks", inputs, seed, compute)


def _invert(attack: Any, network: nn.Cell, data: Dataset, rows: np.ndarray,
            judge: nn.Cell) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Invert ``rows``, members in the first half; return the values per image, and the means of either half."""
    images, labels = data.x_train[rows], data.y_train[rows]
    result = attack.attack(network, images)
    values = measure_images(images, result.inversions, labels, Predictor(judge), result.feature_mse).values
    half = len(rows) // 2
    return values, {name: {"members": float(value[:half].mean()), "non_members": float(value[half:].mean())}
                    for name, value in values.items()}


class DefenceSweep:
    """All defences of one configuration, their judge, and the record of them for the report."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.config.sweep
        plans = [SubjectPlan(session, name, configuration.for_defence(session.config, name))
                 for name in self._settings.defences]
        self._pool = make_pool(plans[0].dataset, self._settings.pool, self._settings.models, session.seed("sweep"))
        self._defences = [Defence(plan, self._pool) for plan in plans]

    @property
    def dataset(self) -> Dataset:
        """The data that all defences share."""
        return self._defences[0].plan.dataset

    @cached_property
    def judge(self) -> TrainingTask:
        """The training of the judge, on the rows outside the pool."""
        return judge_task(self._defences[0].plan, self._pool.rows)

    def tasks(self) -> list[TrainingTask]:
        """Return everything that is to be trained, after checking what can be known to fail."""
        for defence in self._defences:
            defence.check()
        return [self.judge, *(task for defence in self._defences for task in defence.tasks)]

    def assist(self) -> None:
        """Compute from the end what ``record`` computes from the beginning on another process, until they meet."""
        judge = self.judge.network(self.judge.run())
        for defence in reversed(self._defences):
            defence.measures(judge, network_digest(judge), backwards=True)

    def record(self) -> dict[str, Any]:
        """Return the sweep as JSON values; trains and attacks what is missing."""
        judge = self.judge.network(self.judge.run())
        digest = network_digest(judge)
        measured = [defence.measures(judge, digest) for defence in self._defences]
        names = list(dict.fromkeys(name for values in measured for name in values[0]))
        defences = [_record(defence, values) for defence, values in zip(self._defences, measured)]
        leaks = [name for name in names if name.partition("/")[0] in ("confidence", "ssim", "auc")]
        body = {"baseline": self._settings.baseline, "models": self._settings.models, "pool": len(self._pool.rows),
                "n_train": int(self._pool.keep[0].sum()), "images": self._defences[0].plan.config.inversion.images,
                "judge": self._defences[0].plan.config.judge.model,
                "judge_test_accuracy": self.judge.run().metrics["test_accuracy"],
                "labels": {name: _label(name) for name in names}, "leaks": leaks, "defences": defences,
                "controls": self._controls(judge, digest),
                "comparisons": comparisons(defences, self._settings.baseline)}
        return {**body, "conclusions": sweep_findings(body)}

    def _controls(self, judge: nn.Cell, judge_digest: str) -> dict[str, dict[str, float]]:
        """Return what images that no network gave away would score: the mean image, and the originals."""
        rows = self._pool.inverted(0, self._defences[0].plan.config.inversion.images)
        inputs = {"code": file_digest(Path(__file__)), "judge": judge_digest, "data": self.dataset.digest,
                  "rows": stable_hash(rows)}

        def compute(context: StageContext) -> dict[str, Any]:
            images, labels = self.dataset.x_train[rows], self.dataset.y_train[rows]
            mean_image = self.dataset.x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
            shown = {"mean_image": np.broadcast_to(mean_image, images.shape), "original": images}
            return {name: {measure: float(values.mean()) for measure, values in
                           measure_images(images, offered, labels, Predictor(judge)).values.items()
                           if measure in ("confidence", "ssim")} for name, offered in shown.items()}

        return dict(self._session.run.stage("sweep-controls", "attacks", inputs, 0, compute).metrics)


def _record(defence: Defence, values: list[dict[str, float]]) -> dict[str, Any]:
    """Return one defence for the report: its settings, and every measure over its networks."""
    task = defence.tasks[0]
    metrics = task.run().metrics
    setting, short = _setting(task, metrics["privacy"])
    return {"name": defence.name, "training": task.recipe.method, "setting": setting, "short": short,
            "recipe": task.recipe.as_dict(), "parameters": metrics["parameters"],
            "measures": summarise({name: [value[name] for value in values] for name in values[0]}),
            "seconds": sum(task.run().seconds for task in defence.tasks)}


def _setting(task: TrainingTask, privacy: dict[str, Any] | None) -> tuple[str, str]:
    """Return what tells a defence from others of its kind, in words and as short as it goes."""
    settings, recipe = task.settings, task.recipe
    if recipe.method == "suppress":
        return f"{settings.sparse_end:g} of the weights to zero", f"{settings.sparse_end:g}"
    if recipe.method == "prune":
        return f"{settings.sparsity:g} of the weights pruned", f"{settings.sparsity:g}"
    if privacy is not None:
        epsilon = "infinite" if privacy["epsilon"] is None else f"{privacy['epsilon']:.3g}"
        return f"ε = {epsilon} at δ = {privacy['delta']:g}", f"ε {epsilon}"
    return (f"weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""), ""


def _flat(trained: dict[str, Any], evaluated: dict[str, Any], attacked: dict[str, Any]) -> dict[str, float]:
    """Return the measures of one network by name: ``auc/shadow``, ``confidence/fc1``, ..."""
    flat = {"accuracy": trained["test_accuracy"]["value"], "train_accuracy": trained["train_accuracy"]["value"]}
    zeros = trained["suppress"] or trained["pruning"]
    if zeros:
        flat["sparsity"] = zeros["overall"]
    for attack, figures in attacked["membership"].items():
        flat.update({f"{name}/{attack}": metric["value"] for name, metric in figures.items()})
    for layer, figures in evaluated["inversion"].items():
        for name in ("confidence", "ssim"):
            flat[f"{name}/{layer}"] = figures[name]["members"]
            flat[f"gap_{name}/{layer}"] = figures[name]["members"] - figures[name]["non_members"]
    return flat


def _label(name: str) -> str:
    """Return the heading of a measure."""
    kind, _, of = name.partition("/")
    fixed = {"auc": f"Membership AUC, {of} attack", "tpr@0.01": f"Optimistic TPR at 1 % FPR (own ROC), {of} attack",
             "confidence": f"Confidence, {of}", "ssim": f"SSIM, {of}",
             "gap_confidence": f"Confidence, {of}: members less non-members",
             "gap_ssim": f"SSIM, {of}: members less non-members"}
    return LABELS.get(name) or fixed[kind]
