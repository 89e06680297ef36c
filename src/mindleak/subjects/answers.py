"""What is asked of a network before any work is done for it: whether it answers with logits, and whether they fit.

Both are asked once, about real images. Networks of the project's own answer with logits by construction.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn
from scipy.optimize import linear_sum_assignment

from mindleak.data.dataset import Dataset
from mindleak.data.samples import stratified
from mindleak.errors import InputError, first_line
from mindleak.evaluation.answers import (
    BOUNDED,
    CONSTANT,
    IN_OTHER_COMPANY,
    LOG_PROBABILITIES,
    LOG_SIGMOIDS,
    LOGITS,
    PROBABILITIES,
    SCALED_PROBABILITIES,
    TWICE,
    Ask,
    kind_of_answers,
    unsteady,
)
from mindleak.evaluation.classification import accuracy
from mindleak.evaluation.metric import Interval, Metric
from mindleak.evaluation.sentences import percent
from mindleak.models.registry import CLASSIFIERS
from mindleak.training.loop import Predictor

PER_CLASS, AT_MOST = 4, 64
# On how many images another reading of them is tried, where the answers do not fit.
TRIED = 1000

_SOFTMAX = ("expected logits: training and attacks take a softmax, and a second one makes another network of it. Leave "
            "the softmax out of the Cell; its checkpoint still fits, since a softmax has no weights")
_REFUSED = {
    PROBABILITIES: f"probabilities, as after a softmax; {_SOFTMAX}",
    SCALED_PROBABILITIES: f"probabilities, scaled or shifted, as after a softmax; {_SOFTMAX}",
    BOUNDED: "numbers that stop at two bounds and do not sum up to one number, as after a sigmoid, tanh or clipping; "
             "expected logits. Leave that step out of the Cell; its checkpoint still fits, since it has no weights",
    LOG_SIGMOIDS: "numbers that stop at 0, as after a log-sigmoid; expected logits. Leave the log-sigmoid out of the "
                  "Cell; its checkpoint still fits, since a log-sigmoid has no weights",
}
_BECAUSE = {
    TWICE: "expected one answer to one image. Is there a Dropout, or noise, that set_train(False) does not switch off?",
    IN_OTHER_COMPANY: "expected one answer to one image. Does it take means over a batch that set_train(False) does "
                      "not switch off?",
}


def kind(network: nn.Cell, data: Dataset, name: str, trained: bool, training: bool = False) -> str:
    """Return what a network answers with (``evaluation.answers``), asked about images of several classes.

    Args:
        network: left in evaluation mode.
        data: whose images.
        name: what messages call it.
        trained: an untrained network may answer all images alike, and a trained one may not.
        training: ask in training mode, which moves batch statistics: for a network that nobody uses afterwards.

    Raises:
        InputError: it fails on the images, or its answers are no real numbers.
    """
    if type(network) in CLASSIFIERS.values() and not trained:
        return LOGITS

    def ask(images: np.ndarray) -> np.ndarray:
        return _asked(network, images, data, name, training)

    found = kind_of_answers(ask, data.x_train[_several(data.y_train)])
    return LOGITS if found == CONSTANT and not trained else found


def _asked(network: nn.Cell, images: np.ndarray, data: Dataset, name: str, training: bool) -> np.ndarray:
    """Return a network's answers, which are real numbers or refused; leave it in evaluation mode."""
    network.set_train(training)
    try:
        answers = network(Tensor(images.astype(np.float32)))
    except Exception as error:
        raise InputError(f"model '{name}' fails on {len(images)} images of {data.name}: "
                         f"{first_line(error)}") from error
    finally:
        network.set_train(False)
    if "Float" not in str(answers.dtype):
        raise InputError(f"model '{name}' answers with {str(answers.dtype).lower()} numbers; expected logits")
    return answers.astype("float32").asnumpy()


def require_logits(network: nn.Cell, data: Dataset, name: str, trained: bool, training: bool = False) -> str:
    """Return what a network answers with, logits or log-probabilities; arguments as of ``kind``.

    Raises:
        InputError: probabilities, answers of a sigmoid and the like, answers that change when the same images are
            asked about again, or of a trained network one and the same answer to all.
    """
    if not training:
        require_steady(network, data, name)
    found = kind(network, data, name, trained, training)
    mode = "while it trains, model" if training else "model"
    if found in _REFUSED:
        raise InputError(f"{mode} '{name}' answers with {_REFUSED[found]}")
    if found == CONSTANT:
        raise InputError(f"model '{name}' answers {len(_several(data.y_train))} images of several classes alike; "
                         "expected answers that differ. Are its weights whole, and does it take pixels from 0 to 1?")
    return found


def require_steady(network: nn.Cell, data: Dataset, name: str) -> None:
    """Raise InputError where a network in evaluation mode answers the same images differently."""
    if type(network) in CLASSIFIERS.values():
        return
    found = unsteady(lambda images: _asked(network, images, data, name, False), data.x_train[_several(data.y_train)])
    if found is not None:
        when, change = found
        raise InputError(f"model '{name}' answers the same images differently {when}, by up to {change:.2g}; "
                         f"{_BECAUSE[when]}")


def said(found: str, name: str) -> str | None:
    """Return the sentence that tells a user of answers that are no plain logits; None for those."""
    if found == LOG_PROBABILITIES:
        return (f"{name} answers with log-probabilities; they are taken for logits, since their softmax gives the same "
                "probabilities.")
    if found == CONSTANT:
        return f"{name} answers all images alike: are its weights whole, and does it take pixels from 0 to 1?"
    return None if found == LOGITS else f"{name} answers with {found}, no logits; its classes are the same."


