"""Side-by-side timing: ours and a peer, in turns, each in a process of its own, one running at a time.

A benchmark hands in one function per side. It runs in a worker process and calls ``tick`` whenever it has
finished a unit of work (an epoch); between two ticks the clock runs, while it waits inside one it does not.
The first unit is the warm-up: compilation, first allocations. Whoever is not being timed is stopped by
signal, since MindSpore's CPU threads spin and would take the other side's core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional

Case = dict[str, Any]
Figures = dict[str, float]
Tick = Callable[[Figures], None]
Side = Callable[[Case, Tick], None]

OURS, PEER = "ours", "peer"
# What a training must get right, at least, for its time to mean anything.
LEARNT = 0.9
VERSIONS_OF = ("mindspore", "mindarmour", "torch", "numpy")


@dataclass(frozen=True)
class Unit:
    """One timed unit of work: its seconds, and figures that show that the work was done (loss, accuracy).

    ``others`` is how many cores all other processes kept busy meanwhile, None where the kernel does not say.
    """

    seconds: float
    figures: Figures
    others: Optional[float]


def standard_parser(description: Optional[str]) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer samples and rounds; ends within 5 minutes")
    size.add_argument("--toy", action="store_true", help="the least that runs every line; its figures say nothing")
    parser.add_argument("--no_peer", action="store_true", help="without the peer; ratio and peer are null")
    return parser


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads: how many cores and threads each side gets; several values, several cases."""
    cores = len(available_cores())
    parser.add_argument("--threads", type=int, nargs="+", default=[count for count in (1, 2) if count <= cores],
                        metavar="N", help="cores and threads per side (1 and 2)")


