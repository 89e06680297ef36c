"""A signal ends a command: nothing swallows it, and standard error has one line of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindleak import interruption, quiet

# A command whose work hides an interrupt in a way of Python's, a library's or MindSpore's.
PROGRAM = """
import os, signal, sys, time
from mindleak import cli
def in_a_finaliser():
    class Late:
        def __del__(self):
            os.kill(os.getpid(), {number})
            sum(range(1000))
    Late()
    sum(range(1000))
def in_a_weak_references_callback():
    import weakref
    class Thing: pass
    thing = Thing()
    kept = weakref.ref(thing, lambda _: (os.kill(os.getpid(), {number}), sum(range(1000))))
    del thing
def caught_by_a_library():
    try:
        os.kill(os.getpid(), {number})
        time.sleep(5)
    except BaseException:
        pass
def made_another_exception():
    try:
        os.kill(os.getpid(), {number})
        time.sleep(5)
    except BaseException as error:
        os.write(2, b"C++ call stack\\n" * 5)
        raise RuntimeError("operator failed") from error
def in_the_open():
    os.kill(os.getpid(), {number})
    time.sleep(5)
cli._dispatch = lambda *_: {way}()
code = cli.main(["audit"])
sys.stderr.write("heard again\\n")
sys.exit(code)
"""
WAYS = ["in_a_finaliser", "in_a_weak_references_callback", "caught_by_a_library", "made_another_exception",
        "in_the_open"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", WAYS)
def test_no_signal_is_swallowed_and_one_line_is_said(way, number):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(number=int(number), way=way)], capture_output=True,
                          text=True, timeout=60, check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, _default))
    assert done.returncode == 130
    assert done.stderr == ("mindleak: interrupted; the same command goes on from the last finished stage or epoch\n"
                           "heard again\n")


_default = signal.default_int_handler


@pytest.fixture
def python_handles_ctrl_c():
    """Python's own handler: a job started in the background inherits SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_swallowed_interrupt_stops_the_next_stage_already():
    begun = []
    with pytest.raises(KeyboardInterrupt), interruption.raised():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            begun.append("caught")
        interruption.check()
        begun.append("the next stage")
    assert begun == ["caught"]
    interruption.check()


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_handlers_hook_and_standard_error_are_as_before(capfd):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interruption.raised():
        signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_errors_pass_where_no_signal_came(capfd):
    with pytest.raises(RuntimeError, match="of ours"), interruption.raised():
        os.write(2, b"said\n")
        raise RuntimeError("of ours")
    assert capfd.readouterr().err == "said\n"


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_signal_under_silenced_standard_error_gives_it_back_all_the_same(capfd):
    with pytest.raises(KeyboardInterrupt), interruption.raised(), quiet.quiet_stderr():
        signal.raise_signal(signal.SIGINT)
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


ECHO = """
import os, signal, time
from mindleak import cli, interruption
def echoed(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        time.sleep({wait})
        os.kill(os.getpid(), signal.SIGTERM)
cli._dispatch = echoed
raise SystemExit(cli.main(["audit"]))
"""


@pytest.mark.parametrize(("wait", "code"), [(0, 130), (interruption.ECHO_SECONDS + 0.2, -signal.SIGTERM)])
def test_mindspores_own_sigterm_after_a_signal_is_no_second_one_of_the_users(wait, code):
    done = subprocess.run([sys.executable, "-c", ECHO.format(wait=wait)], capture_output=True, timeout=60, check=False)
    assert done.returncode == code


def test_an_interrupt_while_the_program_loads_is_one_line():
    program = ("import sys\nclass Slow:\n    def find_spec(self, name, *_):\n        if name == 'mindleak.cli':\n"
               "            raise KeyboardInterrupt\nsys.meta_path.insert(0, Slow())\n"
               "from mindleak.__main__ import run\nrun()")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "mindleak: interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "sign"), [
    (signal.SIGTERM, "epoch   1/40"), (signal.SIGINT, "epoch   1/40"), (signal.SIGTERM, "stages/train-"),
    (signal.SIGINT, "stages/inversion-"), (signal.SIGTERM, "report.json"), (signal.SIGINT, "report.json"),
])
def test_an_audit_ends_by_a_signal_at_any_stage_rendering_included(tmp_path, number, sign):
    epochs = 40 if sign.startswith("epoch") else 1
    settings = {"data.image_size": 28, "training.epochs": epochs, "inversion.images": 3, "inversion.iterations": 5,
                "judge.model": "lstm_rnn", "judge.epochs": 1}
    words = ["attack", "inversion", "--dataset", "digits", "--model", "lenet5_bias", "--run_dir", "run", "--ckpt_dir",
             "ckpt", *(f"--set={key}={value}" for key, value in settings.items())]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([sys.executable, "-m", "mindleak", *words], stdout=out, stderr=err, cwd=tmp_path,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, _default))
        while not _seen(tmp_path, sign) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(timeout=120) == 130
    assert (tmp_path / "err").read_text() == ("mindleak: interrupted; the same command goes on from the last finished "
                                              "stage or epoch\n")


def _seen(folder: Path, sign: str) -> bool:
    """Return whether the command has printed a line, finished a stage or begun its page."""
    if sign.startswith("epoch"):
        return sign in (folder / "out").read_text()
    name = sign.replace("report.json", "report-inversion.json")
    return any((folder / "run").glob(f"{name}*"))
