"""A network of the user's own: what a subject must be, how its untrained twins are made, what identifies a network."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.data.dataset import Dataset
from mindleak.data.splits import check_rows
from mindleak.errors import InputError, first_line
from mindleak.models.registry import check_output
from mindleak.runs.digest import stable_hash

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained classifier of the user's own, plus exactly which samples it was trained on.

    Attributes:
        network: Cell from images (N, C, H, W) in [0, 1] to logits (N, classes).
        members: row numbers of the training split that it was trained on; without them membership inference
            is not possible.
        name: what reports and the run's folders call it: letters, digits, '.', '_' and '-'.
        make: makes an untrained network of the same architecture, for shadows; the network's class, called
            without arguments, by default. Whatever is random in it follows from MindSpore's and NumPy's global
            seeds, which differ from shadow to shadow.
    """

    network: nn.Cell
    members: np.ndarray | None = None
    name: str = "subject"
    make: Callable[[], nn.Cell] | None = None


def check_subject(subject: Subject, data: Dataset) -> Subject:
    """Hold a subject against the data; return it with its members sorted, its network in evaluation mode.

    Raises:
        InputError: an unfit name, no Cell, logits of another shape, or members that are no distinct rows.
    """
    if not isinstance(subject.name, str) or not _NAME.fullmatch(subject.name):
        raise InputError(f"the subject's name is {subject.name!r}; expected letters, digits, '.', '_' and '-'")
    if not isinstance(subject.network, nn.Cell):
        raise InputError(f"subject '{subject.name}': network is a {type(subject.network).__name__}; "
                         "expected a mindspore.nn.Cell")
    check_output(subject.network, data.image_shape, data.num_classes, subject.name)
    if subject.members is None:
        return subject
    members = check_rows(np.asarray(subject.members), len(data.x_train), f"members of '{subject.name}'")
    return replace(subject, members=members)


def make_twin(subject: Subject, make: Callable[[], nn.Cell], seed: int) -> nn.Cell:
    """Make an untrained network as the user says, and refuse one that is no twin of the subject's.

    Args:
        subject: whose twin is wanted.
        make: see ``Subject.make``.
        seed: of MindSpore's and NumPy's global state during the call.

    Raises:
        InputError: the call fails, or returns another architecture, the subject's own network, or its weights.
    """
    call = f"subject '{subject.name}': {getattr(make, '__name__', 'make')}()"
    right = "shadows need an untrained network of the subject's architecture; give Subject(make=...)"
    try:
        with device.seeded(seed):
            network = make()
    except Exception as error:
        raise InputError(f"{call} fails ({first_line(error)}); {right}") from error
    if not isinstance(network, nn.Cell):
        raise InputError(f"{call} returns a {type(network).__name__}; {right}")
    own, new = (list(cell.get_parameters()) for cell in (subject.network, network))
    if [parameter.shape for parameter in own] != [parameter.shape for parameter in new]:
        raise InputError(f"{call} makes a network with parameters of other shapes; {right}")
    if own and weights_digest(network) == weights_digest(subject.network):
        raise InputError(f"{call} returns the trained weights; {right}")
    return network


def architecture(network: nn.Cell) -> str:
    """Return a SHA-256 over what a network computes, weights apart.

    That is its printed form and the source of those of its Cells that do not come with MindSpore. Functions and
    values outside these classes are not seen.
    """
    printed = re.sub(r" at 0x[0-9a-f]+", "", str(network))
    sources = {f"{kind.__module__}.{kind.__qualname__}": _source(kind) for kind in _own_classes(network)}
    return stable_hash([printed, sources])


def network_digest(network: nn.Cell) -> str:
    """Return a SHA-256 over what a network computes and its weights.

    An attack depends on these and not on how they came about: a network that was trained again to the same weights
    gives the same digest.
    """
    return stable_hash([architecture(network), weights_digest(network)])


def weights_digest(network: nn.Cell) -> str:
    """Return a SHA-256 over the network's parameters, in order; their names do not count."""
    return stable_hash([parameter.asnumpy() for parameter in network.get_parameters()])


def _own_classes(network: nn.Cell) -> set[type]:
    """Return the classes, bases included, of a Cell and of all Cells in it that are not MindSpore's."""
    kinds = {kind for _, cell in network.cells_and_names() for kind in type(cell).__mro__}
    return {kind for kind in kinds if kind.__module__.partition(".")[0] not in ("mindspore", "builtins")}


def _source(kind: type) -> str:
    """Return the source of a class, or nothing where Python does not know it."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""
