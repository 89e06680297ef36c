"""The device: what can be had here, one line for what cannot, seeds that leave no trace."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command import assert_refused, fresh
from mindleak import device
from mindleak.errors import InputError


@pytest.fixture(autouse=True)
def configured() -> None:
    device.configure("CPU")


def refusal(*arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        device.configure(*arguments)
    return str(caught.value)


def test_the_cpu_is_always_there():
    assert "CPU" in device.available_targets()
    assert device.configure("CPU").target == "CPU"


@pytest.mark.parametrize(("value", "refused"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_mindspores_cache_of_compiled_graphs_is_refused_where_it_gives_nan(monkeypatch, value, refused):
    monkeypatch.setenv("MS_COMPILER_CACHE_ENABLE", value)
    if refused:
        assert "MS_COMPILER_CACHE_ENABLE is set" in refusal("CPU")
    else:
        assert device.configure("CPU").target == "CPU"


def test_auto_takes_the_first_that_works():
    if device.available_targets() == ["CPU"]:
        assert device.configure("auto").target == "CPU"


@pytest.mark.parametrize(("usable", "chosen"), [
    (["CPU"], "CPU"), (["GPU", "CPU"], "GPU"), (["Ascend", "CPU"], "Ascend"), (["Ascend", "GPU", "CPU"], "Ascend"),
])
def test_auto_prefers_ascend_then_gpu(monkeypatch, usable, chosen):
    monkeypatch.setattr(device, "available_targets", lambda: usable)
    monkeypatch.setattr(device, "_check_device_id", lambda target, number: None)
    monkeypatch.setattr(device, "_current", device.Device(chosen, 0, 0, 1))
    assert device.configure("auto").target == chosen


@pytest.mark.parametrize(("target", "needs", "library"), [
    ("GPU", "CUDA 11.1 or 11.6 and cuDNN 8", "libcudnn.so"), ("Ascend", "the CANN libraries", "libascendcl.so"),
])
def test_a_missing_target_names_those_there_and_what_is_missing(monkeypatch, target, needs, library):
    monkeypatch.setattr(device, "available_targets", lambda: ["CPU"])
    monkeypatch.setattr(device.ctypes.util, "find_library", lambda name: None)
    message = refusal(target)
    assert f"device_target {target} cannot be used here: available CPU; missing: {needs}" in message
    assert f"{library} not found" in message


def test_libraries_that_are_there_are_not_called_missing(monkeypatch):
    monkeypatch.setattr(device.ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    assert "not found" not in device.missing_for("GPU")
    monkeypatch.setattr(device.ctypes.util, "find_library", lambda name: None if name == "cudnn" else "x")
    assert "(libcudnn.so not found)" in device.missing_for("GPU")


@pytest.mark.parametrize("target", ["TPU", "cpu", "", "AUTO"])
def test_unknown_targets_name_the_known_ones(target):
    assert f"device_target '{target}' is unknown; one of CPU, GPU, Ascend, auto" in refusal(target)


def test_one_process_runs_on_one_target(monkeypatch):
    monkeypatch.setattr(device, "available_targets", lambda: ["Ascend", "CPU"])
    assert "already runs on CPU" in refusal("Ascend")


def test_configuring_again_gives_the_same_device():
    assert device.configure("CPU") is device.configure("CPU", 0) is device.current()


def test_threads_below_zero_are_refused():
    assert "device.threads is -1" in refusal("CPU", 0, -1)


@pytest.mark.parametrize("number", [-1, 4])
def test_card_numbers_that_do_not_exist(monkeypatch, number):
    import mindspore as ms

    monkeypatch.setattr(ms.hal, "device_count", lambda target: 4)
    with pytest.raises(InputError, match=f"device_id {number} does not exist: Ascend devices have the numbers 0 to 3"):
        device._check_device_id("Ascend", number)


def test_negative_card_numbers_are_refused_on_the_cpu_too():
    with pytest.raises(InputError, match="device_id -1"):
        device._check_device_id("CPU", -1)
    device._check_device_id("CPU", 3)


@pytest.mark.parametrize("target", [pytest.param("GPU", marks=pytest.mark.slow), "Ascend"])
def test_a_missing_target_ends_the_command_in_one_line_without_loader_messages(tmp_path, target):
    if target in device.available_targets():
        pytest.skip(f"{target} works here")
    outcome = fresh("train", "--device_target", target, cwd=tmp_path)
    assert_refused(outcome, f"device_target {target} cannot be used here: available CPU; missing: ")
    assert outcome.out == "" and list(tmp_path.iterdir()) == []


def test_only_the_first_process_speaks():
    assert device.Device("CPU", 0, 0, 4).is_main
    assert not dataclasses.replace(device.current(), rank=1).is_main


@pytest.mark.parametrize(("variables", "launched"), [
    ({}, False), ({"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "2"}, True), ({"MS_ROLE": "MS_WORKER"}, False),
    ({"MS_ROLE": "MS_SCHED", "MS_WORKER_NUM": "2"}, True), ({"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "1"}, False),
])
def test_processes_of_msrun_are_told_by_their_environment(monkeypatch, variables, launched):
    for name in ("MS_ROLE", "MS_WORKER_NUM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert device.launched_by_msrun() is launched


def test_seeds_decide_initial_weights_and_leave_numpy_alone():
    from mindspore import nn

    def weights(seed: int) -> np.ndarray:
        with device.seeded(seed):
            cells = nn.Dense(3, 4), nn.LSTM(3, 4)
            return np.concatenate([p.asnumpy().ravel() for cell in cells for p in cell.get_parameters()])

    np.random.seed(11)
    first, other, again = weights(3), weights(4), weights(3)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(np.random.random(4), np.random.RandomState(11).random(4))


def test_numpy_is_given_back_after_an_error_in_a_seeded_block():
    np.random.seed(11)
    with pytest.raises(RuntimeError), device.seeded(5):
        np.random.random(3)
        raise RuntimeError
    assert np.array_equal(np.random.random(4), np.random.RandomState(11).random(4))


def test_graph_mode_ends_with_its_block():
    import mindspore as ms

    with pytest.raises(RuntimeError), device.graph_mode():
        assert ms.get_context("mode") == ms.GRAPH_MODE
        raise RuntimeError
    assert ms.get_context("mode") == ms.PYNATIVE_MODE


def test_a_process_that_has_computed_before_can_be_configured() -> None:
    code = ("import mindspore as ms, numpy as np\n"
            "print(float((ms.Tensor(np.ones(3, np.float32)) * 2).asnumpy().sum()))\n"
            "from mindleak import device\n"
            "print(device.configure('CPU').target)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["6.0", "CPU"]), done.stderr


OPERATOR_THREADS = """
import os, sys
from mindleak import device
cores = os.sched_getaffinity(0)
device.configure("CPU", threads=int(sys.argv[1]), kernels="mindspore")
import numpy as np
from mindspore import Tensor, nn
def ticks():
    spent = {}
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        spent[int(thread)] = int(fields[11]) + int(fields[12])
    return spent
lstm = nn.LSTM(64, 256, batch_first=True)
images = Tensor(np.ones((64, 50, 64), np.float32))
before = ticks()
while sum(ticks().values()) - sum(before.values()) < 100:
    lstm(images)[0].asnumpy()
worked = [thread for thread, spent in ticks().items() if thread != os.getpid() and spent - before.get(thread, 0) >= 10]
print(len(worked), len(set().union(*map(os.sched_getaffinity, worked))), os.sched_getaffinity(0) == cores)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir() or len(os.sched_getaffinity(0)) < 2,
                    reason="one core, no /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_mindspores_recurrent_operator_takes_no_more_cores_than_threads_were_given(threads):
    # The threads that it works on, and the cores on which these may be; time would say little on a busy machine.
    done = subprocess.run([sys.executable, "-c", OPERATOR_THREADS, str(threads)], capture_output=True, text=True,
                          timeout=120, check=True)
    working, cores, own_cores_kept = done.stdout.split()
    assert min(int(working), int(cores)) <= threads
    assert own_cores_kept == "True"
