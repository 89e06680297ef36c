"""Two processes under msrun give what one process gives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paths import ROOT
from records import results

SETTINGS = [
    "name=twins", "data.image_size=28", "model.name=lenet5_bias", "training.epochs=3", "training.batch_size=16",
    "training.learning_rate=0.1", "membership.target_in=200", "membership.target_out=200",
    "membership.population=97", "membership.shadow_pool=400", "membership.shadows=3", "membership.attack.epochs=5",
    "membership.attacks=[shadow, lira_online, rmia_offline]", "membership.references=4",
]


def _arguments(folder: Path) -> list[str]:
    options = ["attack", "membership", "--run_dir", str(folder / "run"), "--ckpt_dir", str(folder / "ckpt")]
    return options + [word for setting in SETTINGS for word in ("--set", setting)]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _scores(folder: Path) -> np.ndarray:
    [stage] = (folder / "run" / "stages").glob("membership-*")
    with np.load(stage / "arrays.npz", allow_pickle=False) as arrays:
        return arrays["scores"]


def _alike(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Hold two records of metrics together, but for what one sample of 200 may change."""
    assert one.keys() == two.keys()
    values = [{name: metric["value"] for name, metric in each.items()
               if isinstance(metric, dict) and isinstance(metric.get("value"), float)}
              for each in (one, two)]
    assert values[0].keys() == values[1].keys() and values[0]
    assert values[0] == pytest.approx(values[1], abs=0.006)


def test_ranks_wait_for_the_slowest_longer_than_a_collective_would(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """MCCL's collectives give up after half a minute (an audit was lost to that), so nothing may wait in one."""
    from mindleak import settings as config
    from mindleak.audits import audit
    from mindleak.jobs.session import open_session
    from mindleak.subjects.asked import AskedTask
    from mindleak.subjects.task import TrainingTask

    session = open_session(config.load(None, SETTINGS), str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")
    looks = iter([False, False, True, True, True, True, True, True])
    for kind in (TrainingTask, AskedTask):
        monkeypatch.setattr(kind, "is_done", property(lambda task: next(looks, True)))
        monkeypatch.setattr(kind, "run", lambda task: None)
    naps: list[float] = []
    monkeypatch.setattr(audit.time, "sleep", naps.append)
    job = audit.Audit(session, ("membership",))
    job._train(job.plan())
    # Other threads sleep, too, by the same function.
    assert naps.count(audit.SECONDS_BETWEEN_LOOKS) == 2


def test_a_checkpoint_that_makes_way_for_the_next_while_it_is_looked_at_is_not_foreign(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mindleak import settings as config
    from mindleak.audits.audit import Audit
    from mindleak.errors import InputError
    from mindleak.jobs.session import open_session
    from mindleak.subjects.task import TrainingTask

    session = open_session(config.load(None, SETTINGS), str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")
    task = next(each for each in Audit(session, ("membership",)).plan()
                if isinstance(each, TrainingTask) and not each.aside)
    foreign = tmp_path / "foreign.ckpt"
    looks = iter([tmp_path / "gone.ckpt", tmp_path / "gone_too.ckpt", None, tmp_path / "gone.ckpt", foreign])
    monkeypatch.setattr(TrainingTask, "latest_checkpoint", lambda task, best=False: next(looks))
    task.refuse_foreign_checkpoint()
    foreign.write_bytes(b"another's")
    with pytest.raises(InputError, match="foreign.ckpt' comes from another training"):
        task.refuse_foreign_checkpoint()


@pytest.mark.slow
def test_shadows_on_two_processes_equal_those_on_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, "-m", "mindleak", *_arguments(one)], check=True, timeout=300,
                   capture_output=True)
    environment = {**os.environ, "DEVICE_TARGET": "CPU", "DEVICE_NUM": "2", "MASTER_PORT": str(_free_port()),
                   "LOG_DIR": str(tmp_path / "log"), "MINDLEAK_VENV": sys.prefix}
    done = subprocess.run(["bash", str(ROOT / "run_ascend.sh"), *_arguments(two)], env=environment, timeout=400,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("report: ") == 1, "only rank 0 speaks"
    # But for the last digits: how MindSpore divides an operator among threads depends on the machine's load.
    np.testing.assert_allclose(_scores(one), _scores(two), rtol=1e-3, atol=1e-5)
    reports = [json.loads((folder / "run" / "report-membership.json").read_text()) for folder in (one, two)]
    for attacks in zip(*(results(report, "membership", "references")[0]["attacks"] for report in reports)):
        assert attacks[0]["attack"] == attacks[1]["attack"]
        _alike(*(attack["overall"] for attack in attacks))
    _alike(*(results(report, "membership", "shadows")[0]["overall"] for report in reports))
    assert [report["provenance"]["processes"] for report in reports] == [1, 2]
