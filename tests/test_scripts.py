"""The shell scripts, run in a copy of the checkout whose Python only writes down what it is asked to do.

So the whole way through set-up, demo, tests, continuous integration and cluster job is walked without a
network and without MindSpore; that the real installation works is for a fresh clone to show.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from paths import ROOT as CHECKOUT

# Stands for every Python and for msrun: notes its arguments, makes environments by copying itself.
FAKE = """#!/bin/bash
printf '%s' "$(basename "$0")" >>"$CALLS"
printf ' [%s]' "$@" >>"$CALLS"
printf '\\n' >>"$CALLS"
case "$1 $2" in
    "-c "*"import check"*) if [ -n "${FAKE_REFUSAL:-}" ]; then echo "$FAKE_REFUSAL" >&2; exit 2; fi ;;
    "-c "*"import errno"*) exec "$REAL_PYTHON" "$@" ;;
    "-c import ensurepip"*) exit "${FAKE_VENV_STATUS:-0}" ;;
    "-c import sys"*) exit "${FAKE_VERSION_STATUS:-0}" ;;
    "-I -c") exit 1 ;;
    "--version "*) echo "Python 3.11.0" ;;
    "-m venv") mkdir -p "$4/bin"; touch "$4/pyvenv.cfg"; cp "$0" "$4/bin/python" ;;
    "-m pip") exit "${FAKE_PIP_STATUS:-0}" ;;
    "-m ruff") echo "ruff says"; exit "${FAKE_RUFF_STATUS:-0}" ;;
    "-m mypy") echo "mypy says"; exit "${FAKE_MYPY_STATUS:-0}" ;;
    "-m pytest") echo "data $MINDLEAK_DATA_DIR require $MINDLEAK_REQUIRE_DATA"; echo "7 passed"
        exit "${FAKE_PYTEST_STATUS:-0}" ;;
    "-m mindleak") pwd; echo "report at runs/report.html"; exit "${FAKE_MINDLEAK_STATUS:-0}" ;;
    --worker_num*) eval "${FAKE_MSRUN:-true}" ;;
esac
"""
VARIABLES = ("DEVICE_TARGET", "DEVICE_NUM", "NODE_NUM", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "LOG_DIR")
TOOLS = ("bash", "basename", "cat", "cksum", "cp", "dirname", "env", "grep", "ls", "mkdir", "sed", "sleep", "tail",
         "touch", "tr")


class Checkout:
    """A copy of the scripts in a folder with spaces, and the commands that they find on PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "my check out"
        self.elsewhere = folder / "else where"
        self.calls_file = folder / "calls"
        self.bin = folder / "bin"
        for path in (self.root / ".ci", self.elsewhere, self.bin):
            path.mkdir(parents=True)
        shutil.copytree(CHECKOUT / "scripts", self.root / "scripts")
        for name in ("requirements.txt", "pyproject.toml", "run_ascend.sh", ".ci/run"):
            shutil.copy(CHECKOUT / name, self.root / name)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"missing-{tool}")

    def add(self, *names: str) -> None:
        for name in names:
            (self.bin / name).write_text(FAKE)
            (self.bin / name).chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "CALLS": str(self.calls_file), "HOME": "/nonexistent",
                "REAL_PYTHON": sys.executable, **variables}

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "bash"), str(self.root / script), *arguments],
            cwd=self.elsewhere,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, containing: str = "") -> list[str]:
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if containing in line]


@pytest.fixture()
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path)
    made.add("python3.11")
    return made


@pytest.fixture()
def bare(tmp_path: Path) -> Checkout:
    """Without any Python on PATH."""
    return Checkout(tmp_path)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def assert_one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


# Set-up ------------------------------------------------------------------------------------------------


def test_setup_makes_environment_installs_and_prints_only_its_path(checkout: Checkout) -> None:
    done = checkout.run("scripts/setup_env.sh")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{checkout.root}/.venv\n"
    assert checkout.calls("[venv]") == [f"python3.11 [-m] [venv] [--clear] [{checkout.root}/.venv]"]
    assert checkout.calls("[-e]") == [
        "python [-m] [pip] [install] [--disable-pip-version-check] [--quiet] [-e] [.]"
    ]


