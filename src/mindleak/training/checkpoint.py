"""Checkpoints in MindSpore's format: weights, optimiser, schedule history and epoch in one file.

Files are named as MindSpore names them, ``<prefix>-<epoch>_<steps>.ckpt``, and carry its checksum; weights stand
under their plain names, everything else under ``mindleak.``, so any MindSpore program can load the weights. How files
are read, others' too, stands in ``checkpoint_file``.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindleak.errors import InputError, first_line
from mindleak.quiet import quiet_stderr
from mindleak.runs.atomic import sync_path
from mindleak.runs.claim import Claim, claimed_folders, remove_abandoned
from mindleak.training import in_place
from mindleak.training.checkpoint_file import read
from mindleak.training.history import FIELDS, EpochRecord

_OWN = "mindleak."
_OPTIMIZER = "mindleak.optimizer."
_HISTORY = "mindleak.history"
_FINGERPRINT = "mindleak.fingerprint"
_PARTIAL = ".partial"
# NumPy's kinds of numbers that a parameter of such a type can hold.
_KINDS = {"Float": "f", "BFloat": "f", "Int": "iu", "UInt": "iu", "Bool": "b"}
# Prefixes that MindSpore's optimisers put before a weight's name for the state they keep of it (mindspore/nn/optim).
# One of them, FTRL's, is also a common name of layers.
_LAYER_TOO = "linear"
_OPTIMIZER_STATE = frozenset((
    "accum", "accum_update", "adam_m", "adam_v", "ax_", "exp_avg", "exp_avg_sq", "lamb_m", "lamb_v", _LAYER_TOO,
    "max_exp_avg_sq", "mean_grad", "mean_square", "moment", "moment1", "moment2", "moments", "prev", "stat",
    "step_size", "vhat"))
# The columns of the history. Seconds are left out, so that equal trainings give equal files, byte by byte.
_KEPT = tuple(name for name in FIELDS if name != "seconds")


def save(path: Path, network: nn.Cell, optimizer: nn.Cell | None = None,
         history: Sequence[EpochRecord] = (), fingerprint: str = "") -> None:
    """Write a checkpoint atomically.

    Args:
        path: target, ending in ``.ckpt``.
        network: its parameters are saved under their own names.
        optimizer: its state (moments, learning rate, step) is saved too.
        history: the epochs so far; a resumed schedule is computed from it.
        fingerprint: identifies data, recipe and seed, so that a resume cannot continue another run.

    Raises:
        InputError: the folder cannot be written or the disk is full; nothing half-written stays.
    """
    entries = [{"name": parameter.name, "data": parameter} for parameter in network.get_parameters()]
    if optimizer is not None:
        entries += [{"name": _OPTIMIZER + name, "data": parameter}
                    for name, parameter in _optimizer_state(network, optimizer)]
    if history:
        table = np.array([[getattr(record, name) for name in _KEPT] for record in history], np.float64)
        entries.append({"name": _HISTORY, "data": Tensor(table)})
    if fingerprint:
        code = np.frombuffer(fingerprint.encode(), np.uint8).astype(np.int32)
        entries.append({"name": _FINGERPRINT, "data": Tensor(code)})
    _write_atomically(path, entries)


def _write_atomically(path: Path, entries: list[dict[str, object]]) -> None:
    """Save in a folder of its own, flush to disk, rename.

    MindSpore leaves a file of its own naming behind when the disk is full; with the folder it goes too. What a
    kill left behind is removed by the next call.
    """
    folder = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        for left in claimed_folders(path.parent):
            if left.name.endswith(_PARTIAL):
                remove_abandoned(left)
        claim = Claim(folder, shared=False)
        try:
            with quiet_stderr():
                ms.save_checkpoint(entries, str(folder / path.name), crc_check=True)
            sync_path(folder / path.name)
            os.replace(folder / path.name, path)
        finally:
            claim.discard()
        sync_path(path.parent)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"checkpoint '{path}' cannot be written: {first_line(error)}") from error


def _optimizer_state(network: nn.Cell, optimizer: nn.Cell) -> list[tuple[str, Parameter]]:
    """Return the optimiser's own parameters by a name that is unique and stable."""
    weights = {id(parameter) for parameter in network.get_parameters()}
    return [(parameter.name, parameter) for parameter in optimizer.get_parameters() if id(parameter) not in weights]


