"""A run: a directory of finished stages that is safe to kill, to start again and to share between processes.

Layout of a run directory::

    config.yaml                     the whole merged configuration of the last call; --config takes it
    identity.yaml                   the part of it that may not change within the run
    stages/<name>-<key[:12]>/       one finished stage: result.json and what lies beside it
    partial/                        stages being computed; what a kill left is removed by the next open
    work/<name>-<key[:12]>/         what an unfinished stage keeps for its own resuming

A stage is keyed by everything that could change its outcome: name, inputs, seed, device target, versions, and the code
of its module and of all that this imports (``closure.py``). A finished stage is never computed twice, and one that was
damaged, or whose checkpoint is missing or altered, is computed again. Ranks of one job may enter the same stage
together: none waits for another, and the first to finish is kept. Other commands wait outside (``lock.py``).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mindleak import __version__, interruption
from mindleak.files import read_text, require_own_folder
from mindleak.printable import hides_characters, say
from mindleak.runs.atomic import atomic_npz, atomic_write_text, plain, sync_path, write_failure
from mindleak.runs.claim import Claim, claimed_folders, remove_abandoned
from mindleak.runs.closure import code_digest
from mindleak.runs.digest import file_digest, stable_hash
from mindleak.runs.identity import CONFIG_NAME, IDENTITY_NAME, is_older_run, is_run, require_same, saved_identity
from mindleak.runs.result import (
    SCHEMA,
    DamagedStageError,
    StageResult,
    folder_files,
    load_result,
    npz_names,
    write_record,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What follows a stage's name in the name of its folder.
_LABEL_END = re.compile(r"-[0-9a-f]{12}")
_DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class StageEvent:
    """One line of a run's log: which stage, ``computed`` or ``cached``, and what computing it took (s)."""

    name: str
    key: str
    how: str
    seconds: float


class StageContext:
    """What a stage's ``compute`` is given: where to put arrays, files and state for resuming."""

    def __init__(self, folder: Path, run_dir: Path, work_folder: Path) -> None:
        self.folder = folder
        self.external: dict[str, dict[str, str]] = {}
        self._run_dir = run_dir
        self._work_folder = work_folder
        self._work: Claim | None = None
        self._arrays: set[str] = set()

    @property
    def work_dir(self) -> Path:
        """Folder for what lets the stage resume: survives a kill or an error, removed when the stage is done.

        Ranks that compute the same stage together share it. Raises :class:`InputError` if it cannot be made.
        """
        if self._work is None:
            try:
                self._work = Claim(self._work_folder, shared=True)
            except OSError as error:
                raise write_failure(self._work_folder, error) from error
        return self._work.folder

    def save_arrays(self, file: str = "arrays", /, **arrays: Any) -> None:
        """Keep named arrays in ``<file>.npz`` beside the result; names are unique within the stage.

        Raises ``ValueError`` for a name given twice, otherwise as :func:`atomic.atomic_npz`.
        """
        twice = sorted(self._arrays & set(arrays))
        target = self.path(f"{file}.npz")
        if twice or target.exists():
            raise ValueError(f"stage arrays saved twice: {', '.join(twice) or target.name}")
        atomic_npz(target, **arrays)
        self._arrays.update(npz_names(target))

    def path(self, name: str) -> Path:
        """Return where to write a further file (a figure, a table) that belongs to the stage's folder."""
        self.folder.mkdir(exist_ok=True)
        return self.folder / name

    def refer(self, name: str, path: str | os.PathLike[str]) -> None:
        """Record by digest a file kept outside the run directory, such as a checkpoint in ``ckpt/``.

        Once it is missing or altered, the stage counts as not done. Raises ``OSError`` if it cannot be read.
        """
        relative = os.path.relpath(path, self._run_dir)
        self.external[name] = {"path": Path(relative).as_posix(), "sha256": file_digest(path)}

    def close(self, *, finished: bool) -> None:
        """Give the work folder back: removed when ``finished``, kept for resuming otherwise."""
        if self._work is not None:
            self._work.release()
            self._work = None
        if finished:
            remove_abandoned(self._work_folder)


def _to_stderr(line: str) -> None:
    say(line, sys.stderr)