def test_second_setup_installs_nothing_and_is_fast(checkout: Checkout) -> None:
    checkout.run("scripts/setup_env.sh", "dev")
    checkout.calls_file.unlink()
    started = time.perf_counter()
    for extra in (["dev"], []):  # what the tests need includes what the demo needs
        assert checkout.run("scripts/setup_env.sh", *extra).stdout == f"{checkout.root}/.venv\n"
    assert time.perf_counter() - started < 2
    assert checkout.calls() == []


def test_dev_after_runtime_installs_the_rest(checkout: Checkout) -> None:
    checkout.run("scripts/setup_env.sh")
    checkout.run("scripts/setup_env.sh", "dev")
    assert [line.split()[-1] for line in checkout.calls("[-e]")] == ["[.]", "[.[dev]]"]
    assert len(checkout.calls("[venv]")) == 1


@pytest.mark.parametrize("changed", ["requirements.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(checkout: Checkout, changed: str) -> None:
    checkout.run("scripts/setup_env.sh")
    with (checkout.root / changed).open("a") as stream:
        stream.write("\n")
    checkout.run("scripts/setup_env.sh")
    assert len(checkout.calls("[-e]")) == 2


def test_failed_installation_is_tried_again(checkout: Checkout) -> None:
    failed = checkout.run("scripts/setup_env.sh", FAKE_PIP_STATUS="1")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == "setup_env.sh: installation failed, see pip's message above"
    assert failed.stdout == ""
    assert checkout.run("scripts/setup_env.sh").returncode == 0
    assert len(checkout.calls("[-e]")) == 1


def test_named_environment_is_used(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.run("scripts/setup_env.sh", MINDLEAK_VENV=str(tmp_path / "my env"))
    assert done.stdout == f"{tmp_path}/my env\n"
    assert not (checkout.root / ".venv").exists()


def test_active_environment_of_another_project_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    active = tmp_path / "active"
    (active / "bin").mkdir(parents=True)
    shutil.copy(checkout.bin / "python3.11", active / "bin" / "python")
    done = checkout.run("scripts/setup_env.sh", VIRTUAL_ENV=str(active))
    assert done.stdout == f"{checkout.root}/.venv\n"


def test_active_environment_with_this_checkout_is_used(checkout: Checkout, tmp_path: Path) -> None:
    active = tmp_path / "active"
    (active / "bin").mkdir(parents=True)
    (active / "bin" / "python").write_text(FAKE.replace('"-I -c") exit 1', '"-I -c") exit 0'))
    (active / "bin" / "python").chmod(0o755)
    done = checkout.run("scripts/setup_env.sh", VIRTUAL_ENV=str(active))
    assert done.stdout == f"{active}\n"
    assert not (checkout.root / ".venv").exists()


def test_folder_that_is_no_environment_is_refused_and_kept(checkout: Checkout, tmp_path: Path) -> None:
    precious = tmp_path / "photos" / "cat.jpg"
    precious.parent.mkdir()
    precious.write_text("cat")
    done = checkout.run("scripts/setup_env.sh", MINDLEAK_VENV=str(precious.parent))
    assert_one_line(done, f"{precious.parent} is there already and is no virtual environment")
    assert precious.read_text() == "cat"


def test_half_made_environment_is_made_anew(checkout: Checkout) -> None:
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / "pyvenv.cfg").write_text("")
    assert checkout.run("scripts/setup_env.sh").returncode == 0
    assert len(checkout.calls("[venv]")) == 1


@pytest.mark.parametrize("script", ["scripts/setup_env.sh", "scripts/demo.sh", "scripts/test.sh", ".ci/run"])
def test_no_python_is_one_line(bare: Checkout, script: str) -> None:
    assert_one_line(bare.run(script), "no Python 3.9 to 3.12 found")


def test_unsuitable_python_is_one_line(checkout: Checkout) -> None:
    assert_one_line(checkout.run("scripts/setup_env.sh", FAKE_VERSION_STATUS="1"), "no Python 3.9 to 3.12")


def test_missing_venv_module_is_one_line(checkout: Checkout) -> None:
    done = checkout.run("scripts/setup_env.sh", FAKE_VENV_STATUS="1")
    assert_one_line(done, "python3.11 has no 'venv' module", "python3-venv")
    assert not (checkout.root / ".venv").exists()


def test_unknown_extra_is_one_line(checkout: Checkout) -> None:
    assert_one_line(checkout.run("scripts/setup_env.sh", "all"), "unknown extra 'all'")


# Demo, tests, continuous integration ---------------------------------------------------------------------


def test_demo_runs_the_audit_and_hands_on_options_and_status(checkout: Checkout) -> None:
    done = checkout.run("scripts/demo.sh", "--set", "a b=c d", FAKE_MINDLEAK_STATUS="3")
    assert done.returncode == 3
    assert checkout.calls("[mindleak]") == [
        "python [-m] [mindleak] [audit] [--config] [configs/audit_digits_cpu.yaml] [--set] [a b=c d]"
    ]
    assert done.stdout.splitlines() == [str(checkout.root), "report at runs/report.html"]


def test_test_script_runs_pytest_and_hands_on_options_and_status(checkout: Checkout) -> None:
    done = checkout.run("scripts/test.sh", "-k", "reads", FAKE_PYTEST_STATUS="1")
    assert done.returncode == 1
    (call,) = checkout.calls("[pytest]")
    # On all cores, a file's tests together; the user's options come last, so that they count.
    assert call.startswith("python [-m] [pytest] [-n] [auto] [--dist] [loadfile]")
    assert call.endswith("[-m] [not slow] [-k] [reads]")
    assert checkout.calls("[-e]")[0].endswith("[.[dev]]")


def test_test_script_runs_the_long_tests_too_where_it_is_asked_for_all(checkout: Checkout) -> None:
    assert checkout.run("scripts/test.sh", "--all", "-x").returncode == 0
    assert checkout.calls("[pytest]")[0].endswith("[-m] [] [-x]")


def test_ci_checks_style_types_and_tests_on_required_data(checkout: Checkout) -> None:
    done = checkout.run(".ci/run")
    assert done.returncode == 0, done.stderr
    checks = [line.split()[2] for line in checkout.calls("python [-m]") if "pip" not in line]
    assert checks == ["[ruff]", "[mypy]", "[pytest]"]
    assert checkout.calls("[pytest]")[0].endswith("[-m] []"), "long tests too"
    data = checkout.root.parent / "shared" / "data"
    assert done.stdout.splitlines()[-2:] == [f"data {data} require 1", "7 passed"]


def test_ci_keeps_a_data_folder_that_is_set(checkout: Checkout) -> None:
    assert "data /d require 1" in checkout.run(".ci/run", MINDLEAK_DATA_DIR="/d").stdout


@pytest.mark.parametrize("tool", ["RUFF", "MYPY", "PYTEST"])
def test_ci_fails_if_any_part_fails_and_ends_with_pytests_line(checkout: Checkout, tool: str) -> None:
    done = checkout.run(".ci/run", **{f"FAKE_{tool}_STATUS": "1"})
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "7 passed"


# Cluster jobs --------------------------------------------------------------------------------------------


def test_one_device_runs_without_msrun(checkout: Checkout) -> None:
    done = checkout.run("run_ascend.sh", "attack", "membership", "--config", "a b.yaml", DRY_RUN="1")
    assert done.returncode == 0
    source = shlex.quote(f"{checkout.root}/src")
    assert len(done.stdout.splitlines()) == 1
    assert shlex.split(done.stdout) == shlex.split(
        f"PYTHONPATH={source} python3 -m mindleak attack membership --config 'a b.yaml' --device_target Ascend"
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DEVICE_NUM": "8"}, "--worker_num=8 --local_worker_num=8 --master_addr=127.0.0.1 --node_rank=0"),
        (
            {"DEVICE_NUM": "8", "NODE_NUM": "4", "NODE_RANK": "3", "MASTER_ADDR": "10.0.0.1"},
            "--worker_num=32 --local_worker_num=8 --master_addr=10.0.0.1 --node_rank=3",
        ),
        (
            {"NODE_NUM": "2", "NODE_RANK": "0", "MASTER_ADDR": "node-0.local", "MASTER_PORT": "9000"},
            "--worker_num=2 --local_worker_num=1 --master_addr=node-0.local --master_port=9000",
        ),
        ({"DEVICE_NUM": "2", "DEVICE_TARGET": "CPU"}, "--join=True --device_target CPU"),
        ({"DEVICE_NUM": "2", "LOG_DIR": "my logs"}, "'--log_dir=my logs' --tail_worker_log=0"),
    ],
)
def test_several_devices_run_under_msrun(
    checkout: Checkout, variables: dict[str, str], expected: str
) -> None:
    done = checkout.run("run_ascend.sh", "audit", DRY_RUN="1", **variables)
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout)
    assert len(done.stdout.splitlines()) == 1
    assert words[1] == "msrun"
    assert set(shlex.split(expected)) <= set(words)
    assert words[words.index("-m") - 1 :][:4] == ["python3", "-m", "mindleak", "audit"]
    assert not (checkout.elsewhere / "msrun_log").exists()


