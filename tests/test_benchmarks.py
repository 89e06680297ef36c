"""Every benchmark runs once at toy size, and the harness compares what it says it compares."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
KEYS = {"name", "ratio", "ours", "peer", "unit", "runs", "min", "max", "versions"}
# These simulate instead of timing: no peer, no ratio.
SIMULATIONS = {"coverage", "deletion_coverage", "sweep_coverage"}
NAMES = sorted({path.stem for path in BENCHMARKS.glob("[!_]*.py")} - SIMULATIONS)

# A side that counts its units; the peer works three times as long. Both say how often they were resumed.
SLEEPERS = """
import json, sys, time
sys.path.insert(0, {folder!r})
import _pairs

def side(pause):
    def work(case, tick):
        print("chatter of a library")
        for unit in range(case["rounds"] + 1):
            time.sleep(pause)
            with open(case["log"], "a") as log:
                log.write(f"{{pause}}\\n")
            tick({{"unit": unit}})
            if case["name"] == "fault":
                raise ValueError("the side has a fault")
    return work

_pairs.be_worker({{"ours": side(0.02), "peer": side(0.06)}})
case = {{"name": sys.argv[1], "threads": 1, "rounds": int(sys.argv[3]), "log": sys.argv[2]}}
units = _pairs.alternate(__file__, case, with_peer=True)
print(json.dumps({{name: [[unit.seconds, unit.figures] for unit in done] for name, done in units.items()}}))
"""


def call(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark's process without the real data."""
    calm = {key: value for key, value in os.environ.items() if key != "MINDLEAK_DATA_DIR"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300,
                          env={**calm, "OMP_NUM_THREADS": "1", **environment})


def loaded(name: str) -> ModuleType:
    """Return a file of the benchmarks' folder as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.fixture(scope="module")
def pairs() -> ModuleType:
    """The harness as a module."""
    return loaded("_pairs")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_ends_with_its_json_line(name: str) -> None:
    done = call([str(BENCHMARKS / f"{name}.py"), "--toy", "--no_peer"])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert set(record) >= KEYS
    assert record["name"].startswith(f"{name}/")
    assert record["ours"] > 0
    assert record["ratio"] is record["peer"] is record["min"] is record["max"] is None
    if name.startswith("train_"):
        assert record["operators"]["ratio"] == pytest.approx(record["operators"]["median"] / record["ours"], rel=0.01)
        assert set(record["accuracy"]) == {"ours", "operators"}


@pytest.mark.slow
def test_sweeps_of_networks_that_differ_in_seeds_only_are_simulated_and_trained() -> None:
    done = call([str(BENCHMARKS / "sweep_coverage.py"), "--toy", "--models", "6"])
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["models"] for line in lines] == [6] * 7
    for line in lines:
        assert line["families"] == 4 and 0.3 < line["mean_auc"] < 0.7
        assert 0.0 <= line["false_alarms"] <= 1.0 and 0.0 <= line["false_alarms_student"] <= 1.0
    assert [line["networks"] for line in lines if "coverage" not in line][-1] == "digits, same halves"


def test_audits_of_deletions_are_simulated() -> None:
    done = call([str(BENCHMARKS / "deletion_coverage.py"), "--toy", "--models", "6", "--left", "0", "1"])
    assert done.returncode == 0, done.stderr
    nothing, something, real = map(json.loads, done.stdout.splitlines())
    assert real["networks"] == "digits" and real["found before"] >= .5 and real["methods shown"] >= .5
    assert nothing["models"] == 6 and nothing["audits"] == 2 and nothing["left"] == 0
    assert nothing["methods not shown"] >= .5 and something["methods shown"] == 1.0


@pytest.mark.slow
def test_families_that_differ_in_seeds_only_are_told_apart_no_oftener_than_the_interval_says() -> None:
    coverage = loaded("sweep_coverage")
    families = list(coverage.simulated("leak", 6, 300, 200, seed=0, dealt_anew=False))
    ours, students, pairs = coverage.false_alarms(families)
    # Each family is in six of the 900 pairs, which count as about 300: three standard errors are .038.
    assert pairs == 900
    assert ours <= 0.05 + 0.038
    assert students > 0.09


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train_lenet5", "train_lstm_rnn"])
def test_torch_trains_the_same_network(name: str) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (extra 'bench')")
    done = call([str(BENCHMARKS / f"{name}.py"), "--toy"])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["ratio"] == pytest.approx(record["peer"] / record["ours"], rel=0.01)
    # Two epochs of four steps from the same kind of initial weights: both still near log(10).
    for figures in record["last_epoch"].values():
        assert 2.1 < figures["train_loss"] < 2.4
        assert 2.1 < figures["val_loss"] < 2.4


def test_the_ratio_is_that_of_the_medians_and_above_one_where_ours_is_faster(pairs: ModuleType) -> None:
    record = pairs.compare("case", ours=[2.0, 1.0, 4.0], peer=[3.0, 8.0, 4.0], unit="s")
    assert record["ratio"] == 4.0 / 2.0
    assert (record["min"], record["max"]) == (1.0, 8.0)
    assert (record["ours"], record["peer"], record["runs"]) == (2.0, 4.0, 3)


def test_what_has_not_learnt_is_named_and_ends_with_exit_one(pairs: ModuleType,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    good = {"name": "good", "accuracy": {"ours": 0.9, "peer": 0.99}}
    pairs.require_learnt([good])
    for accuracy in (0.899, float("nan")):
        with pytest.raises(SystemExit) as end:
            pairs.require_learnt([good, {"name": "poor", "accuracy": {"ours": 0.95, "peer": accuracy}}])
        assert end.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "peer of poor" in line and "good" not in line and "ours" not in line


def sleepers_script(tmp_path: Path) -> Path:
    """Write the benchmark of the sleeping sides."""
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS.format(folder=str(BENCHMARKS)))
    return script


def sleepers(tmp_path: Path, name: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the sleeping sides as a benchmark of that name."""
    script, log = sleepers_script(tmp_path), tmp_path / "log"
    return call([str(script), name, str(log), "4"]), log


