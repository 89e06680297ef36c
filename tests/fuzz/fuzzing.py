"""Runs fuzzed inputs in a warm process and judges what each came to."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

HERE = Path(__file__).resolve().parent
LINE_LIMIT = 500
# Every so many inputs one trains and attacks in earnest; the others end where training would begin.
IN_EARNEST = 25
# Seconds for a process to load MindSpore, on a machine that is busy.
STARTING = 600
# Where a command may write without having been told so.
OWN_PLACES = ("runs", "ckpt", "run")
ALLOWED = {0, 2, 3, "planned"}


@dataclass(frozen=True)
class Outcome:
    """What one input came to: exit code ('planned', 'signal 6', 'hang'), seconds, and what is wrong with that."""

    number: int
    kind: str
    code: int | str
    seconds: float
    violations: tuple[str, ...]


class Server:
    """A warm process for inputs; started anew after one that it did not survive."""

    def __init__(self, seed: int, work: Path, assets: Path, limit: float, earnest_limit: float) -> None:
        self._seed, self._work, self._assets = seed, work, assets
        self._limits = (limit, earnest_limit)
        self._process: subprocess.Popen[bytes] | None = None
        work.mkdir(parents=True, exist_ok=True)
        if not (assets / "report" / "report.json").exists():
            shutil.rmtree(assets, ignore_errors=True)
            subprocess.run([sys.executable, HERE / "worker.py", assets], check=True, env=_environment(), cwd=work)

    def ask(self, number: int) -> Outcome:
        """Run one input."""
        if self._process is None:
            self._start()
        assert self._process is not None
        begun = time.perf_counter()
        os.write(self._requests, f"{number}\n".encode())
        line = self._line(self._limits[number % IN_EARNEST == 0])
        seconds = time.perf_counter() - begun
        if not line.endswith(b"\n"):
            code = "hang" if line == b"..." else self._dead()
            self.close()
            return self._judged({"number": number, "code": code, "changed": []}, seconds)
        return self._judged(json.loads(line), seconds)

    def _line(self, limit: float) -> bytes:
        """Return the next line of the process; nothing if it has died, '...' if it takes longer than ``limit``.

        The limit is in seconds of the process's own time, which others on a busy machine do not use up, and ten times
        as many of the clock's, for what waits.
        """
        line, end, own = b"", time.monotonic() + 10 * limit, self._own_time() + limit
        while not line.endswith(b"\n"):
            if not select.select([self._answers], [], [], 1)[0]:
                if time.monotonic() > end or self._own_time() > own:
                    return b"..."
                continue
            more = os.read(self._answers, 65536)
            if not more:
                return b""
            line += more
        return line

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        os.close(self._requests)
        os.close(self._answers)
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _start(self) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        log = open(self._work / "worker.log", "ab")  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                sys.executable,
                HERE / "worker.py",
                str(self._seed),
                self._work,
                self._assets,
                str(requests),
                str(answers),
            ],
            pass_fds=(requests, answers),
            env=_environment(),
            cwd=self._work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        for descriptor in (requests, answers):
            os.close(descriptor)
        log.close()
        if self._line(STARTING) != b"ready\n":
            raise RuntimeError((self._work / "worker.log").read_text(errors="replace"))

    def _own_time(self) -> float:
        """Return the seconds of processors that the process has used."""
        assert self._process is not None
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _dead(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit {code}"

    def _judged(self, answer: dict[str, Any], seconds: float) -> Outcome:
        folder = self._work / str(answer["number"])
        case = (
            json.loads((folder / "command.json").read_text())
            if (folder / "command.json").exists()
            else {"kind": "?", "encoding": "utf-8"}
        )
        wrong = tuple(violations(answer, folder, case))
        if not wrong:
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(answer["number"], case["kind"], answer["code"], seconds, wrong)


def violations(answer: dict[str, Any], folder: Path, case: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the outcome of an input."""
    out, err = (_read(folder / name, case["encoding"]) for name in ("stdout.txt", "stderr.txt"))
    if answer["code"] not in ALLOWED:
        last = next((line for line in reversed(err.splitlines()) if line.strip()), "")
        yield f"ends with {answer['code']}: {last[:200]}"
        return
    if "Traceback" in out + err:
        yield "traceback"
    if answer["code"] == 2:
        lines = err.splitlines()
        if len(lines) != 1 or not lines[0].startswith("mindleak: "):
            yield f"{len(lines)} lines on standard error: {err[:300]!r}"
        elif len(lines[0]) > LINE_LIMIT:
            yield f"a line of {len(lines[0])} characters"
        if not out and any(name.split(os.sep)[0] not in OWN_PLACES for name in _made(answer)):
            yield f"refused, and left {_made(answer)[:5]}"
    # A no-break space is to be seen, though not printable in Python's sense.
    hidden = {
        letter for letter in (out + err).replace("\n", "") if not letter.isprintable() and letter not in "\xa0\u202f"
    }
    if hidden:
        yield f"prints what is not to be seen: {sorted(hidden)[:5]}"
    spoilt = [name for name in answer["changed"] if name.split(os.sep)[0] == "inputs"]
    spoilt = [name for name in spoilt if "__pycache__" not in name]
    if spoilt:
        yield f"changed its inputs: {spoilt[:5]}"
    if "pwned" in " ".join(answer["changed"]):
        yield "ran a command out of its input"


def _made(answer: dict[str, Any]) -> list[str]:
    return [
        name for name in answer["changed"] if name not in ("stdout.txt", "stderr.txt") and "__pycache__" not in name
    ]


def _read(path: Path, encoding: str) -> str:
    return path.read_bytes().decode(encoding, "backslashreplace") if path.exists() else ""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MINDLEAK", "MS_", "PYTEST"))}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE), str(HERE.parent)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def outcomes(
    numbers: Iterable[int], seed: int, work: Path, limit: float = 30, earnest_limit: float = 120, processes: int = 1
) -> Iterator[Outcome]:
    """Run inputs, in order; the folders of those with violations stay in ``work``, or in one folder a process there."""
    folders = [work / f"process{number}" for number in range(processes)] if processes > 1 else [work]
    servers = [Server(seed, folder, work / "assets", limit, earnest_limit) for folder in folders]
    free: SimpleQueue[Server] = SimpleQueue()
    for server in servers:
        free.put(server)

    def ask(number: int) -> Outcome:
        server = free.get()
        try:
            return server.ask(number)
        finally:
            free.put(server)

    try:
        with ThreadPoolExecutor(processes) as pool:
            yield from pool.map(ask, numbers)
    finally:
        for server in servers:
            server.close()


def table(results: Iterable[Outcome]) -> str:
    """Return kinds of input with their numbers of inputs, exit codes and violations as a Markdown table."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in results:
        for row in (outcome.kind, "all"):
            rows[row]["inputs"] += 1
            rows[row][
                {2: "refused", "planned": "planned"}.get(outcome.code, "worked" if outcome.code in ALLOWED else "other")
            ] += 1
            rows[row]["violations"] += bool(outcome.violations)
    total = rows.pop("all", Counter())
    columns = ("inputs", "refused", "planned", "worked", "other", "violations")
    lines = [
        "| kind of input | inputs | refused (2) | ready to train | worked (0, 3) | other ends | violations |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name, counted in [*sorted(rows.items()), ("all", total)]:
        lines.append(f"| {name} | " + " | ".join(f"{counted[column]:,}" for column in columns) + " |")
    return "\n".join(lines)


def cause(violation: str) -> str:
    """Return a violation without numbers, names and paths, so that those of one cause count as one."""
    return re.sub(r"'[^']*'|\d+|/\S+", "~", violation)[:160]