def available_cores() -> list[int]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def refuse(message: str) -> NoReturn:
    """End with one line and exit code 2: the caller can mend it."""
    print(f"benchmark: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def require_peer(module: str, no_peer: bool) -> bool:
    """Return whether to run the peer; refuse where it is wanted and not installed."""
    if no_peer:
        return False
    if importlib.util.find_spec(module) is None:
        refuse(f"the peer needs '{module}': pip install 'mindleak[bench]', or --no_peer for ours alone")
    return True


class Worker:
    """A side in its own process: resumed for one unit of work at a time, stopped in between."""

    def __init__(self, script: str, side: str, case: Case) -> None:
        threads = str(case["threads"])
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        self._name = f"{side} of {case['name']}"
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            [sys.executable, script, "--worker", side, json.dumps(case)], env={**os.environ, **limits},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        self._started = False

    def unit(self) -> Unit:
        """Let the worker do one unit of work, and stop it again."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._started:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        self._started = True
        before, begun = others_seconds(self._process.pid), time.perf_counter()
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        after, ended = others_seconds(self._process.pid), time.perf_counter()
        self._process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        others = None if before is None or after is None else max(0.0, after - before) / (ended - begun)
        return Unit(answer.pop("seconds"), answer, others)

    def close(self) -> None:
        """End the process; it holds nothing worth keeping."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _fail(self) -> NoReturn:
        """Say why the worker ended: its last line of standard error."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        refuse(f"{self._name} ended with exit code {code}: {lines[-1] if lines else 'no message'}")


def others_seconds(pid: int) -> Optional[float]:
    """Return the processor seconds that all processes but ``pid`` have used since boot; None where unknown."""
    try:
        machine = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        own = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    # user, nice, system, irq, softirq, steal of the machine; utime, stime of the process (proc(5))
    busy = sum(int(machine[column]) for column in (1, 2, 3, 6, 7, 8))
    return (busy - int(own[11]) - int(own[12])) / os.sysconf("SC_CLK_TCK")


def be_worker(sides: dict[str, Side]) -> None:
    """Where this process was started as a worker, do a side's work and exit; otherwise return at once."""
    if sys.argv[1:2] != ["--worker"]:
        return
    side, case = sys.argv[2], json.loads(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, available_cores()[: case["threads"]])
    resumed = time.perf_counter()

    def tick(figures: Figures) -> None:
        nonlocal resumed
        seconds = time.perf_counter() - resumed
        answers.write(json.dumps({**figures, "seconds": seconds}) + "\n")
        answers.flush()
        if not sys.stdin.readline():
            raise SystemExit(0)
        resumed = time.perf_counter()

    sides[side](case, tick)
    raise SystemExit(0)


def alternate(script: str, case: Case, with_peer: bool, further: Sequence[str] = ()) -> dict[str, list[Unit]]:
    """Return warm-up plus ``case["rounds"]`` units per side, taken in turns; who is first changes every round.

    ``further`` sides stand between ours and the peer's.
    """
    names = [OURS, *further, PEER] if with_peer else [OURS, *further]
    units: dict[str, list[Unit]] = {name: [] for name in names}
    workers: dict[str, Worker] = {}
    # Ended by a signal, the benchmark must still reach the lines below: a stopped worker would stay for ever.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        for name in names:
            workers[name] = Worker(script, name, case)
            units[name].append(workers[name].unit())
        for turn in range(case["rounds"]):
            for name in names[:: 1 if turn % 2 == 0 else -1]:
                units[name].append(workers[name].unit())
    finally:
        for worker in workers.values():
            worker.close()
    return units


def compare(name: str, ours: Sequence[float], peer: Sequence[float], unit: str, **more: Any) -> dict[str, Any]:
    """Return the record of one case: ``ratio`` is the peer's median over ours, above 1 where we are better.

    ``min`` and ``max`` are the smallest and largest ratio of a round. Without a peer all three are None.
    """
    return {
        "name": name,
        "ratio": None,
        "ours": statistics.median(ours),
        "peer": statistics.median(peer) if peer else None,
        "unit": unit,
        "runs": len(ours),
        "min": None,
        "max": None,
        **ratios(ours, peer),
        **more,
        "versions": versions(),
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the ratio of the medians, and the smallest and largest ratio of a round; nothing of no rounds."""
    rounds = [other / own for own, other in zip(ours, theirs)]
    if not rounds:
        return {}
    return {"ratio": statistics.median(theirs) / statistics.median(ours), "min": min(rounds), "max": max(rounds)}


def require_learnt(records: Sequence[dict[str, Any]]) -> None:
    """End with exit code 1 where a training got less than ``LEARNT`` right of what it was trained on.

    Args:
        records: each with its sides' last ``accuracy``.
    """
    poor = [f"{side} of {record['name']} ({accuracy:.3f})" for record in records
            for side, accuracy in record["accuracy"].items() if not accuracy >= LEARNT]
    if poor:
        print(f"benchmark: accuracy on the training images is below {LEARNT}, so the times say nothing: "
              f"{', '.join(poor)}", file=sys.stderr)
        raise SystemExit(1)


def versions() -> dict[str, Optional[str]]:
    """Return the versions that the figures depend on; None for what is not installed."""
    found: dict[str, Optional[str]] = {"python": sys.version.split()[0]}
    for package in VERSIONS_OF:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def show(record: dict[str, Any]) -> None:
    """Print a case for people."""
    line = f"{record['name']:<36} ours {record['ours']:9.3f} {record['unit']}"
    if record["ratio"] is not None:
        line += (f"   peer {record['peer']:9.3f}   ratio {record['ratio']:.3f} "
                 f"({record['min']:.3f} to {record['max']:.3f}, {record['runs']} rounds)")
    print(line, flush=True)


def finish(records: Sequence[dict[str, Any]]) -> None:
    """Print one JSON line per case, rounded to what timing can resolve."""
    for record in records:
        print(json.dumps(_rounded(record)), flush=True)


def _rounded(value: Any) -> Any:
    """Round every float inside nested dicts to 4 decimals."""
    if isinstance(value, float):
        return round(value, 4)
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, dict) else value
