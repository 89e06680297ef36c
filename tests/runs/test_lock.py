"""One command at a time in a run directory, whatever becomes of the one before."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mindleak.errors import InputError
from mindleak.runs import lock
from mindleak.runs.lock import NAME, alone_in

HERE = f"process {os.getpid()} on {socket.gethostname()}"
HOLD = """
import sys, time
from pathlib import Path
from mindleak.runs.lock import alone_in
with alone_in([Path(sys.argv[1])], job=sys.argv[2] or None):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_TRIES", 0.01)


def holder(folder: Path, job: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), job], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    return process


def test_a_second_command_waits_says_for_whom_and_goes_on(tmp_path):
    lines: list[str] = []
    order: list[str] = []

    def second() -> None:
        with alone_in([tmp_path], lines.append):
            order.append("second")

    with alone_in([tmp_path], lines.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not lines:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert lines == [f"waits for {HERE}, which works in {tmp_path}"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", ["", "host:8118"])
def test_the_lock_of_a_killed_command_is_taken_over(job, tmp_path):
    process = holder(tmp_path, job)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / NAME).exists()
    lines: list[str] = []
    with alone_in([tmp_path], lines.append):
        assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
    assert lines == [] and list(tmp_path.iterdir()) == []


def test_processes_of_one_job_work_together_and_others_wait_for_all_of_them(tmp_path):
    process = holder(tmp_path, "host:8118")
    lines: list[str] = []
    with alone_in([tmp_path], lines.append, job="host:8118"):
        assert lines == []
        process.kill()
        process.wait()
        assert not free(tmp_path, None) and not free(tmp_path, "host:9999")
        assert free(tmp_path, "host:8118")
        assert (tmp_path / NAME).exists()
    assert free(tmp_path, None) and list(tmp_path.iterdir()) == []


def free(folder: Path, job: str | None) -> bool:
    """Whether a command may work in the folder at once."""
    class WaitsError(Exception):
        pass

    def stop(line: str) -> None:
        raise WaitsError

    try:
        with alone_in([folder], stop, job=job):
            return True
    except WaitsError:
        return False


def test_a_job_waits_for_a_command_alone(tmp_path):
    with alone_in([tmp_path]):
        assert not free(tmp_path, "host:8118")


def test_folders_are_locked_once_and_in_one_order(tmp_path, monkeypatch):
    seen: list[str] = []
    taken = lock._wait_for

    def noted(path: Path, *rest: object) -> object:
        seen.append(path.parent.name)
        return taken(path, *rest)

    monkeypatch.setattr(lock, "_wait_for", noted)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    for order in (("b", "a"), ("a", "b", "b"), ("link", "a")):
        with alone_in([tmp_path / name for name in order]):
            pass
    assert seen == ["a", "b"] * 3


def test_a_folder_made_for_the_lock_goes_again_if_nothing_was_written(tmp_path):
    with alone_in([tmp_path / "runs" / "one"]):
        assert (tmp_path / "runs" / "one" / NAME).exists()
    assert list(tmp_path.iterdir()) == []
    with alone_in([tmp_path / "runs" / "one"]):
        (tmp_path / "runs" / "one" / "kept").touch()
    assert (tmp_path / "runs" / "one" / "kept").exists()


def test_a_folder_that_the_command_before_has_removed_is_made_again(tmp_path):
    folder = tmp_path / "run"
    entered = threading.Event()

    def second() -> None:
        with alone_in([folder], lambda line: entered.set()):
            (folder / "kept").touch()

    with alone_in([folder]):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(10)
    thread.join(10)
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_it_is_said_and_gone_on(code, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lines: list[str] = []
    with alone_in([tmp_path], lines.append):
        assert list(tmp_path.iterdir()) == []
    assert len(lines) == 1 and f"{tmp_path} lies on a file system without locks" in lines[0]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_not_locked(code, tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.files, "open_own", refuse)
    lines: list[str] = []
    with alone_in([tmp_path], lines.append):
        assert lines == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(InputError, match="cannot write .*run: no space left on device"), alone_in([tmp_path / "run"]):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("note", [b"", b"[", b"[]", b'{"process": "1", "host": "h"}', b"[" * 900, b"\xff",
                                  b'{"process": 1, "host": "\x1b[31mred"}'])
def test_what_a_lock_says_is_not_trusted(note, tmp_path):
    with alone_in([tmp_path]):
        (tmp_path / NAME).write_bytes(note)
        with pytest.raises(RuntimeError, match="^waits for another command, which works in"), \
                alone_in([tmp_path], fail):
            pass


def fail(line: str) -> None:
    raise RuntimeError(line)


@pytest.mark.parametrize("plant", [
    lambda path, victim: path.symlink_to(victim), lambda path, victim: os.link(victim, path),
    lambda path, victim: os.mkfifo(path), lambda path, victim: path.mkdir(),
], ids=["symbolic link", "hard link", "pipe", "folder"])
def test_a_planted_lock_is_refused_and_its_target_left_alone(plant, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run").mkdir()
    plant(tmp_path / "run" / NAME, victim)
    with pytest.raises(InputError, match=r"run/\.lock' is .*; remove it"), alone_in([tmp_path / "run"]):
        pass
    assert victim.read_text() == "precious"
