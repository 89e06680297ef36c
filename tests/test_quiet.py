"""MindArmour and MindSpore say nothing to the user, and what it takes to silence them ends with the call."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mindleak import quiet

IMPORT = """
import json, logging, sys, time
slept = []
real_sleep = time.sleep
def sleep(seconds):
    slept.append(seconds)
time.sleep = sleep
import numpy as np
np.random.seed(3)
numpy_before = np.random.get_state()[1].tolist()
root = logging.getLogger()
handler = logging.NullHandler()
root.addHandler(handler)
root.setLevel(logging.DEBUG)
logging.disable(logging.INFO)
from mindleak.quiet import import_mindarmour, mindarmour_call
first = import_mindarmour()
with mindarmour_call():
    pass
facts = {
    "slept": slept,
    "sleep_is_back": time.sleep is sleep,
    "handlers": root.handlers == [handler],
    "level": root.level,
    "disabled": root.manager.disable,
    "numpy": np.random.get_state()[1].tolist() == numpy_before,
    "same": import_mindarmour() is first is sys.modules["mindarmour"],
    "its_level": logging.getLogger("mindarmour").getEffectiveLevel(),
}
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def fresh_import(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """MindArmour imported for the first time in a process that watches what the import does to it."""
    environment = {name: value for name, value in os.environ.items() if name != "GLOG_v"}
    return subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=300, check=True,
                          env=environment, cwd=tmp_path_factory.mktemp("import"))


def test_importing_mindarmour_says_nothing(fresh_import):
    assert fresh_import.stderr == ""
    assert fresh_import.stdout.count("\n") == 1


def test_importing_mindarmour_does_not_sleep(fresh_import):
    assert json.loads(fresh_import.stdout)["slept"] == []


def test_importing_mindarmour_leaves_the_process_as_it_was(fresh_import):
    facts = json.loads(fresh_import.stdout)
    assert facts["sleep_is_back"] and facts["handlers"] and facts["numpy"] and facts["same"]
    assert (facts["level"], facts["disabled"]) == (logging.DEBUG, logging.INFO)


def test_mindarmours_own_logger_speaks_of_errors_only():
    quiet.import_mindarmour()
    from mindarmour.utils.logger import LogUtil

    assert LogUtil.get_instance()._logger.getEffectiveLevel() == logging.ERROR


def test_sleep_is_given_back_when_the_import_fails(monkeypatch):
    monkeypatch.delitem(sys.modules, "mindarmour", raising=False)
    monkeypatch.setitem(sys.modules, "mindarmour", None)
    before = time.sleep, logging.root.manager.disable, list(logging.root.handlers)
    monkeypatch.setattr(quiet, "sys", type("without", (), {"modules": {}}))
    with pytest.raises(ImportError):
        quiet.import_mindarmour()
    assert (time.sleep, logging.root.manager.disable, list(logging.root.handlers)) == before


def test_prints_inside_a_call_are_swallowed(capfd):
    with quiet.mindarmour_call():
        print("match conv1")
    print("after")
    assert capfd.readouterr() == ("after\n", "")


@pytest.mark.parametrize("seed", [None, 0, 7, 2**32 + 7])
def test_numpys_global_state_is_given_back(seed):
    np.random.seed(11)
    expected = np.random.RandomState(11).random(4)
    with quiet.mindarmour_call(seed):
        np.random.random(1000)
    assert np.array_equal(np.random.random(4), expected)


def test_numpys_global_state_is_given_back_after_an_error():
    np.random.seed(11)
    with pytest.raises(RuntimeError), quiet.mindarmour_call(3):
        np.random.random(5)
        raise RuntimeError
    assert np.array_equal(np.random.random(4), np.random.RandomState(11).random(4))


def test_the_same_seed_gives_mindarmour_the_same_numbers():
    draws = []
    for _ in range(2):
        with quiet.numpy_state(5):
            draws.append(np.random.random(3))
    assert np.array_equal(*draws)
    with quiet.numpy_state(6):
        assert not np.array_equal(draws[0], np.random.random(3))


def test_the_heap_is_frozen_inside_and_thawed_after_it():
    with quiet.mindarmour_call():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    with pytest.raises(RuntimeError), quiet.frozen_heap():
        raise RuntimeError
    assert gc.get_freeze_count() == 0


def test_garbage_of_a_call_is_still_collected():
    class Knot:
        pass

    with quiet.frozen_heap():
        knot = Knot()
        knot.itself = knot
        before = sum(isinstance(thing, Knot) for thing in gc.get_objects())
        del knot
        gc.collect()
        assert before - sum(isinstance(thing, Knot) for thing in gc.get_objects()) == 1


def test_standard_error_is_silent_inside_and_back_after_it(capfd):
    with quiet.quiet_stderr():
        os.write(2, b"[WARNING] loader message\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_standard_error_is_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), quiet.quiet_stderr():
        raise RuntimeError
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_standard_error_leaks_no_descriptor():
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(5):
        with quiet.quiet_stderr():
            pass
    assert count() == before


@pytest.mark.parametrize("before", [None, "old"])
def test_an_environment_variable_is_set_for_the_block_only(monkeypatch, before):
    monkeypatch.delenv("MINDLEAK_TEST", raising=False)
    if before is not None:
        monkeypatch.setenv("MINDLEAK_TEST", before)
    with pytest.raises(RuntimeError), quiet.environment("MINDLEAK_TEST", "new"):
        assert os.environ["MINDLEAK_TEST"] == "new"
        raise RuntimeError
    assert os.environ.get("MINDLEAK_TEST") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_put_off_until_the_end_of_the_block(number):
    heard: list[str] = []
    before = signal.signal(number, lambda *_: heard.append("heard"))
    try:
        with quiet.uninterrupted():
            signal.raise_signal(number)
            assert heard == []
        assert heard == ["heard"]
        signal.raise_signal(number)
        assert heard == ["heard", "heard"]
    finally:
        signal.signal(number, before)


@pytest.fixture
def python_handles_ctrl_c():
    """Python's own handler: a job started in the background inherits SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_put_off_interrupts_after_the_block():
    finished = False
    with pytest.raises(KeyboardInterrupt), quiet.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        finished = True
    assert finished


def test_a_block_that_fails_gives_the_handlers_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), quiet.uninterrupted():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_mindarmours_inversion_leaves_no_patch_behind(capfd):
    """The product's own call into MindArmour, from outside: nothing printed, nothing patched, state restored."""
    from mindleak import device
    from mindleak.attacks.inversion.mindarmour import MindArmourInversion
    from mindleak.models import registry

    device.configure()
    images = np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32)
    network = registry.build("lenet5_bias", (1, 28, 28), 10, 0)
    np.random.seed(11)
    patched = time.sleep, print, gc.collect, sys.stdout
    capfd.readouterr()
    MindArmourInversion("fc1", iterations=2).attack(network, images)
    assert capfd.readouterr() == ("", "")
    assert (time.sleep, print, gc.collect, sys.stdout) == patched
    assert np.array_equal(np.random.random(4), np.random.RandomState(11).random(4))
    assert gc.get_freeze_count() == 0