def test_environment_of_the_checkout_comes_first(checkout: Checkout) -> None:
    checkout.run("scripts/setup_env.sh")
    done = checkout.run("run_ascend.sh", "audit", DRY_RUN="1", DEVICE_NUM="2")
    assert shlex.split(done.stdout)[0] == f"PATH={checkout.root}/.venv/bin:$PATH"


def test_printed_command_is_the_one_that_runs(checkout: Checkout) -> None:
    checkout.add("python", "msrun")
    arguments = ["audit", "--set", 'it\'s="a\nb"', "$HOME"]
    port = free_port()
    printed = checkout.run("run_ascend.sh", *arguments, DRY_RUN="1", DEVICE_NUM="2", MASTER_PORT=port).stdout
    assert len(printed.splitlines()) == 1
    assert checkout.calls() == []
    assert checkout.run("run_ascend.sh", *arguments, DEVICE_NUM="2", MASTER_PORT=port).returncode == 0
    # Before it came the check of the configuration and the search for a port.
    ran = checkout.calls_file.read_text()
    ran = ran[ran.index("msrun ["):]
    checkout.calls_file.unlink()
    subprocess.run(
        [str(checkout.bin / "bash"), "-c", printed],
        env=checkout.environment(),
        check=True,
        cwd=checkout.elsewhere,
    )
    assert checkout.calls_file.read_text() == ran
    assert '[it\'s="a\nb"] [$HOME] [--device_target] [Ascend]' in ran


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"DEVICE_NUM": "two"}, ["DEVICE_NUM", "from 1 to 1024", "'two'"]),
        ({"DEVICE_NUM": "0"}, ["DEVICE_NUM", "'0'"]),
        ({"DEVICE_NUM": "-1"}, ["DEVICE_NUM", "'-1'"]),
        ({"DEVICE_NUM": "08"}, ["DEVICE_NUM", "'08'"]),
        ({"DEVICE_NUM": "99999999999999999999"}, ["DEVICE_NUM"]),
        ({"DEVICE_NUM": "a[$(touch owned)]"}, ["DEVICE_NUM"]),
        ({"NODE_NUM": "1.5"}, ["NODE_NUM", "'1.5'"]),
        ({"NODE_NUM": "2", "NODE_RANK": "2", "MASTER_ADDR": "a"}, ["NODE_RANK", "from 0 to 1", "'2'"]),
        ({"NODE_NUM": "2", "NODE_RANK": "1"}, ["MASTER_ADDR and NODE_RANK must be set"]),
        ({"NODE_NUM": "2", "MASTER_ADDR": "a"}, ["MASTER_ADDR and NODE_RANK must be set"]),
        ({"MASTER_PORT": "80"}, ["MASTER_PORT", "from 1024 to 65535", "'80'"]),
        ({"MASTER_ADDR": "a b"}, ["MASTER_ADDR", "'a b'"]),
        ({"DEVICE_TARGET": "TPU"}, ["DEVICE_TARGET", "'TPU'"]),
        ({"DRY_RUN": "yes"}, ["DRY_RUN", "'yes'"]),
    ],
)
def test_bad_variable_is_one_line(checkout: Checkout, variables: dict[str, str], parts: list[str]) -> None:
    assert_one_line(checkout.run("run_ascend.sh", "audit", **variables), *parts)
    assert list(checkout.elsewhere.iterdir()) == []
    assert checkout.calls() == []


