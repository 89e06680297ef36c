"""What every job starts from: the merged configuration, the device, the run directory, the loaded data."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easydict import EasyDict

from mindleak import device
from mindleak import settings as configuration
from mindleak.data.catalogue import load
from mindleak.data.dataset import Dataset
from mindleak.data.locate import expanded
from mindleak.errors import InputError
from mindleak.printable import say
from mindleak.runs.digest import stable_hash
from mindleak.runs.lock import alone_in, say_on_stderr
from mindleak.runs.stages import Run, is_run

if TYPE_CHECKING:
    from mindleak.training.compiled import CompiledTrainings


# Of file systems on Linux, in bytes.
_LONGEST_NAME = 255


@dataclass
class Session:
    """One call of the program.

    Attributes:
        config: merged configuration.
        device: where this process runs.
        run_dir: folder of the run; there is none yet where ``run`` has never been asked for.
        ckpt_dir: folder of this run's checkpoints.
        command: how the program was called, for the report's provenance.
        warnings: what the user has been warned of, for the report.
        speaks: False where another process will say the same.
        asks: False where networks are not asked anything, since other processes will do it on the device.
    """

    config: EasyDict
    device: device.Device
    run_dir: Path
    ckpt_dir: Path
    command: str
    warnings: list[str] = field(default_factory=list)
    speaks: bool = True
    asks: bool = True
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    @cached_property
    def run(self) -> Run:
        """The run directory, made when first asked for: input that turns out to be wrong leaves no folder behind.

        Raises:
            InputError: it belongs to another configuration, or cannot be written.
        """
        identity = configuration.identity(self.config)
        identity["device"] = {"target": self.device.target}
        return Run.open(self.run_dir, identity, device_target=self.device.target,
                        whole=configuration.to_plain(self.config),
                        **({} if self._is_heard else {"say": _silent}))

    @cached_property
    def compiled(self) -> CompiledTrainings:
        """What the trainings of this process share; loads MindSpore when first asked for."""
        from mindleak.training.compiled import CompiledTrainings

        return CompiledTrainings()

    def say(self, text: str) -> None:
        """Print a line, on the one process that speaks."""
        if self._is_heard:
            say(text)

    @property
    def _is_heard(self) -> bool:
        return self.speaks and self.device.is_main

    def warn(self, text: str) -> None:
        """Tell the user once of what makes figures doubtful; it will stand in the report as well."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.say(f"warning: {text}")

    def dataset(self, data: EasyDict) -> Dataset:
        """Return the data set of a ``data`` section, loaded once; what is doubtful about it is said."""
        key = stable_hash(configuration.to_plain(data))
        if key not in self._datasets:
            self._datasets[key] = load(data.name, data.dir, data.image_size, data.resize)
            for doubt in self._datasets[key].doubts:
                self.warn(f"data set '{data.name}': {doubt}")
        return self._datasets[key]

    def seed(self, *purpose: Any) -> int:
        """Return a seed for one purpose; purposes do not share random numbers."""
        return int(stable_hash([self.config.seed, *purpose])[:7], 16)


@contextlib.contextmanager
def session_alone(config: EasyDict, run_dir: str | None, ckpt_dir: str | None, command: str,
                  trains: bool = True) -> Iterator[Session]:
    """Keep other commands out of the run's folders while this one works there; give its session.

    A command that works there already is waited for. Arguments and errors are those of :func:`open_session`.
    """
    folders = _folders(config, run_dir, ckpt_dir)
    selected = _configure(config, *folders, trains)
    say = say_on_stderr if selected.is_main else _silent
    with alone_in(folders if trains else folders[:1], say, device.job_name()):
        yield open_session(config, run_dir, ckpt_dir, command, trains)


