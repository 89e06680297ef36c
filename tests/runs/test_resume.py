"""Runs survive kill -9, and several processes share one run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mindleak.runs.claim import Claim, claimed_folders, remove_abandoned
from mindleak.runs.stages import Run

# Each "epoch" is saved in the work folder; the digits of ``epochs`` show which process did which.
PROGRAM = textwrap.dedent(
    """
    import os, pathlib, sys, time
    import numpy as np
    from mindleak.runs.stages import Run

    run_dir, who, stop_at = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def compute(context):
        context.save_arrays("before", half=np.zeros(3))
        log = context.work_dir / "epochs"
        while len(done := log.read_text() if log.exists() else "") < 4:
            if len(done) == stop_at:
                print("waiting", flush=True)
                sys.stdin.read(1)
            log.write_text(done + who)
        return {"epochs": log.read_text()}

    run = Run.open(run_dir, {"a": 1}, device_target="CPU")
    result = run.stage("train", "mindleak.errors", {}, 0, compute)
    print("epochs", result.metrics["epochs"], "cached" if result.cached else "computed", flush=True)
    """
)
NEVER = 99


def start(run_dir: Path, who: str, stop_at: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(run_dir), who, str(stop_at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def inner(run_dir: Path, folder: str) -> list[str]:
    return sorted(path.name for path in (run_dir / folder).iterdir())


def test_killed_stage_goes_on_where_it_was(tmp_path: Path) -> None:
    victim = start(tmp_path, "1", stop_at=2)
    assert line(victim) == "waiting"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "stages").exists()
    assert len(inner(tmp_path, "partial")) == 2
    assert len(inner(tmp_path, "work")) == 2

    heir = start(tmp_path, "2", stop_at=NEVER)
    assert line(heir) == "epochs 1122 computed"
    assert heir.wait() == 0
    assert inner(tmp_path, "partial") == []
    assert inner(tmp_path, "work") == []
    assert len(inner(tmp_path, "stages")) == 1

    third = start(tmp_path, "3", stop_at=NEVER)
    assert line(third) == "epochs 1122 cached"
    assert third.wait() == 0


def test_opening_leaves_a_living_process_alone(tmp_path: Path) -> None:
    alive = start(tmp_path, "1", stop_at=2)
    assert line(alive) == "waiting"
    before = inner(tmp_path, "partial"), inner(tmp_path, "work")
    Run.open(tmp_path, {"a": 1}, device_target="CPU")
    assert (inner(tmp_path, "partial"), inner(tmp_path, "work")) == before
    alive.communicate("x")
    assert alive.returncode == 0


def test_two_processes_on_one_stage_keep_the_first_result(tmp_path: Path) -> None:
    slow = start(tmp_path, "1", stop_at=2)
    assert line(slow) == "waiting"
    quick = start(tmp_path, "2", stop_at=NEVER)
    assert line(quick) == "epochs 1122 computed"
    assert quick.wait() == 0
    stage = next((tmp_path / "stages").iterdir())
    inode = stage.stat().st_ino
    assert slow.poll() is None
    assert inner(tmp_path, "work") != [], "the work folder is still in use by the slow process"
    output, _ = slow.communicate("x")
    assert slow.returncode == 0
    assert output.strip() == "epochs 1122 computed"
    assert stage.stat().st_ino == inode
    assert inner(tmp_path, "partial") == inner(tmp_path, "work") == []


def test_many_processes_at_once_agree_on_one_result(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, sys
        from mindleak.runs.stages import Run
        run = Run.open(sys.argv[1], {}, device_target="CPU")
        for index in range(8):
            print(run.stage(f"s{index}", "mindleak.errors", {}, 0, lambda c: {"pid": os.getpid()}).metrics["pid"])
        """
    )
    crowd = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate()[0] for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 4
    assert len(outputs[0].split()) == 8
    assert len(set(outputs)) == 1
    assert inner(tmp_path, "partial") == []


def test_claim_outlives_no_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from mindleak.runs.claim import Claim;"
        "Claim(pathlib.Path(sys.argv[1]), shared=False);"
        "Claim(pathlib.Path(sys.argv[1] + '2'), shared=True);"
        "print('claimed', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "partial" / "a"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert line(holder) == "claimed"
    assert not remove_abandoned(folder)
    holder.kill()
    holder.wait()
    assert claimed_folders(folder.parent) == [folder, Path(f"{folder}2")]
    assert remove_abandoned(folder)
    assert remove_abandoned(Path(f"{folder}2"))
    assert os.listdir(folder.parent) == []


def test_shared_claim_goes_with_its_last_user(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "a"
    first, second = Claim(folder, shared=True), Claim(folder, shared=True)
    first.discard()
    assert folder.is_dir()
    second.discard()
    assert os.listdir(folder.parent) == []


def test_lock_file_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may find the new lock file free, take it for abandoned and remove it."""
    folder = tmp_path / "partial" / "a"
    real, calls = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not calls:
            os.unlink(f"{folder}.lock")
        calls.append(operation)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    claim = Claim(folder, shared=False)
    assert len(calls) == 2
    assert not remove_abandoned(folder)
    claim.discard()
    assert os.listdir(folder.parent) == []


def test_file_system_without_locks_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    run = Run.open(tmp_path, {}, device_target="CPU")
    assert run.stage("s", "mindleak.errors", {}, 0, lambda c: {"x": len(str(c.work_dir)) > 0}).metrics == {"x": True}
    started = time.perf_counter()
    assert run.stage("s", "mindleak.errors", {}, 0, lambda c: {}).cached
    assert time.perf_counter() - started < 5