def test_missing_subcommand_and_doubled_device_are_one_line(checkout: Checkout) -> None:
    assert_one_line(checkout.run("run_ascend.sh"), "a sub-command is missing")
    assert_one_line(checkout.run("run_ascend.sh", "--config", "x"), "a sub-command is missing")
    done = checkout.run("run_ascend.sh", "audit", "--device_target", "CPU")
    assert_one_line(done, "DEVICE_TARGET=...")


def test_missing_msrun_and_python_are_one_line(checkout: Checkout) -> None:
    assert_one_line(checkout.run("run_ascend.sh", "audit"), "python3 is not on PATH")
    checkout.add("python")
    assert_one_line(checkout.run("run_ascend.sh", "audit", DEVICE_NUM="2"), "msrun is not on PATH")


def test_log_folder_that_cannot_be_made_is_one_line(checkout: Checkout) -> None:
    checkout.add("python", "msrun")
    done = checkout.run("run_ascend.sh", "audit", DEVICE_NUM="2", LOG_DIR="/proc/logs")
    assert_one_line(done, "cannot make the log folder /proc/logs")


def test_help_names_every_variable(checkout: Checkout) -> None:
    done = checkout.run("run_ascend.sh", "--help")
    assert done.returncode == 0
    for name in (*VARIABLES, "DRY_RUN"):
        assert f"  {name}" in done.stdout
    assert "#" not in done.stdout
    assert "set -euo" not in done.stdout


def test_status_of_the_single_process_is_handed_on(checkout: Checkout) -> None:
    checkout.add("python")
    assert checkout.run("run_ascend.sh", "audit", FAKE_MINDLEAK_STATUS="2").returncode == 2


def test_status_of_the_first_failing_worker_is_handed_on(checkout: Checkout) -> None:
    # msrun itself ends with 1 whatever the workers said, and says more only in its log.
    checkout.add("python", "msrun")
    msrun = (
        "echo rank 0 speaks; echo user error >msrun_log/worker_1.log;"
        "echo '[ERROR] Worker process 7 exit with exception. Error code: 2.' >&2; exit 1"
    )
    done = checkout.run("run_ascend.sh", "audit", DEVICE_NUM="2", FAKE_MSRUN=msrun)
    assert done.returncode == 2
    assert done.stdout == "rank 0 speaks\n"
    assert "logs of all processes in msrun_log" in done.stderr
    assert "user error" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("exit status 2; see the logs in msrun_log")


def test_failure_of_msrun_itself_is_shown(checkout: Checkout) -> None:
    checkout.add("python", "msrun")
    done = checkout.run("run_ascend.sh", "audit", DEVICE_NUM="2", FAKE_MSRUN="echo no port >&2; exit 1")
    assert done.returncode == 1
    assert "no port" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_the_whole_job(checkout: Checkout, number: signal.Signals, status: int) -> None:
    # msrun stops its workers on SIGINT only, and then ends with 0.
    checkout.add("python", "msrun")
    msrun = "trap 'echo stopped >stopped; exit 0' INT; echo up >up; for i in {1..200}; do sleep 0.05; done"
    job = subprocess.Popen(
        [str(checkout.bin / "bash"), str(checkout.root / "run_ascend.sh"), "audit"],
        cwd=checkout.elsewhere,
        env=checkout.environment(DEVICE_NUM="2", FAKE_MSRUN=msrun),
        stderr=subprocess.DEVNULL,
    )
    while not (checkout.elsewhere / "up").exists():
        assert job.poll() is None
        time.sleep(0.02)
    job.send_signal(number)
    assert job.wait(timeout=20) == status
    assert (checkout.elsewhere / "stopped").exists()


