"""``mindleak predict``: a few test images, what they are and what the network takes them for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import nn

from mindleak.data.dataset import TEST
from mindleak.data.samples import stratified
from mindleak.errors import InputError, first_line
from mindleak.reporting.canvas import png_bytes
from mindleak.reporting.pictures import prediction_figure
from mindleak.runs.atomic import atomic_write_bytes
from mindleak.subjects.answers import kind, require_steady, said
from mindleak.subjects.asking import ask
from mindleak.subjects.session import Session
from mindleak.subjects.subject import EstimatorPlan, GivenSubject, SubjectPlan, require_subjects, subject_plans
from mindleak.subjects.task import headline_task
from mindleak.training import checkpoint
from mindleak.training.loop import Predictor

# Matplotlib's backends that draw into files only.
_WITHOUT_WINDOW = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


@dataclass(frozen=True)
class _Trained:
    """A network and the file that its weights come from."""

    network: nn.Cell
    source: str


def run_predict(session: Session, count: int, show: bool, best: bool = False) -> None:
    """Print predicted and actual class of ``count`` test images, drawn class by class, and save a picture of them.

    Args:
        session: whose subjects.
        count: how many images.
        show: open the picture in a window, too.
        best: by the best checkpoint, as the RNN tutorial predicts; it was chosen by its accuracy on these very test
            images, so the last one, which ``mindleak train`` reports on, is the rule.

    Raises:
        InputError: no trained network, a count out of range, or ``show`` without a display.
    """
    if show:
        _require_display()
    plans = require_subjects(subject_plans(session), session.config)
    for plan in plans:
        available = len(plan.dataset.y_test)
        if not 1 <= count <= available:
            raise InputError(f"-n is {count}; expected 1 to {available}, the number of test images")
    trained = [_trained_network(plan, best) for plan in plans]
    # Opened before anything is printed: it may belong to another configuration.
    folder = session.run.run_dir
    for plan, subject in zip(plans, trained):
        path = _predict(session, plan, subject, count, folder / f"{plan.name}-predictions.png")
        if show:
            _show(path)


def _trained_network(plan: SubjectPlan, best: bool) -> _Trained:
    """Return the user's checkpoint, or the last or best one that ``mindleak train`` left."""
    if isinstance(plan, GivenSubject):
        if best:
            raise InputError("--best means the best checkpoint that mindleak train left, and --ckpt gives another; "
                             "give one of them")
        return _Trained(plan.given.network, str(plan.config.model.checkpoint))
    if isinstance(plan, EstimatorPlan):
        raise InputError(f"'{plan.name}' is a {plan.model_label}, of which answers are kept and no checkpoint; "
                         "mindleak predict needs a network")
    task = headline_task(plan)
    last = task.latest_checkpoint(best)
    if last is None:
        raise InputError(f"no trained {plan.model_label} in '{task.checkpoint_dir}'; run mindleak train with the same "
                         "configuration first, or give --ckpt FILE")
    if not task.owns(last):
        raise InputError(f"'{last}' comes from another training or another version of mindleak; train again with the "
                         "same configuration and --restart, or give the file as --ckpt")
    network = plan.make_network(task.seed)
    checkpoint.load_weights(network, last)
    return _Trained(network, str(last))


def _predict(session: Session, plan: SubjectPlan, subject: _Trained, count: int, path: Path) -> Path:
    """Predict, print and draw ``count`` test images; return where the picture is."""
    data = plan.dataset
    rows = np.sort(stratified(data.y_test, np.arange(len(data.y_test)), count, session.seed("predict")))
    images, actual = data.x_test[rows], data.y_test[rows]
    predicted = ask(Predictor(subject.network), data, TEST, plan.name, rows).argmax(axis=1)
    session.say(f"{plan.name}: {data.name}, {count} of {len(data.y_test)} test images, drawn class by class (seed "
                f"{session.config.seed})")
    session.say(f"checkpoint: {subject.source}")
    require_steady(subject.network, data, plan.model_label)
    sentence = said(kind(subject.network, data, plan.model_label, trained=True), plan.name)
    if sentence is not None:
        session.say(sentence)
    _say_predictions(session, rows, predicted, actual, data.class_names)
    figure = prediction_figure(images, actual.tolist(), predicted.tolist(), dict(enumerate(data.class_names)))
    atomic_write_bytes(path, png_bytes(figure))
    session.say(f"{int((predicted == actual).sum())} of {count} right")
    session.say(f"picture: {path}")
    return path


def _say_predictions(session: Session, rows: np.ndarray, predicted: np.ndarray, actual: np.ndarray,
                     names: tuple[str, ...]) -> None:
    """Print a line per image with its row of the test split, in columns."""
    width = max(len(names[label]) for label in (*predicted, *actual))
    for row, guess, truth in zip(rows, predicted, actual):
        mark = "" if guess == truth else "  wrong"
        session.say(f"{row:5d}  predicted {names[guess]:<{width}}  actual {names[truth]:<{width}}{mark}".rstrip())


def _require_display() -> None:
    """Refuse --show where no window can be opened, before anything is computed."""
    import matplotlib.pyplot as plt

    try:
        backend = plt.get_backend()
    except ImportError as error:
        raise InputError(f"--show needs a display: {first_line(error)}") from error
    if backend.lower() in _WITHOUT_WINDOW:
        raise InputError("--show needs a display, and there is none; without it the picture is saved all the same")


def _show(path: Path) -> None:
    """Open the saved picture in a window."""
    import matplotlib.pyplot as plt

    try:
        plt.figure(num=path.name)
        plt.imshow(plt.imread(path))
        plt.axis("off")
        plt.show()
    except Exception as error:
        raise InputError(f"--show failed ({first_line(error)}); the picture is in '{path}'") from error