def load_weights(network: nn.Cell, path: str | Path) -> None:
    """Set the network's parameters from a checkpoint, all of them or none.

    Names may have a prefix that all of them share, as they do where a Cell was saved that held the network
    (``network.``, ``_backbone.``); MindSpore's ``load_param_into_net`` takes such files too. So may those that
    MindArmour's suppress controller has renamed (``networks.``).

    Raises:
        InputError: the file is damaged, of another architecture, or holds numbers that are not finite.
    """
    parameters = {parameter.name: parameter for parameter in network.get_parameters()}
    arrays = {name.removeprefix("networks."): array for name, array in read(path).items()
              if not name.startswith(_OWN)}
    prefix = _shared_prefix(arrays, parameters, path)
    prefixed = {name[len(prefix):]: array for name, array in arrays.items() if name.startswith(prefix)}
    arrays = {**{name: array for name, array in arrays.items() if not name.startswith(prefix)}, **prefixed}
    for name, parameter in parameters.items():
        if name not in arrays:
            raise InputError(f"checkpoint '{path}' is of another architecture: it lacks '{name}'")
        if tuple(arrays[name].shape) != tuple(parameter.shape):
            raise InputError(f"checkpoint '{path}' is of another architecture: '{name}' has shape "
                             f"{tuple(arrays[name].shape)}, the network needs {tuple(parameter.shape)}")
        _refuse_numbers(arrays[name], parameter, path)
    _refuse_surplus(arrays, parameters, path)
    for name, parameter in parameters.items():
        in_place.write(parameter, arrays[name])


def _shared_prefix(arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Parameter], path: str | Path) -> str:
    """Return what stands before every parameter's name in a checkpoint, nothing by preference.

    What optimisers keep per weight (``moments.fc1.weight``) is named like a weight with a prefix, and is none.

    Raises:
        InputError: there are several, such as a teacher's and a student's.
    """
    first = next(iter(parameters), None)
    if first is None or all(name in arrays for name in parameters):
        return ""
    prefixes = [name[:-len(first)] for name in arrays if name.endswith(f".{first}")]
    fitting = [prefix for prefix in prefixes if all(prefix + name in arrays for name in parameters)]
    kept = [(_OPTIMIZER_STATE.intersection(prefix.split(".")), prefix) for prefix in fitting]
    weights = ([prefix for state, prefix in kept if not state]
               or [prefix for state, prefix in kept if state == {_LAYER_TOO}])
    if len(weights) > 1:
        raise InputError(f"checkpoint '{path}' holds {len(weights)} networks of this architecture, under "
                         f"{weights[0][:60]!r} and {weights[1][:60]!r}; expected one")
    return weights[0] if weights else ""


def _refuse_numbers(array: np.ndarray, parameter: Parameter, path: str | Path) -> None:
    """Refuse numbers that a parameter cannot hold: whole ones for real ones or the other way round, NaN, infinity."""
    kind = _KINDS.get(str(parameter.dtype).rstrip("0123456789"), array.dtype.kind)
    if array.dtype.kind not in kind:
        raise InputError(f"checkpoint '{path}' is of another architecture: '{parameter.name}' holds {array.dtype} "
                         f"numbers, the network needs {str(parameter.dtype).lower()}")
    if kind == "f":
        widest = np.finfo(np.float16 if str(parameter.dtype) == "Float16" else np.float32).max
        limit = np.inf if str(parameter.dtype) == "Float64" else widest
        if not (np.abs(array) <= limit).all() or not np.isfinite(array).all():
            raise InputError(f"checkpoint '{path}' holds numbers that are not finite in '{parameter.name}'")


def _refuse_surplus(arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Parameter], path: str | Path) -> None:
    """Refuse weights that the network has no place for: LeNet5 would take one with biases for its own.

    What another program's optimiser left is no such weight: scalars, names without a cell (``learning_rate``), and
    state per weight, which carries the weight's name at its end (``moments.fc1.weight``).
    """
    for name, array in arrays.items():
        state = "." not in name or array.size < 2 or any(name.endswith(f".{own}") for own in parameters)
        if name not in parameters and not state:
            raise InputError(f"checkpoint '{path}' is of another architecture: the network has no {name[:60]!r}")


