"""``mindleak predict``: the first test images, what they are and what the network takes them for."""

from __future__ import annotations

from mindspore import nn

from mindleak.errors import InputError
from mindleak.jobs.session import Session
from mindleak.jobs.subjects import SubjectPlan, headline_task, subject_plans
from mindleak.models.registry import first_line
from mindleak.reporting.canvas import png_bytes
from mindleak.reporting.pictures import prediction_figure
from mindleak.runs.atomic import atomic_write_bytes
from mindleak.training import checkpoint
from mindleak.training.loop import Predictor


def run_predict(session: Session, count: int, show: bool) -> None:
    """Print predicted and actual class of the first ``count`` test images and save a picture of them.

    Raises:
        InputError: no trained network, a count out of range, or ``show`` without a display.
    """
    for plan in subject_plans(session):
        data = plan.dataset
        if not 1 <= count <= len(data.y_test):
            raise InputError(f"-n is {count}; right is 1 to {len(data.y_test)}, the number of test images")
        network = _trained_network(plan)
        images, actual = data.x_test[:count], data.y_test[:count]
        predicted = Predictor(network, batch_size=count)(images).argmax(axis=1)
        for number, (guess, truth) in enumerate(zip(predicted, actual)):
            mark = "" if guess == truth else "   wrong"
            session.say(f"{number:4d}  predicted: \"{data.class_names[guess]}\", "
                        f"actual: \"{data.class_names[truth]}\"{mark}")
        right = int((predicted == actual).sum())
        session.say(f"{plan.name}: {right} of {count} right")
        figure = prediction_figure(images, actual.tolist(), predicted.tolist(), dict(enumerate(data.class_names)))
        path = session.run.run_dir / f"{plan.name}-predictions.png"
        atomic_write_bytes(path, png_bytes(figure))
        session.say(f"picture: {path}")
        if show:
            _show(path)


def _trained_network(plan: SubjectPlan) -> nn.Cell:
    """Return the user's checkpoint, or the best one that ``mindleak train`` left."""
    if plan.provided is not None:
        return plan.provided.network
    task = headline_task(plan)
    best = task.latest_checkpoint(best=True)
    if best is None:
        raise InputError(f"no trained {plan.model_label} in '{task.checkpoint_dir}'; run mindleak train with the same "
                         "configuration first, or give --ckpt FILE")
    network = plan.make_network(0)
    checkpoint.load_weights(network, best)
    return network


def _show(path: object) -> None:
    """Open the saved picture in a window."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() == "agg":
        raise InputError(f"--show needs a display; the picture is in '{path}'")
    try:
        plt.imshow(plt.imread(str(path)))
        plt.axis("off")
        plt.show()
    except Exception as error:
        raise InputError(f"--show failed ({first_line(error)}); the picture is in '{path}'") from error