@pytest.fixture()
def cluster(checkout: Checkout) -> Checkout:
    """A checkout that finds a Python and msrun."""
    checkout.add("python", "msrun")
    return checkout


def test_refused_configuration_starts_no_process(cluster: Checkout) -> None:
    done = cluster.run("run_ascend.sh", "audit", "--set", "a=1", DEVICE_NUM="2", FAKE_REFUSAL="mindleak: a is unknown")
    assert_one_line(done, "mindleak: a is unknown")
    assert cluster.calls("[--set] [a=1] [--device_target] [Ascend]") and not cluster.calls("msrun")
    assert list(cluster.elsewhere.iterdir()) == []


@pytest.mark.parametrize("words", [["doctor"], ["data", "list"], ["report", "--run_dir", "r"], ["train", "--help"]])
def test_what_trains_nothing_runs_once_and_takes_no_device(cluster: Checkout, words: list[str]) -> None:
    assert cluster.run("run_ascend.sh", *words, DEVICE_NUM="2").returncode == 0
    assert cluster.calls() == ["python [-m] [mindleak] " + " ".join(f"[{word}]" for word in words)]


def test_named_environment_without_python_is_refused_and_a_relative_one_is_the_checkouts(cluster: Checkout) -> None:
    done = cluster.run("run_ascend.sh", "audit", MINDLEAK_VENV="/nope")
    assert_one_line(done, "MINDLEAK_VENV is /nope, which holds no bin/python; expected a virtual environment")
    cluster.run("scripts/setup_env.sh", MINDLEAK_VENV="mine")
    done = cluster.run("run_ascend.sh", "audit", MINDLEAK_VENV="mine", DRY_RUN="1")
    assert shlex.split(done.stdout)[0] == f"PATH={cluster.root}/mine/bin:$PATH"


def test_busy_port_is_named_or_another_one_is_taken(cluster: Checkout) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2", MASTER_PORT=port)
        assert_one_line(done, f"MASTER_PORT {port} is in use on this machine")
        assert not cluster.calls("msrun")
        # Nobody has asked for 8118, so another one does as well.
        script = cluster.root / "run_ascend.sh"
        script.write_text(script.read_text().replace("8118", port))
        done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2")
        assert done.returncode == 0
        assert done.stderr.splitlines()[0].startswith(f"run_ascend.sh: port {port} is in use; taking ")
        taken = done.stderr.splitlines()[0].split()[-1]
        assert f"[--master_port={taken}]" in cluster.calls("msrun")[0] and taken != port