def misfit(network: nn.Cell, data: Dataset, members: np.ndarray | None) -> str | None:
    """Return why a trained network's answers do not fit the images or labels; None where they do.

    They do not where another reading of the images, or another order of the classes, is shown to fit far better. Nor do
    they where the network is no better than naming the commonest class: shown to be worse, or not shown to be better
    where no class has half of the images. On what it was trained on or, where nobody knows that, on the test split.
    """
    images, labels, which = ((data.x_test, data.y_test, "the test images") if members is None
                             else (data.x_train[members], data.y_train[members], "its own members"))
    commonest = float(np.bincount(labels).max()) / len(labels)
    predict = Predictor(network)
    answers = predict(images)
    found = accuracy(answers.argmax(1), labels)
    if commonest == 1 or found.ci is None or not np.isfinite(answers).all():
        return None
    rows = stratified(labels, np.arange(len(labels)), min(TRIED, len(labels)), 0)
    no_better, border = _border(found.ci, commonest)
    better = _better(predict, images[rows], labels[rows], answers[rows], border,
                     "images here are from 0 to 1, so make that a layer of the network")
    if better is None and not no_better:
        return None
    return (f"its answers do not fit these images or labels: it classifies {percent(found.value)} "
            f"({percent(found.ci[0])} to {percent(found.ci[1])}) of {which} rightly, and naming the commonest class "
            f"is right for {percent(commonest)}. {better or _UNKNOWN}")


def split_misfit(predict: Ask, data: Dataset, seen: Metric, unseen: Metric) -> str | None:
    """Return why a network that was trained here seems to read the test images otherwise; None where it does not.

    Files say nothing of how a split's labels were numbered or its pixels scaled; a network that has learnt one split
    and makes half as many mistakes with another reading of the other split does.

    Args:
        predict: returns the network's answers.
        data: with its test split.
        seen, unseen: its accuracy on what it was trained on and on the test split.
    """
    if seen.ci is None or unseen.ci is None or unseen.ci[1] >= seen.ci[0]:
        return None
    rows = stratified(data.y_test, np.arange(len(data.y_test)), min(TRIED, len(data.y_test)), 0)
    images, labels = data.x_test[rows], data.y_test[rows]
    _, border = _border(unseen.ci, float(np.bincount(data.y_test).max()) / len(data.y_test))
    better = _better(predict, images, labels, predict(images), border,
                     "scale both splits alike")
    if better is None:
        return None
    return (f"the test split does not fit the training split: the network classifies {percent(seen.value)} of what "
            f"it was trained on rightly and {percent(unseen.value)} of the test images. {better}")


_UNKNOWN = ("Check that it takes pixels from 0 to 1, whether normalisation is part of the network, the order of the "
            "labels, and the members file; if all are right, it has learnt nothing that could be found")


def _border(found: Interval, commonest: float) -> tuple[bool, float]:
    """Return whether an accuracy is no better than the commonest class, and what another reading must be better than.

    A network that has learnt little may be right a little more often about images of more contrast, and reads these as
    it was meant to; one that misreads them makes half as many mistakes with the right reading, or fewer.
    """
    no_better = found[1] < commonest or (found[0] <= commonest and commonest < 0.5)
    return no_better, max(found[1], commonest) if no_better else (1 + found[1]) / 2


def _better(predict: Ask, images: np.ndarray, labels: np.ndarray,
            answers: np.ndarray, border: float, advice: str) -> str | None:
    """Return what makes the answers fit, if anything is shown to be right for more than ``border`` of the images.

    ``advice`` is what to do about pixels that need another reading.
    """
    mean, spread = images.mean((0, 2, 3), keepdims=True), images.std((0, 2, 3), keepdims=True)
    readings = {"pixels from 0 to 255": images * 255, "pixels from -1 to 1": 2 * images - 1,
                "each channel less its mean, by its deviation": (images - mean) / np.maximum(spread, 1e-6),
                "dark for bright": 1 - images}
    found = {reading: accuracy(predict(changed.astype(np.float32)).argmax(1), labels)
             for reading, changed in readings.items()}
    order = _best_order(answers.argmax(1), labels)
    renamed = accuracy(order[answers.argmax(1)], labels)
    highest = max(each.value or 0.0 for each in found.values())
    # Of readings that do about as well, the simplest, which comes first.
    best = next(reading for reading, each in found.items() if (each.value or 0.0) >= highest - 0.02)
    # The order is fitted to these very labels, so it must be right for half of them at the least.
    if _above(renamed, max(border, 0.5)) and (renamed.value or 0.0) >= (found[best].value or 0.0):
        return f"With its classes in another order it would be {percent(renamed.value)}: check the order of the labels"
    if _above(found[best], border):
        return f"Given {best} it is {percent(found[best].value)}: {advice}"
    return None


def _above(found: Metric, border: float) -> bool:
    return found.ci is not None and found.ci[0] > border


def _best_order(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the renaming of the classes with which most predictions are right."""
    size = int(max(predicted.max(), labels.max())) + 1
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (predicted, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]


def _several(labels: np.ndarray) -> np.ndarray:
    """Return the rows of the first few images of every class, as many classes as there is room for."""
    rows = [np.flatnonzero(labels == label)[:PER_CLASS] for label in np.unique(labels)[:AT_MOST // PER_CLASS]]
    return np.concatenate(rows)
