"""Start-up: wall time of ``mindleak --help`` against a process that imports MindSpore, with bare Python as floor."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import _pairs

FLOOR = [sys.executable, "-c", "pass"]
PEER = [sys.executable, "-c", "import mindspore"]


def help_command() -> list[str]:
    """Return the installed command; the module where the script is not beside this Python."""
    script = Path(sys.executable).with_name("mindleak")
    return [str(script) if script.is_file() else sys.executable, *([] if script.is_file() else ["-m", "mindleak"]),
            "--help"]


def wall_seconds(command: list[str]) -> float:
    """Return how long a command takes, from its start to its end."""
    begun = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        _pairs.refuse(f"'{' '.join(command)}' exits {done.returncode}: {lines[-1] if lines else 'no message'}")
    return seconds


def main() -> None:
    """Run the three commands in turns and compare."""
    parser = _pairs.standard_parser(__doc__)
    arguments = parser.parse_args()
    rounds = 1 if arguments.toy else 7 if arguments.quick else 21
    commands = {"ours": help_command(), "floor": FLOOR}
    if _pairs.require_peer("mindspore", arguments.no_peer):
        commands["peer"] = PEER
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(-1, rounds):
        for name, command in commands.items():
            took = wall_seconds(command)
            if turn >= 0:  # the turn before the first fills the file cache
                seconds[name].append(took)
    record = _pairs.compare("startup/help", seconds["ours"], seconds.get("peer", ()), "s",
                            floor=sorted(seconds["floor"])[rounds // 2], slowest=max(seconds["ours"]))
    _pairs.show(record)
    print(f"    python -c pass takes {record['floor']:.3f} s; the slowest mindleak --help took "
          f"{record['slowest']:.3f} s")
    _pairs.finish([record])


if __name__ == "__main__":
    main()