def test_sides_take_turns_and_only_their_own_work_is_timed(tmp_path: Path) -> None:
    done, log = sleepers(tmp_path, "turns")
    assert done.returncode == 0, done.stderr
    units: dict[str, Any] = json.loads(done.stdout)
    assert [[figures["unit"] for _, figures in units[side]] for side in ("ours", "peer")] == [[0, 1, 2, 3, 4]] * 2
    order = log.read_text().split()
    assert order == ["0.02", "0.06", "0.02", "0.06", "0.06", "0.02", "0.02", "0.06", "0.06", "0.02"]
    # Sleeping beside a stopped peer takes no less than asked for, and by the median not the peer's time too.
    assert all(seconds >= 0.06 for seconds, _ in units["peer"])
    assert 0.02 <= sorted(seconds for seconds, _ in units["ours"][1:])[1] < 0.06


def running(script: Path) -> list[int]:
    """Return the processes that run a script, stopped ones included."""
    commands = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/cmdline")}
    found = []
    for process, path in commands.items():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if str(script).encode() in path.read_bytes():
                found.append(process)
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are found through /proc")
def test_a_benchmark_that_is_ended_leaves_no_stopped_worker(tmp_path: Path) -> None:
    script, log = sleepers_script(tmp_path), tmp_path / "log"
    with subprocess.Popen([sys.executable, str(script), "ended", str(log), "100000"]) as benchmark:
        while not log.exists() or len(log.read_text().split()) < 4:
            assert benchmark.poll() is None
            time.sleep(0.02)
        assert len(running(script)) == 3
        benchmark.terminate()
        assert benchmark.wait(timeout=300) == 128 + signal.SIGTERM
    assert running(script) == []


def test_a_side_that_fails_is_one_line_and_exit_two(tmp_path: Path) -> None:
    done, _ = sleepers(tmp_path, "fault")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["benchmark: ours of fault ended with exit code 1: "
                                        "ValueError: the side has a fault"]


def test_a_missing_peer_is_one_line_and_exit_two(pairs: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        pairs.require_peer("a_framework_nobody_has", no_peer=False)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a_framework_nobody_has" in line
    assert "--no_peer" in line
    assert pairs.require_peer("a_framework_nobody_has", no_peer=True) is False


def test_missing_data_is_one_line_and_exit_two(tmp_path: Path) -> None:
    done = call([str(BENCHMARKS / "train_lenet5.py"), "--quick", "--no_peer", "--data_dir", str(tmp_path)])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr
