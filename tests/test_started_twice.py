"""Commands started at once in one run directory, and trainings done twice, end alike, byte by byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command import SMALL, assert_refused, call, contents
from mindleak.errors import InputError
from mindleak.jobs import report, session
from mindleak.runs import lock

METHODS = {
    "ordinary": ("training.optimizer=nesterov",),
    "prune": ("training.method=prune", "prune.finetune_epochs=1"),
    "dp_sgd": ("training.method=dp_sgd", "dp.noise_multiplier=1"),
    "suppress": ("training.method=suppress", "suppress.start_epoch=1", "suppress.mask_times=2"),
}
COMMANDS = ("train", "audit", "attack inversion", "attack membership", "predict", "report")


def checkpoints(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(folder).items() if name.endswith(".ckpt")}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_training_done_twice_gives_the_same_checkpoints_byte_by_byte(method, tmp_path, capfd):
    settings = [word for assignment in METHODS[method] for word in ("--set", assignment)]
    for place in (tmp_path / "here", tmp_path / "another" / "place"):
        done = call(capfd, "train", *SMALL, *settings, "--run_dir", place / "run", "--ckpt_dir", place / "ckpt")
        assert done.code == 0, done.err
    assert checkpoints(tmp_path / "here") == checkpoints(tmp_path / "another" / "place") != {}


@pytest.mark.parametrize("taken", ["run", "ckpt"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_writes_into_a_folder_waits_for_the_one_at_work_there(command, taken, tmp_path, capfd,
                                                                                 monkeypatch):
    def give_up(line: str) -> None:
        raise InputError(line)

    monkeypatch.setattr(session, "say_on_stderr", give_up)
    monkeypatch.setattr(report, "say_on_stderr", give_up)
    run, ckpt = tmp_path / "run", tmp_path / "ckpt"
    options = ("--run_dir", run) if command == "report" else (*SMALL, "--run_dir", run, "--ckpt_dir", ckpt)
    with lock.alone_in([tmp_path / taken]):
        done = call(capfd, *command.split(), *options)
    waits = f"waits for process {os.getpid()} on "
    if taken == "ckpt" and command in ("predict", "report"):
        assert done.code == 2 and waits not in done.err  # nothing there to be shown
    else:
        assert_refused(done, waits, f"which works in {tmp_path / taken}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_trainings_started_at_once_end_as_one_alone(tmp_path, capfd):
    words = ("train", *SMALL, "--run_dir", "run", "--ckpt_dir", "ckpt")
    alone = call(capfd, *words[:-4], "--run_dir", tmp_path / "alone" / "run", "--ckpt_dir", tmp_path / "alone" / "ckpt")
    assert alone.code == 0, alone.err
    both = tmp_path / "both"
    both.mkdir()
    # Python's own environment: MindSpore sets variables behind its back here that change how many threads it uses.
    started = [subprocess.Popen([sys.executable, "-m", "mindleak", *words], cwd=both, text=True, env=dict(os.environ),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in started]
    assert [code for *_, code in ended] == [0, 0], ended
    assert sorted("already trained" in out for out, *_ in ended) == [False, True]
    [said] = [line for _, err, _ in ended for line in err.splitlines() if "waits for process" in line]
    assert said.endswith((", which works in ckpt", ", which works in run"))
    assert checkpoints(both) == checkpoints(tmp_path / "alone") != {}
    assert sorted(path.name for path in (both / "run").iterdir()) == \
        sorted(path.name for path in (tmp_path / "alone" / "run").iterdir())
