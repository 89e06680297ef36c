"""``mindleak train``: train one subject on the whole training split, with history, curves and checkpoints."""

from __future__ import annotations

from typing import Any

from mindleak.errors import InputError
from mindleak.models.base import count_parameters
from mindleak.reporting.canvas import png_bytes
from mindleak.reporting.charts import curves_figure
from mindleak.reporting.training_text import privacy_lines, sparsity_lines
from mindleak.reporting.wording import Subjects
from mindleak.runs.atomic import atomic_write_bytes
from mindleak.runs.stages import StageResult
from mindleak.subjects.answering import ModelTask
from mindleak.subjects.answers import said
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.session import Session
from mindleak.subjects.subject import EstimatorPlan, SubjectPlan, require_subjects, subject_plans
from mindleak.subjects.task import HEADLINE, TrainingTask, headline_task
from mindleak.subjects.trained import trained_record
from mindleak.training.history import EpochRecord, write_history


def run_train(session: Session, resume: bool, restart: bool) -> None:
    """Train every subject of the configuration, after all of them have been checked.

    Raises:
        InputError: a recipe that cannot work, or the checkpoint folder holds an unfinished training, or somebody
            else's, and neither ``resume`` nor ``restart`` says what to do with it.
    """
    for task in planned_trainings(session, resume, restart):
        if isinstance(task, EstimatorTask):
            _fit(session, task)
            continue
        _announce(session, task, resume)
        if session.device.shards > 1 and not session.device.is_main:
            task.train_along(resume)
            continue
        result = task.run(resume)
        if session.device.is_main:
            _report(session, task.plan, task, result)


def planned_trainings(session: Session, resume: bool, restart: bool) -> list[TrainingTask | EstimatorTask]:
    """Return the trainings of a configuration's subjects, of which it is known that they can begin.

    Arguments and errors are those of ``run_train``.
    """
    tasks = [_task(plan) for plan in require_subjects(subject_plans(session), session.config)]
    for task in tasks:
        task.check()
        if isinstance(task, TrainingTask):
            _refuse_to_overwrite(task, resume, restart)
    return tasks


def _task(plan: SubjectPlan) -> TrainingTask | EstimatorTask:
    """Return the training of a subject, which must not have been trained elsewhere."""
    if plan.is_trained:
        raise InputError("training makes its own checkpoint; omit --ckpt")
    return EstimatorTask(plan, HEADLINE) if isinstance(plan, EstimatorPlan) else headline_task(plan)


def _fit(session: Session, task: EstimatorTask) -> None:
    """Fit a subject that is no network, and say how well it does and where its answers are."""
    # One fit has no batches to be divided: of several processes that share them, the main one fits.
    if session.device.shards > 1 and not session.device.is_main:
        return
    data, result = task.plan.dataset, task.run()
    shape = "x".join(str(side) for side in data.image_shape)
    session.say(f"{task.plan.name}: {task.plan.model_label} on {data.name}, {task.size:,} training and "
                f"{len(data.y_test):,} test images of {shape}")
    seen = result.metrics["train_accuracy"]
    session.say(f"{task.plan.name}: {'already fitted' if result.cached else 'fitted'}; training accuracy "
                f"{seen['value']:.4f}, test accuracy {_measured(task.plan, task, result.metrics['test_accuracy'])}")
    session.say(f"answers:    {result.path}")


def _refuse_to_overwrite(task: TrainingTask, resume: bool, restart: bool) -> None:
    """Ask what to do with an unfinished training, or with another one's checkpoint, rather than lose it."""
    last = task.latest_checkpoint()
    if last is None or restart:
        return
    if not task.owns(last):
        raise InputError(f"'{last}' comes from another training or another version of mindleak; --restart replaces it, "
                         "another --ckpt_dir keeps it")
    if f"-{task.epochs}_" not in last.name and not resume:
        raise InputError(f"'{last}' is an unfinished training; --resume continues it, --restart starts over")


def _announce(session: Session, task: TrainingTask, resume: bool) -> None:
    """Say what is trained on what, so that a wrong data set or device is noticed before the first epoch."""
    data, network = task.plan.dataset, task.plan.untrained
    shape = "x".join(str(side) for side in data.image_shape)
    session.say(f"{task.plan.name}: {task.plan.model_label} with {count_parameters(network):,} parameters on "
                f"{data.name}, {len(data.y_train):,} training and {len(data.y_test):,} test images of {shape}, "
                f"{session.device.target}")
    sentence = said(task.plan.answers, task.plan.name)
    if sentence is not None:
        session.say(sentence)
    if resume and task.latest_checkpoint() is None:
        session.say(f"{task.plan.name}: no checkpoint to resume from; training starts at the first epoch")


def _report(session: Session, plan: SubjectPlan, task: TrainingTask, result: StageResult) -> None:
    """Write history and curves into the run directory and say where everything is."""
    record = trained_record(task, result)
    history = session.run.run_dir / f"{plan.name}-history.csv"
    write_history(history, [EpochRecord(**epoch) for epoch in record["history"]])
    figure = curves_figure(record, Subjects({"subjects": [record], "results": {}}))
    curves = session.run.run_dir / f"{plan.name}-curves.png"
    if figure is not None:
        atomic_write_bytes(curves, png_bytes(figure))
    session.say(f"{plan.name}: {'already trained' if result.cached else 'trained'}; test accuracy "
                f"{_measured(plan, task, record['test_accuracy'])}")
    if "split_misfit" in record:
        session.say(f"warning: {plan.name}: {record['split_misfit']}.")
    for lines, found in ((sparsity_lines, record["sparsity"]), (privacy_lines, record["privacy"])):
        for line in lines(found) if found is not None else ():
            session.say(line)
    session.say(f"checkpoint: {record['checkpoint']}")
    session.say(f"history:    {history}")
    if figure is not None:
        session.say(f"curves:     {curves}")


def _measured(plan: SubjectPlan, task: ModelTask, accuracy: dict[str, Any]) -> str:
    """Return an accuracy on the test split with its interval, and what it was measured on."""
    return (f"{accuracy['value']:.4f} ({accuracy['ci'][0]:.4f} to {accuracy['ci'][1]:.4f}, n {accuracy['n']}"
            f"{_seen(plan, task)})")


def _seen(plan: SubjectPlan, task: ModelTask) -> str:
    """Say how many of the test images are none that the model has not seen."""
    seen, count = plan.dataset.copies.test_among(task.rows), len(plan.dataset.y_test)
    return "" if not seen else f", {'all' if seen == count else f'{seen:,}'} of them training images"
