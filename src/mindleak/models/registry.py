"""Networks by name, and networks of the user's own from a Python file."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindleak import device
from mindleak.errors import InputError, first_line, nearest
from mindleak.models import own_file
from mindleak.models.centred import CentredLSTMRNN
from mindleak.models.estimators import ESTIMATORS
from mindleak.models.lenet5 import LeNet5, LeNet5Bias
from mindleak.models.recurrent import Recurrent
from mindleak.models.recurrent import label as recurrent_label
from mindleak.quiet import environment

# "lstm_rnn" is the RNN tutorial's model, which is what "recurrent" gives with its default cell.
CLASSIFIERS: dict[str, type[nn.Cell]] = {"lenet5": LeNet5, "lenet5_bias": LeNet5Bias, "lstm_rnn": Recurrent,
                                         "recurrent": Recurrent, "lstm_rnn_centred": CentredLSTMRNN}


def build(name: str, input_shape: tuple[int, int, int], num_classes: int, seed: int,
          options: Mapping[str, Any] | None = None) -> nn.Cell:
    """Make a freshly initialised classifier; equal seeds give bit-equal weights.

    Args:
        name: a registered name, or ``path/to/net.py:ClassName`` for a Cell of the user's own, which is
            called without arguments.
        input_shape: (C, H, W) of the images.
        num_classes: width of the logits.
        seed: everything random in the initialisation follows from it.
        options: further constructor arguments of a registered network (``hidden_size``, …).

    Returns:
        The network, in evaluation mode.

    Raises:
        InputError: unknown name or option, a file that does not import, a class that cannot be called, or
            logits of another shape.
    """
    if ":" in name:
        network = _own(name, seed, options or {})
    elif name in CLASSIFIERS:
        arguments = {**(options or {}), "input_shape": input_shape, "num_classes": num_classes}
        _check_options(name, arguments)
        with device.seeded(seed):
            network = CLASSIFIERS[name](**arguments)
    else:
        if name in ESTIMATORS:
            raise InputError(f"model '{name}' is no network; expected one of {', '.join(CLASSIFIERS)}")
        raise InputError(f"model '{name}' is unknown{nearest(name, (*CLASSIFIERS, *ESTIMATORS))} "
                         "(a model of your own: path/to/net.py:ClassName)")
    check_output(network, input_shape, num_classes, name)
    return network


def label(name: str, options: Mapping[str, Any]) -> str:
    """Return what reports and files call a network: its name, or for a recurrent one what it really is.

    One of the user's own is called ``net.py:ClassName``, wherever the file lies: seeds follow from this name, and a
    project that is moved must not give other figures.

    Args:
        name: of its ``model`` section.
        options: the other keys of that section.
    """
    if CLASSIFIERS.get(name) is Recurrent:
        return recurrent_label(options["cell"], options["bidirectional"])
    file, colon, kind = name.rpartition(":")
    return f"{Path(file).name}:{kind}" if colon else name


def size_instead(kind: type[nn.Cell] | None, image_shape: tuple[int, int, int]) -> int | None:
    """Return the side of the images that a network was made for, if those of ``image_shape`` are too small for it."""
    smallest = getattr(kind, "smallest", 0) if kind in CLASSIFIERS.values() else 0
    return int(getattr(kind, "made_for")) if min(image_shape[1:]) < smallest else None  # noqa: B009


def check_output(network: nn.Cell, input_shape: tuple[int, int, int], num_classes: int, name: str) -> None:
    """Refuse a network that does not map (2, C, H, W) to (2, num_classes) logits; leave it in evaluation mode.

    Raises:
        InputError: the call fails, or what it returns is no tensor of that shape.
    """
    # In training mode the two black images would change a BatchNorm's statistics.
    network.set_train(False)
    try:
        logits = network(Tensor(np.zeros((2, *input_shape), np.float32)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"model '{name}' fails on images of shape {input_shape}: {first_line(error)}") from error
    found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    if found != f"shape {(2, num_classes)}":
        raise InputError(f"model '{name}' returns {found} for 2 images; expected (2, {num_classes}) logits")
    if type(network) not in CLASSIFIERS.values():
        _check_compiles(network, input_shape, name)


def _check_compiles(network: nn.Cell, input_shape: tuple[int, int, int], name: str) -> None:
    """Refuse a network of the user's own that runs step by step but not as the graph that training makes of it."""

    @ms.jit
    def forward(images: Tensor) -> Tensor:
        return network(images)

    # MindSpore would otherwise write the graph that failed into the working directory.
    with tempfile.TemporaryDirectory() as folder, environment("MS_OM_PATH", folder):
        try:
            forward(Tensor(np.zeros((2, *input_shape), np.float32)))
        except Exception as error:
            raise InputError(f"model '{name}' cannot be compiled by MindSpore: {first_line(error)}") from error


def _check_options(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse options that a registered network does not take."""
    known = [key for key in inspect.signature(CLASSIFIERS[name].__init__).parameters if key != "self"]
    for key in arguments:
        if key not in known:
            raise InputError(f"model '{name}' takes no option '{key}'{nearest(key, known)}")


def _own(name: str, seed: int, options: Mapping[str, Any]) -> nn.Cell:
    """Make a Cell of the user's own, by calling its class without arguments."""
    if options:
        raise InputError(f"model '{name}' is called without arguments; it takes no option '{next(iter(options))}'")
    found = own_file.load_class(name)
    try:
        with device.seeded(seed):
            return found()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"model '{name}' cannot be made by calling {found.__name__}(): {first_line(error)}") from error
