"""Batches divided among two processes: every one takes the same steps and has the same masks, those of one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindleak import device
from mindleak.cli import main
from mindleak.errors import InputError
from mindleak.training.loop import epoch_order, own_part
from paths import ROOT

WORKER = ROOT / "tests" / "data_parallel_worker.py"
TRAININGS = ("lenet5_bias-sgd-suppress", "lstm_rnn-adam-suppress", "lenet5_bias-momentum-ordinary")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def trained(folder: Path, processes: int) -> Path:
    """Do all trainings with so many processes; what each wrote lies in the folder."""
    folder.mkdir()
    command = [sys.executable, str(WORKER), str(folder), *TRAININGS]
    if processes > 1:
        msrun = Path(sys.executable).parent / "msrun"
        command = [str(msrun), f"--worker_num={processes}", f"--local_worker_num={processes}",
                   "--master_addr=127.0.0.1", f"--master_port={free_port()}", f"--log_dir={folder / 'log'}",
                   "--join=True", *command[1:]]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, timeout=400, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("parallel") / "one", 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("parallel") / "two", 2)


def written(folder: Path, training: str, rank: int = 0) -> dict[str, np.ndarray]:
    with np.load(folder / f"{training}-{rank}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_two_processes_train_one_network(one: Path, two: Path, training: str) -> None:
    alone, first, second = written(one, training), written(two, training), written(two, training, rank=1)
    for name, values in first.items():
        # Bit for bit: after every step each process has the same weights, and so the same masks.
        np.testing.assert_array_equal(values, second[name], err_msg=name)
    for name, values in alone.items():
        # Against one process only the order of sums differs; eighty steps let that grow a little, and may take a weight
        # that sits on a threshold to the other side.
        alike = (values == 0) == (first[name] == 0)
        assert np.count_nonzero(~alike) <= max(2, values.size // 500), f"{name}: {np.count_nonzero(~alike)} masks"
        apart = np.linalg.norm(first[name][alike] - values[alike]) / np.linalg.norm(values[alike])
        assert apart < 0.01, f"{name}: {apart}"
    if training.endswith("suppress"):
        assert any(np.mean(values == 0) > 0.7 for values in first.values())


@pytest.mark.slow
def test_the_command_line_trains_on_two_processes_and_resumes_what_is_there(tmp_path: Path) -> None:
    options = ["train", "--run_dir", str(tmp_path / "run"), "--ckpt_dir", str(tmp_path / "ckpt"), "--set",
               "device.data_parallel=true", "--set", "training.epochs=2", "--set", "training.batch_size=16", "--set",
               "training.method=suppress", "--set", "suppress.start_epoch=1", "--set", "suppress.mask_times=20",
               "--set", "data.image_size=16"]
    environment = {**os.environ, "DEVICE_TARGET": "CPU", "DEVICE_NUM": "2", "MASTER_PORT": str(free_port()),
                   "LOG_DIR": str(tmp_path / "log"), "MINDLEAK_VENV": sys.prefix}
    outputs = []
    for _ in range(2):
        done = subprocess.run(["bash", str(ROOT / "run_ascend.sh"), *options], env=environment, timeout=400,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        outputs.append(done.stdout)
    assert outputs[0].count("trained; test accuracy") == 1, "only the main process speaks"
    assert "already trained; test accuracy" in outputs[1]
    assert len(list((tmp_path / "ckpt").rglob("*.ckpt"))) == 2, "last and best, written once"


def test_every_process_gets_its_part_of_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    order = epoch_order(100, 8, 0, 1)
    parts = []
    for rank in range(4):
        monkeypatch.setattr(device, "_current", device.Device("CPU", 0, rank, 4, "auto", True))
        parts.append(own_part(order))
    assert all(part.shape == (12, 2) for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts, axis=1), axis=1), np.sort(order, axis=1))
    monkeypatch.setattr(device, "_current", device.Device("CPU", 0, 1, 4, "auto", False))
    assert own_part(order) is order


def test_one_process_has_nobody_to_share_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--run_dir", str(tmp_path / "run"), "--set", "device.data_parallel=true"]
    assert main(words) == 2
    assert "device.data_parallel divides batches among several processes, and there is one" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("given, complaint", [
    (["training.batch_size=15"], "training.batch_size 15 cannot be divided among 2 processes"),
    (["training.method=dp_sgd", "dp.target_epsilon=3"], "training.method 'dp_sgd' does not do; expected ordinary"),
    (["training.method=suppress", "suppress.engine=mindarmour"], "'suppress' by MindArmour does not do"),
])
def test_what_cannot_be_divided_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str],
                                           complaint: str) -> None:
    from mindleak import settings as config
    from mindleak.jobs.audit import run_audit
    from mindleak.jobs.session import open_session
    from mindleak.jobs.train import run_train

    monkeypatch.setattr(device, "_current", device.Device("CPU", 0, 1, 2, "auto", True))
    session = open_session(config.load(None, ["device.data_parallel=true", *given]), str(tmp_path / "run"),
                           str(tmp_path / "ckpt"), "test")
    with pytest.raises(InputError, match=complaint):
        run_train(session, resume=False, restart=False)
    with pytest.raises(InputError, match="device.data_parallel is for 'mindleak train'"):
        run_audit(session)