class Run:
    """A run directory; made by :meth:`open`."""

    def __init__(
        self,
        run_dir: Path,
        config: dict[str, Any],
        device_target: str,
        say: Callable[[str], None],
    ) -> None:
        self.run_dir = run_dir
        self.config = config
        self.device_target = device_target
        self.log: list[StageEvent] = []
        self._say = say

    @classmethod
    def open(
        cls,
        run_dir: str | os.PathLike[str],
        config: dict[str, Any],
        *,
        device_target: str,
        whole: dict[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = _to_stderr,
    ) -> Run:
        """Open or make a run directory for ``config`` and remove what killed processes left in it.

        ``config`` holds only keys that matter to the outcome, ``whole`` all of them (``config`` where there are no
        others): it is kept for the reader and not compared. ``defaults`` are those of ``config``'s keys: what an
        earlier version's run directory lacks had none there (``identity.require_same``). ``device_target`` is the
        resolved one (``CPU``, ``GPU``, ``Ascend``); ``say`` receives the few lines a reader must see (pass a silent
        one on ranks other than 0). Raises :class:`InputError` if the directory was made with another configuration,
        naming the first key that differs, or cannot be read or written.
        """
        folder = Path(os.path.abspath(run_dir))
        wanted = _yaml_round_trip(config)
        for name in ("stages", "partial", "work"):
            # What killed processes left is removed; through a link, that would remove files somewhere else.
            require_own_folder(folder / name)
        if is_older_run(folder):
            say(f"{folder} was made by an earlier version of mindleak; stages that it computed otherwise are computed "
                "again")
        elif is_run(folder):
            known = None if defaults is None else _yaml_round_trip(defaults)
            forgotten = require_same(folder, saved_identity(folder), wanted, known)
            if forgotten:
                say(f"{folder} was made by another version of mindleak, with settings that this one does not know "
                    f"({', '.join(forgotten)}); stages that they changed are computed again")
        # Also where it is there: keys new to it are written down, so that another default of theirs is noticed later.
        _keep_text(folder / IDENTITY_NAME, _yaml(wanted))
        _keep_text(folder / CONFIG_NAME, _yaml(wanted if whole is None else whole))
        run = cls(folder, wanted, device_target, say)
        run._remove_leftovers()
        return run

    def stage(
        self,
        name: str,
        module: str,
        inputs: dict[str, Any],
        seed: int,
        compute: Callable[[StageContext], dict[str, Any]],
    ) -> StageResult:
        """Return the stage's result, computing it only if it is not there whole.

        ``module`` is the ``__name__`` of the module that computes it, which imports all code that decides the outcome;
        ``inputs`` holds plain values: the part of the configuration the stage depends on, the ``digest`` of
        each input stage and of the data. ``compute`` returns the metrics as plain values, not-finite numbers
        as null. Whatever it raises leaves the stage undone and passes through, except that a full or
        read-only disk becomes :class:`InputError`. Raises ``ValueError`` for a name unfit for a folder, or a module
        that there is no source of.
        """
        interruption.check()
        identity, key = self._identify(name, module, inputs, seed)
        label = f"{name}-{key[:12]}"
        result = self._finished(label, key)
        if result is None:
            result = self._compute(label, {"schema": SCHEMA, **identity, "key": key}, compute)
        if not any(event.key == key for event in self.log):
            self.log.append(StageEvent(name, key, "cached" if result.cached else "computed", result.seconds))
        return result

    def is_done(self, name: str, module: str, inputs: dict[str, Any], seed: int) -> bool:
        """Return whether the stage is there, computed by whichever process; its content is not looked at."""
        _, key = self._identify(name, module, inputs, seed)
        return (self.run_dir / "stages" / f"{name}-{key[:12]}").is_dir()

    def others(self, name: str, but: StageResult) -> list[Path]:
        """Return the folders of finished and of unfinished stages of a name, all but one result's."""
        return sorted(folder for place in ("stages", "work") for folder in (self.run_dir / place).glob(f"{name}-*")
                      if folder != but.path and folder.is_dir() and _LABEL_END.fullmatch(folder.name[len(name):]))

    def remove_others(self, name: str, but: StageResult) -> None:
        """Remove finished and unfinished stages of a name, all but one result: what they hold must be gone for good.

        Raises:
            InputError: the disk refuses.
        """
        for folder in self.others(name, but):
            self._set_aside(folder)

    def _identify(self, name: str, module: str, inputs: dict[str, Any], seed: int) -> tuple[dict[str, Any], str]:
        """Return what the stage's outcome depends on, and its key."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"a stage's name is made of letters, digits, '.', '_' and '-', not {name!r}")
        identity = {
            "stage": name,
            "inputs": plain(inputs),
            "seed": plain(seed),
            "device_target": self.device_target,
            "versions": installed_versions(),
        }
        return identity, stable_hash({**identity, "source": code_digest(module)})

    def _finished(self, label: str, key: str) -> StageResult | None:
        folder = self.run_dir / "stages" / label
        if not folder.is_dir():
            return None
        try:
            return load_result(folder, key, self.run_dir, cached=True)
        except DamagedStageError as damage:
            self._say(f"stage {label} is computed again: {damage}")
        self._set_aside(folder)
        return None

    def _set_aside(self, folder: Path) -> None:
        # Renamed before it is removed: a kill in between must not leave a stage folder with half its files.
        try:
            claim = self._claim_partial(folder.name)
            try:
                os.rename(folder, claim.folder / "damaged")
            except FileNotFoundError:
                pass  # Another process has found the same damage first.
            finally:
                claim.discard()
        except OSError as error:
            raise write_failure(folder, error) from error

    def _claim_partial(self, label: str) -> Claim:
        return Claim(self.run_dir / "partial" / f"{label}-{secrets.token_hex(4)}", shared=False)

    def _compute(
        self, label: str, record: dict[str, Any], compute: Callable[[StageContext], dict[str, Any]]
    ) -> StageResult:
        try:
            claim = self._claim_partial(label)
        except OSError as error:
            raise write_failure(self.run_dir / "partial", error) from error
        context = StageContext(claim.folder / "stage", self.run_dir, self.run_dir / "work" / label)
        finished = False
        try:
            metrics, seconds = _timed(compute, context)
            record = {**record, "seconds": seconds, "result": metrics, "external": context.external}
            result = self._publish(context.folder, label, record)
            finished = True
        finally:
            context.close(finished=finished)
            claim.discard()
        return result

    def _publish(self, folder: Path, label: str, record: dict[str, Any]) -> StageResult:
        target = self.run_dir / "stages" / label
        try:
            folder.mkdir(exist_ok=True)
            write_record(folder, {**record, "files": folder_files(folder)})
            for path in [*folder.rglob("*"), folder]:
                sync_path(path)
            target.parent.mkdir(exist_ok=True)
            _rename_unless_there(folder, target)
            sync_path(target.parent)
        except OSError as error:
            raise write_failure(target, error) from error
        return load_result(target, record["key"], self.run_dir, cached=False)

    def _remove_leftovers(self) -> None:
        for folder in claimed_folders(self.run_dir / "partial"):
            remove_abandoned(folder)
        for folder in claimed_folders(self.run_dir / "work"):
            if (self.run_dir / "stages" / folder.name).is_dir():
                remove_abandoned(folder)


def _rename_unless_there(folder: Path, target: Path) -> None:
    # A folder cannot be renamed onto one with files in it: then another process was first, and its result
    # is the one that others may already have built upon.
    try:
        os.rename(folder, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def installed_versions() -> dict[str, str | None]:
    """Return the versions a key depends on, None for what is not installed; imports none of the packages."""
    versions: dict[str, str | None] = {"mindleak": __version__}
    for package in ("mindspore", "mindarmour", "numpy"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _yaml(config: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
    # Whoever looks at the file must see what it holds; read back, both are the same.
    if hides_characters(text):
        text = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=False)
    return text


def _keep_text(path: Path, text: str) -> None:
    # Nothing is written if nothing has changed, because a run that is only read may be on a read-only file system.
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if read_text(path) == text:
            return
    atomic_write_text(path, text)


def _yaml_round_trip(config: Mapping[str, Any]) -> dict[str, Any]:
    # Compared as a later process will read it back, so that 1e-05 or an int key never differs from itself.
    loaded: dict[str, Any] = yaml.safe_load(_yaml(config))
    return loaded


def _timed(
    compute: Callable[[StageContext], dict[str, Any]], context: StageContext
) -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    try:
        metrics = compute(context)
    except OSError as error:
        if error.errno in _DISK_REFUSES:
            raise write_failure(error.filename or context.folder, error) from error
        raise
    return metrics, time.perf_counter() - started