@pytest.mark.parametrize(("variables", "complaint"), [
    ({"MASTER_ADDR": "192.0.2.1"}, "which is no address of this machine; expected one of node 0"),
    ({"MASTER_ADDR": "no-such-host.invalid"}, "which is no address and no host name known here"),
    ({"MASTER_ADDR": "a" * 70}, "which is no address and no host name known here"),
    ({"NODE_NUM": "2", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1"}, "by which every node means itself"),
    ({"NODE_NUM": "2", "NODE_RANK": "0", "MASTER_ADDR": "192.0.2.1"}, "which is no address of this machine"),
])
def test_address_under_which_nobody_would_answer_is_refused_at_once(
    cluster: Checkout, variables: dict[str, str], complaint: str
) -> None:
    done = cluster.run("run_ascend.sh", "audit", **{"DEVICE_NUM": "2", **variables})
    assert_one_line(done, f"MASTER_ADDR is {variables['MASTER_ADDR']}, {complaint}")
    assert not cluster.calls("msrun")


def test_address_of_another_node_is_not_looked_for_on_this_one(cluster: Checkout) -> None:
    done = cluster.run("run_ascend.sh", "audit", NODE_NUM="2", NODE_RANK="1", MASTER_ADDR="192.0.2.1")
    assert done.returncode == 0 and "[--master_addr=192.0.2.1] [--master_port=8118]" in cluster.calls("msrun")[0]


@pytest.mark.parametrize("name", ["msrun.log", "scheduler.log", "worker_0.log", "worker_12.log"])
def test_link_in_the_log_folder_is_not_followed(cluster: Checkout, name: str) -> None:
    precious = cluster.elsewhere / "precious"
    precious.write_text("precious")
    (cluster.elsewhere / "msrun_log").mkdir()
    for target in (precious, cluster.elsewhere / "missing"):
        (cluster.elsewhere / "msrun_log" / name).symlink_to(target)
        assert_one_line(cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2"),
                        f"msrun_log/{name} is no regular file; remove it")
        (cluster.elsewhere / "msrun_log" / name).unlink()
    assert precious.read_text() == "precious" and not (cluster.elsewhere / "missing").exists()


def test_log_folder_is_ones_own(cluster: Checkout) -> None:
    folder = cluster.elsewhere / "msrun_log"
    (cluster.elsewhere / "other").mkdir()
    folder.symlink_to("other")
    done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2")
    assert_one_line(done, "the log folder msrun_log is a symbolic link; give the folder itself as LOG_DIR")
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    assert_one_line(cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2"), "others can write into the log folder")
    folder.rmdir()
    assert cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2").returncode == 0
    assert folder.stat().st_mode & 0o777 == 0o700


# Stands for msrun with a scheduler and two workers: they leave with the words of the placeholders, and it tells the
# first one's end as msrun does. Like msrun, it waits for the scheduler unless interrupted.
MSRUN = """
    trap 'kill -KILL $scheduler $first $second 2>/dev/null; exit 0' INT
    bash_path="$(command -v bash)"
    env MS_ROLE=MS_SCHED RANK_ID=0 "$bash_path" -c '%(scheduler)s' & scheduler=$!
    env MS_ROLE=MS_WORKER RANK_ID=0 "$bash_path" -c 'exec sleep 40' >msrun_log/worker_0.log & first=$!
    env MS_ROLE=MS_WORKER RANK_ID=1 "$bash_path" -c '%(worker)s' >msrun_log/worker_1.log 2>&1 & second=$!
    wait $second; code=$?
    if [ $code -gt 128 ]; then code=$((128 - code)); fi
    echo "[ERROR] Worker process $second exit with exception. Error code: $code." >&2
    kill -KILL $first
    wait $scheduler
    exit 1
"""


@pytest.mark.parametrize(("worker", "status", "parts"), [
    ("sleep 3; kill -KILL $$", 137, ["rank 1 (process ", ") was killed by signal 9 (SIGKILL)"]),
    ("sleep 3; kill -SEGV $$", 139, ["rank 1 (process ", ") was killed by signal 11 (SIGSEGV)"]),
    ("sleep 3; echo mindleak: too large; exit 2", 2, ["mindleak: too large\n", "rank 1 (process ", "exit status 2"]),
    ("sleep 3; echo a fault; exit 1", 1, ["a fault\n", "rank 1 (process ", ") ended with exit status 1"]),
    ("kill -KILL $$", 137, [" was killed by signal 9 (SIGKILL)"]),
])
def test_worker_that_fails_is_named_at_once(cluster: Checkout, worker: str, status: int, parts: list[str]) -> None:
    started = time.perf_counter()
    done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2",
                       FAKE_MSRUN=MSRUN % {"scheduler": "exec sleep 40", "worker": worker})
    assert time.perf_counter() - started < 30, "not after the scheduler"
    assert done.returncode == status, done.stderr
    for part in parts:
        assert part in done.stderr
    assert done.stderr.splitlines()[-1].startswith("run_ascend.sh: the job failed: ")


def test_msrun_tells_the_end_of_a_worker_in_the_words_that_are_looked_for() -> None:
    (package,) = importlib.util.find_spec("mindspore").submodule_search_locations
    source = (Path(package) / "parallel" / "cluster" / "process_entity" / "_api.py").read_text()
    assert 'f"Worker process {p.pid} exit with exception. Error code: {ret_code}."' in source


def test_scheduler_that_ends_takes_the_job_with_it(cluster: Checkout) -> None:
    script = cluster.root / "run_ascend.sh"
    script.write_text(script.read_text().replace("SECONDS_WITHOUT_SCHEDULER=30", "SECONDS_WITHOUT_SCHEDULER=1"))
    scheduler = "echo RuntimeError: port taken >msrun_log/scheduler.log; sleep 2"
    started = time.perf_counter()
    done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2",
                       FAKE_MSRUN=MSRUN % {"scheduler": scheduler, "worker": "exec sleep 40"})
    assert time.perf_counter() - started < 30
    assert done.returncode == 1
    assert "RuntimeError: port taken\n" in done.stderr
    assert "the job failed: its scheduler (process " in done.stderr.splitlines()[-1]


def test_job_that_is_killed_itself_leaves_no_worker(cluster: Checkout) -> None:
    done = cluster.run("run_ascend.sh", "audit", DEVICE_NUM="2", FAKE_MSRUN=MSRUN.replace(
        "wait $second", "echo $first $second $scheduler >started; sleep 3; kill -KILL $$; wait $second")
        % {"scheduler": "exec sleep 40", "worker": "exec sleep 40"})
    assert done.returncode == 137
    for process in (cluster.elsewhere / "started").read_text().split():
        status = Path(f"/proc/{process}/status")
        assert not status.exists() or "zombie" in status.read_text()


def test_scripts_are_executable_and_end_at_the_first_error() -> None:
    for name in ("scripts/setup_env.sh", "scripts/demo.sh", "scripts/test.sh", ".ci/run", "run_ascend.sh"):
        assert os.access(CHECKOUT / name, os.X_OK), name
        assert "set -euo pipefail" in (CHECKOUT / name).read_text()


def test_scripts_are_clean_by_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = [*sorted((CHECKOUT / "scripts").glob("*.sh")), CHECKOUT / ".ci/run", CHECKOUT / "run_ascend.sh"]
    done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("cores", "shares"), [([0, 1], [[0], [1]]), ([0, 2, 4, 6, 8], [[0, 8], [2], [4], [6]]),
                                               ([3], [[3]])])
