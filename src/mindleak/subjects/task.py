"""The stages that train subjects, their shadows and references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.data.dataset import TEST, TRAINING
from mindleak.data.samples import stratified
from mindleak.errors import InputError, Key
from mindleak.evaluation.classification import accuracy
from mindleak.models.base import count_parameters
from mindleak.runs.closure import code_digest
from mindleak.runs.digest import stable_hash
from mindleak.runs.result import referred_files
from mindleak.runs.stages import StageContext, StageResult
from mindleak.subjects.answering import ModelTask, NetworkAnswering
from mindleak.subjects.answers import split_misfit
from mindleak.subjects.asking import ask
from mindleak.subjects.own import weights_digest
from mindleak.subjects.subject import SubjectPlan
from mindleak.training import checkpoint
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter
from mindleak.training.loop import Predictor
from mindleak.training.methods import METHODS, SECTIONS
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest, TrainingResult
from mindleak.training.trainer import Training

HEADLINE = "headline"
WEIGHTS = "weights.ckpt"
# Of more samples outside a model's training set, so many watch its training.
WATCHED = 1000


@dataclass(frozen=True)
class TrainingTask:
    """One network to be trained as a stage: which subject, in which role, on which rows.

    Attributes:
        plan: of the subject.
        role: in which it is trained.
        recipe: of the training.
        settings: of the recipe's method (``training.methods``).
        rows: of the training split; all by default.
        section: of the configuration that has the recipe (``KeyNames``).
        watched: split and rows that it is watched on; without them it is the test split.
        aside: it is one of many beside the subject: its weights are kept in the stage, and no checkpoints elsewhere.
        start: a finished training whose weights it starts from, instead of fresh ones.
    """

    plan: SubjectPlan
    role: str
    recipe: Recipe
    settings: Any
    rows: np.ndarray | None = None
    section: str = ""
    watched: tuple[str, np.ndarray] | None = None
    aside: bool = False
    start: StageResult | None = None

    @property
    def training(self) -> TrainingTask:
        """Itself: what is trained and asked has it, too."""
        return self

    def beside(self, role: str, rows: np.ndarray, split: str, outside: np.ndarray) -> TrainingTask:
        """Return the training of a network like this one, in another role and on other rows (``ModelTask``)."""
        other, labels = replace(self, role=role, rows=rows, aside=True), self.plan.dataset.of_split(split)[1]
        watched = outside if len(outside) <= WATCHED else np.sort(stratified(labels, outside, WATCHED, other.seed))
        return replace(other, watched=(split, watched))

    @property
    def stage_name(self) -> str:
        """Name of the stage and of its checkpoint folder."""
        return f"train-{self.plan.name}-{self.role}"

    @property
    def seed(self) -> int:
        """Seed of initialisation and shuffling: equal for ordinary and suppressed twins, so they are paired."""
        return self.plan.session.seed("train", self.plan.model_label, self.role)

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of this network's checkpoints."""
        return self.plan.session.ckpt_dir / f"{self.plan.name}-{self.role}"

    @property
    def prefix(self) -> str:
        """First part of the checkpoints' names: the architecture."""
        label = self.plan.model_label
        return Path(label.rpartition(":")[0] or label).stem

    def latest_checkpoint(self, best: bool = False) -> Path | None:
        """Return the last or the best checkpoint that training has left, if any."""
        return CheckpointFolder(self.checkpoint_dir, self.prefix, 0).latest(best)

    def owns(self, file: Path) -> bool:
        """Return whether this very training (recipe, data, seed, version) has written a checkpoint."""
        return checkpoint.belongs_to(file, self.method.fingerprint(self._request(self.plan.untrained, self._data())))

    def refuse_foreign_checkpoint(self) -> None:
        """Raise InputError if training would replace a checkpoint that another run has written.

        One that a finished stage of this run refers to is this run's, whichever version of mindleak wrote it.
        """
        last = None if self.aside else self._foreign_checkpoint()
        if last is not None and last.resolve() not in referred_files(self.plan.session.run_dir, self.stage_name):
            raise InputError(f"'{last}' comes from another training or another version of mindleak, and no stage of "
                             f"{self.plan.session.run_dir} refers to it; give another --ckpt_dir, or remove it")

    def _foreign_checkpoint(self) -> Path | None:
        """Return the last checkpoint where it is another training's.

        Another process may be at this very training. A file that is gone once it was to be read has made way for the
        next epoch's, and says nothing.
        """
        while (last := self.latest_checkpoint()) is not None and not self.owns(last):
            if last.exists():
                return last
        return None

    @property
    def method(self) -> type[Training]:
        """How the network is trained."""
        return METHODS[self.recipe.method]

    @property
    def epochs(self) -> int:
        """How many epochs the training has in all."""
        return self.method.epochs(self.recipe, self.settings)

    def method_settings(self) -> dict[str, Any]:
        """Return the settings under the name of their section, and None under those of other methods."""
        given = None if self.settings is None else self.settings.as_dict()
        return {section: given if section == self.method.section else None for section in SECTIONS}

    def made_by(self) -> dict[str, Any]:
        """Return recipe and settings, by section of the configuration."""
        return {"training": self.recipe.as_dict(), **self.method_settings()}

    def check(self) -> None:
        """Raise InputError for what can be known to fail before any work is done."""
        with self.plan.key_names(self.section).in_messages():
            self._check()

    def _check(self) -> None:
        """Raise InputError under the keys that the rooms below know."""
        samples = len(self.plan.dataset.y_train) if self.rows is None else len(self.rows)
        self.recipe.steps_per_epoch(samples)
        if not self.plan.untrained.trainable_params():
            raise InputError(f"model.name: {self.plan.model_label} has no trainable parameters, so it cannot be "
                             "trained; give its checkpoint (--ckpt) to have it attacked as it is")
        _ = self.plan.trains_by_logits
        self._check_division()
        self.method.check(self.plan.untrained, self.plan.dataset.image_shape, self.recipe, self.settings, samples)

    def _check_division(self) -> None:
        """Raise InputError for what cannot be trained by several processes together."""
        shards = self.plan.session.device.shards
        if shards == 1:
            return
        if not self.method.divides(self.settings):
            by = " by MindArmour" if self.recipe.method == "suppress" else ""
            raise InputError(f"device.data_parallel divides batches among {shards} processes, which ",
                             Key("training.method"), f" '{self.recipe.method}'{by} does not do; expected ordinary, "
                             "prune, and suppress with ", Key("suppress.engine"), "=graph")
        if self.recipe.batch_size % shards:
            raise InputError(Key("training.batch_size"), f" {self.recipe.batch_size} cannot be divided among {shards} "
                             f"processes (device.data_parallel); expected a multiple of {shards}")

    def train_along(self, resume: bool = True) -> None:
        """Take this process's part in a training whose batches are divided; the main process keeps the result."""
        if not self.is_done:
            data = self._data()
            folder = CheckpointFolder(self.checkpoint_dir, self.prefix, self.recipe.steps_per_epoch(data.samples))
            self._train(data, folder.only_read(), resume)

    def run(self, resume: bool = True) -> StageResult:
        """Train, or return what an earlier call has trained."""
        return self.plan.session.run.stage(self.stage_name, __name__, self._inputs, self.seed,
                                           lambda context: self._compute(context, resume))

    @property
    def is_done(self) -> bool:
        """True if the stage is in the run directory, whichever process has put it there."""
        return self.plan.session.run.is_done(self.stage_name, __name__, self._inputs, self.seed)

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """Everything of the configuration and the data that the stage depends on."""
        rows = self.plan.dataset.digest if self.rows is None else stable_hash([self.plan.dataset.digest, self.rows])
        return {"model": self._architecture(), **self.made_by(), "data": rows,
                "watched": None if self.watched is None else stable_hash(list(self.watched)), "aside": self.aside,
                "start": None if self.start is None else self.start.digest,
                **({"shards": self.plan.session.device.shards} if self.plan.session.device.shards > 1 else {})}

    def network(self, result: StageResult) -> nn.Cell:
        """Return the trained network of a finished stage."""
        network = self.plan.make_network(self.seed)
        checkpoint.load_weights(network, weights_of(result))
        return network

    def answering(self, result: StageResult) -> NetworkAnswering:
        """Return what asks the trained network; models of the project's own take turns in one compiled forward pass.

        Others may hold more than their parameters, which follows from the seed that they were made with.
        """
        name = f"{self.plan.name} {self.role}"
        if not self.plan.is_registered:
            network = self.network(result)
            return NetworkAnswering(network, Predictor(network), self.plan.dataset, name)
        network, predict = self.plan.session.asked.get(self.graphs(), self._compiled)
        checkpoint.load_weights(network, weights_of(result))
        return NetworkAnswering(network, predict, self.plan.dataset, name)

    def fingerprint(self, result: StageResult) -> str:
        """Return a SHA-256 of the weights of a finished stage."""
        return weights_digest(self.network(result))

    def _compiled(self) -> tuple[nn.Cell, Predictor]:
        network = self.plan.make_network(0)
        return network, Predictor(network)

    def _architecture(self) -> dict[str, Any]:
        """Return what identifies the untrained network."""
        return self.plan.architecture(self.seed)

    def _compute(self, context: StageContext, resume: bool) -> dict[str, Any]:
        """Train and measure; the stage's work."""
        with self.plan.key_names(self.section).in_messages():
            return self._train_and_measure(context, resume)

    def _train_and_measure(self, context: StageContext, resume: bool) -> dict[str, Any]:
        """Train, keep what a role keeps, and return the stage's metrics."""
        data = self._data()
        folder = context.work_dir if self.aside else self.checkpoint_dir
        checkpoints = CheckpointFolder(folder, self.prefix, self.recipe.steps_per_epoch(data.samples))
        trained = self._train(data, checkpoints, resume)
        result = {"history": [asdict(record) for record in trained.history],
                  "parameters": count_parameters(trained.network), "n_train": data.samples,
                  "sparsity": None, "privacy": None, **trained.record}
        if self.aside:
            checkpoint.save(context.path(WEIGHTS), trained.network)
            return result
        assert trained.last is not None
        context.refer("checkpoint", trained.last)
        if trained.best is not None:
            context.refer("best_checkpoint", trained.best)
        predict, dataset = trained.predict, self.plan.dataset
        _, truth = data.own()
        seen = accuracy(self._ask(predict, TRAINING, self.rows), truth)
        unseen = accuracy(self._ask(predict, TEST), dataset.y_test)
        return {**result, "train_accuracy": seen.to_json(), "test_accuracy": unseen.to_json(),
                "split_misfit": split_misfit(predict, dataset, seen, unseen)}

    def _ask(self, predict: Predictor, split: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the trained network's answers; see ``asking.ask``."""
        return ask(predict, self.plan.dataset, split, f"{self.plan.name} {self.role}", rows)

    def _data(self) -> TrainingData:
        """Return what to train on, and what to watch it on."""
        dataset = self.plan.dataset
        digest = dataset.digest if self.rows is None else stable_hash([dataset.digest, self.rows])
        split, watched = (TEST, None) if self.watched is None else self.watched
        x_val, y_val = dataset.of_split(split)
        if watched is not None:
            x_val, y_val = x_val[watched], y_val[watched]
        return TrainingData(dataset.x_train, dataset.y_train, x_val, y_val, digest, self.rows, split, watched)

    def _version(self) -> str:
        """Return what stands for the code that trains and the network; checkpoints of others are not continued."""
        start = None if self.start is None else self.start.digest
        return stable_hash([code_digest(__name__), self._architecture(), start])

    def _train(self, data: TrainingData, checkpoints: CheckpointFolder, resume: bool) -> TrainingResult:
        """Train by the recipe's method, continuing an interrupted training where the method can."""
        network = self.plan.make_network(self.seed) if self.start is None else self.network(self.start)
        printer = EpochPrinter(f"{self.plan.name} {self.role}", self.epochs, self.plan.session.is_heard)
        last = checkpoints.latest()
        foreign = last is not None and not self.owns(last)
        if foreign:
            printer.note(f"'{last}' comes from another training or another version of mindleak and is replaced")
            checkpoints.clear()
        resumes = self.method.resumes(self.settings)
        if not resumes and checkpoints.latest() is not None:
            printer.note("an interrupted training with suppress.engine 'mindarmour' starts again from its "
                         "beginning: MindArmour's masks are in no checkpoint")
        goes_on = resume and resumes and not foreign
        if not goes_on:
            checkpoints.clear()
        return self.method.train(replace(
            self._request(network, data), printer=printer, checkpoints=checkpoints, resume=goes_on,
            shared=(self.plan.session.compiled, self.graphs()) if self._shares_graphs else None))

    def _request(self, network: nn.Cell, data: TrainingData) -> TrainingRequest:
        """Return what decides the outcome of the training."""
        return TrainingRequest(network, data, self.recipe, self.seed, self.settings, version=self._version())

    @property
    def _shares_graphs(self) -> bool:
        """True where networks of this architecture differ in their parameters only: of ours it is known."""
        return self.method.shares_graphs and self.plan.is_registered

    def graphs(self) -> str:
        """Return what a network's graphs follow from, beside recipe and data."""
        dataset = self.plan.dataset
        return stable_hash([self._architecture(), dataset.image_shape, dataset.num_classes, device.current().kernels])


def weights_of(result: StageResult) -> Path:
    """Return the file with the weights of a finished training."""
    return result.external["checkpoint"] if "checkpoint" in result.external else result.path / WEIGHTS


def headline_task(plan: SubjectPlan) -> TrainingTask:
    """Return the training of the subject on the whole training split."""
    recipe = plan.recipe()
    return TrainingTask(plan, HEADLINE, recipe, plan.settings(recipe))


def stale_trainings(tasks: Sequence[ModelTask]) -> list[str]:
    """Return the names of finished trainings of the same run and name that are none of these.

    They belong to another split, recipe, seed, data or version of the code. A key never lets them be used; a user who
    waits for trainings that seem to be there wants to know why.
    """
    stages = tasks[0].plan.session.run_dir / "stages" if tasks else Path()
    missing = [task for task in tasks if not task.is_done] if stages.is_dir() else []
    return sorted(folder.name for task in missing for folder in stages.glob(f"{task.stage_name}-*"))