@contextlib.contextmanager
def session_in_advance(config: EasyDict, run_dir: str | None, ckpt_dir: str | None, workers: int) -> Iterator[Session]:
    """Give a silent session that stands for one of ``workers`` processes on the configured device, but is on the CPU.

    It is for finding what every one of them would refuse, and asks no network. Nothing is left behind. Arguments and
    errors are those of :func:`open_session`.
    """
    folders = _folders(config, run_dir, ckpt_dir)
    for folder in folders:
        _require_writable(folder)
    target = device.require_usable(config.device.target)
    here = device.configure("CPU", threads=config.device.threads,
                            kernels=config.device.kernels if target == "CPU" else "mindspore")
    stands_for = replace(here, target=target, world_size=workers, data_parallel=config.device.data_parallel)
    with alone_in(folders, say_on_stderr):
        session = Session(config, stands_for, *folders, "check", speaks=False, asks=False)
        if is_run(session.run_dir):
            _ = session.run
        yield session


def open_session(config: EasyDict, run_dir: str | None, ckpt_dir: str | None, command: str,
                 trains: bool = True) -> Session:
    """Configure the device and return the session; nothing is written yet.

    Args:
        config: merged configuration.
        run_dir: folder of the run; ``runs/<name>-<seed>`` by default, where the name is that of the
            configuration file and of the checkpoint given, if any.
        ckpt_dir: folder of its checkpoints; by default ``ckpt/<last part of run_dir>``, to which a run outside
            ``runs/`` adds a few digits of its whole path, so that no two runs share one.
        command: how the program was called.
        trains: whether checkpoints will be written.

    Raises:
        InputError: the device is not there, a folder cannot be written, or the run directory belongs to
            another configuration.
    """
    folder, checkpoints = _folders(config, run_dir, ckpt_dir)
    session = Session(config, _configure(config, folder, checkpoints, trains), folder, checkpoints, command)
    if is_run(folder):
        _ = session.run
    return session


def _require_here() -> None:
    """Refuse a working directory that somebody has removed: every relative path would fail, some after hours.

    Raises:
        InputError: it is gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the working directory does not exist any more; change to one that does") from None


def _folders(config: EasyDict, run_dir: str | None, ckpt_dir: str | None) -> tuple[Path, Path]:
    """Return the folders of the run and of its checkpoints."""
    _require_here()
    folder = expanded(run_dir) if run_dir else Path("runs") / f"{_default_name(config)}-{config.seed}"
    return folder, expanded(ckpt_dir) if ckpt_dir else Path("ckpt") / _checkpoint_name(folder)


def _configure(config: EasyDict, folder: Path, checkpoints: Path, trains: bool) -> device.Device:
    """Select the device, once it is known that the folders can be written."""
    _require_writable(folder)
    if trains:
        _require_writable(checkpoints)
    return device.configure(config.device.target, config.device.id, config.device.threads, config.device.kernels,
                            config.device.data_parallel)


def _default_name(config: EasyDict) -> str:
    """Return what a run is called: a checkpoint given is part of it, so that it gets a folder of its own."""
    checkpoint = config.model.checkpoint
    parts = [config.name, None if checkpoint is None else Path(checkpoint).stem]
    return "-".join(part for part in parts if part) or "default"


def _checkpoint_name(run_dir: Path) -> str:
    """Return what a run's folder of checkpoints is called: another for every run directory."""
    whole = Path(os.path.abspath(run_dir))
    if whole.parent == Path("runs").absolute():
        return whole.name
    return f"{whole.name}-{stable_hash(str(whole))[:8]}"


def _require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, before any work is done for it; it is not made here.

    Raises:
        InputError: what stands in the way.
    """
    for part in folder.parts:
        size = len(os.fsencode(part))
        if size > _LONGEST_NAME:
            raise InputError(f"cannot write {folder}: it has a name of {size:,} bytes; expected at most "
                             f"{_LONGEST_NAME}, the most that a folder's name can have")
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise InputError(f"cannot write {folder}: {there} is no folder")
    # Permission bits say nothing to root, and nothing of a read-only or remote file system: it takes a try.
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".mindleak-", dir=there))
    except OSError as error:
        raise InputError(f"cannot write {folder}: {there}: {(error.strerror or str(error)).lower()}") from error


def _silent(line: str) -> None:
    """Swallow a line: only rank 0 speaks."""