def resume(path: str | Path, network: nn.Cell, optimizer: nn.Cell, fingerprint: str) -> list[EpochRecord]:
    """Bring network and optimiser to where the checkpoint's training was; return the epochs done.

    Raises:
        InputError: the checkpoint belongs to other data, another recipe or seed, or cannot be resumed.
    """
    arrays = read(path)
    if _FINGERPRINT not in arrays or _HISTORY not in arrays:
        raise InputError(f"checkpoint '{path}' holds weights only; --resume needs one that training wrote")
    if _fingerprint_of(arrays) != fingerprint:
        raise InputError(f"checkpoint '{path}' comes from other data, another recipe, seed or version; "
                         "resume with the configuration it was made with")
    state = _optimizer_state(network, optimizer)
    for name, parameter in state:
        if _OPTIMIZER + name not in arrays or arrays[_OPTIMIZER + name].shape != tuple(parameter.shape):
            raise InputError(f"checkpoint '{path}' cannot be resumed: it lacks the optimiser's '{name}'")
    load_weights(network, path)
    for name, parameter in state:
        in_place.write(parameter, arrays[_OPTIMIZER + name])
    return [EpochRecord(int(row[0]), *map(float, row[1:len(_KEPT)])) for row in arrays[_HISTORY]]


def belongs_to(path: Path, fingerprint: str) -> bool:
    """Return whether a checkpoint is whole and was written by the training that ``fingerprint`` identifies."""
    try:
        return _fingerprint_of(read(path)) == fingerprint
    except InputError:
        return False


def _fingerprint_of(arrays: dict[str, np.ndarray]) -> str:
    """Return the fingerprint in a checkpoint, or nothing."""
    return bytes(arrays[_FINGERPRINT].astype(np.uint8)).decode() if _FINGERPRINT in arrays else ""


class CheckpointFolder:
    """Best and last checkpoints of one training run, e.g. ``lenet5-10_1875.ckpt``, ``lenet5_best-8_1875.ckpt``."""

    def __init__(self, folder: Path, prefix: str, steps_per_epoch: int) -> None:
        self.folder = folder
        self._prefix = prefix
        self._steps = steps_per_epoch

    def path(self, epoch: int, best: bool = False) -> Path:
        """Return the name of the checkpoint after ``epoch``."""
        return self.folder / f"{self._prefix}{'_best' if best else ''}-{epoch}_{self._steps}.ckpt"

    def latest(self, best: bool = False) -> Path | None:
        """Return the last (or best) checkpoint in the folder, if there is one."""
        kept = self._kept(best)
        return kept[-1] if kept else None

    def keep(self, epoch: int, best: bool, network: nn.Cell, optimizer: nn.Cell | None,
             history: Sequence[EpochRecord], fingerprint: str) -> Path:
        """Write the checkpoint after ``epoch``, then remove its predecessors of the same kind."""
        path = self.path(epoch, best)
        save(path, network, optimizer, history, fingerprint)
        self._remove([file for file in self._kept(best) if file != path])
        return path

    def only_read(self) -> ReadOnlyFolder:
        """Return the folder for a process that trains along and leaves the writing to another."""
        return ReadOnlyFolder(self.folder, self._prefix, self._steps)

    def clear(self) -> None:
        """Remove this run's checkpoints, before it starts from the beginning."""
        self._remove(self._kept(best=False) + self._kept(best=True))

    def _kept(self, best: bool) -> list[Path]:
        """Return the checkpoints of a kind by epoch; more than one where a crash came before a removal."""
        pattern = re.compile(re.escape(self._prefix) + ("_best" if best else "") + r"-(\d+)_(\d+)\.ckpt")
        found = [(int(match.group(1)), file) for file in self.folder.glob("*.ckpt")
                 if (match := pattern.fullmatch(file.name))]
        return [file for _, file in sorted(found)]

    @staticmethod
    def _remove(files: Sequence[Path]) -> None:
        """Remove files; another process of the same job may have been faster."""
        for file in files:
            file.unlink(missing_ok=True)


class ReadOnlyFolder(CheckpointFolder):
    """A ``CheckpointFolder`` to resume from, in which nothing is written or removed."""

    def keep(self, epoch: int, best: bool, network: nn.Cell, optimizer: nn.Cell | None,
             history: Sequence[EpochRecord], fingerprint: str) -> Path:
        """Return where the main process writes the checkpoint."""
        return self.path(epoch, best)

    def clear(self) -> None:
        """Leave it to the main process."""