def test_processes_of_the_suite_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: list[int], shares: list[list[int]]
) -> None:
    import conftest

    pinned: list[list[int]] = []
    monkeypatch.setattr(conftest, "cores", lambda: cores)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, own: pinned.append(own), raising=False)
    for name in conftest.THREADS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    workers = conftest.pytest_xdist_auto_num_workers()
    for worker in range(workers):
        conftest.keep_to_own_cores(worker, workers)
    assert pinned == shares
    assert os.environ["OMP_NUM_THREADS"] == str(len(shares[0]))


def test_the_suite_begins_with_the_files_that_take_longest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import conftest

    class Item:
        """A test of a file, as pytest collects it."""

        def __init__(self, nodeid: str, slow: bool = False) -> None:
            self.nodeid, self.path, self._slow = nodeid, Path(nodeid.partition("::")[0]), slow

        def get_closest_marker(self, name: str) -> bool:
            return self._slow and name == "slow"

    files = ("short", "quickly", "whole", "new")
    (tmp_path / "seconds.json").write_text('{"quickly.py": [9, 9], "room/whole.py": [1, 30], "short.py": [2, 2]}')
    monkeypatch.setattr(conftest, "SECONDS", tmp_path / "seconds.json")
    for expression, order in (("not slow", ["quickly", "short", "whole", "new"]),
                              ("", ["whole", "new", "quickly", "short"])):
        items = [Item(f"tests/{'room/' * (name == 'whole')}{name}.py::test", name == "new") for name in files]
        config = types.SimpleNamespace(option=types.SimpleNamespace(markexpr=expression))
        conftest.pytest_collection_modifyitems(config, items)
        assert [item.path.stem for item in items] == order


def test_the_files_whose_seconds_are_known_are_there() -> None:
    known = json.loads((CHECKOUT / "tests" / "seconds.json").read_text(encoding="utf-8"))
    assert [name for name in known if not (CHECKOUT / "tests" / name).is_file()] == []
