"""Interrupts small audits at random moments: ``python tests/fuzz/signals.py --signals 120 --seed 0``.

Every audit is interrupted a few times and then left alone to its end. An interrupt must end the command within ten
seconds with exit code 130 and one line; the audit that went on must leave the very bytes of one that was never
interrupted, and nothing half-written. Exit code 1 where any did not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

SETTINGS = {
    "data.name": "digits", "model.name": "lenet5", "seed": 3, "device.threads": 1, "training.epochs": 2,
    "judge.epochs": 1, "inversion.images": 3, "inversion.iterations": 3, "membership.target_in": 120,
    "membership.target_out": 120, "membership.population": 60, "membership.shadow_pool": 240, "membership.shadows": 2,
    "membership.attack.epochs": 2, "membership.references": 4,
    "membership.attacks": "[shadow,loss,lira_online,rmia_online]"}
COMMAND = [sys.executable, "-m", "mindleak", "audit",
           *(word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}"))]
LONGEST = 10.0
# How often one audit is interrupted before it is left alone, and up to how many seconds after its start.
TIMES, EARLY, LATE = 6, 4.0, 25.0


@dataclass
class Found:
    """What one audit came to: seconds from every interrupt to the command's end, and what was not as it must be."""

    seconds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every array and checkpoint that an audit has left."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.suffix in (".npz", ".ckpt")}


def leftovers(folder: Path) -> list[str]:
    """Return what nobody should leave: half-written files, claims and locks."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*")
            if path.suffix in (".part", ".lock", ".claim") or (path.parent.name == "partial")]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the audit, which may have ignored signals before: a background job of a shell does."""
    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    words = [*COMMAND, "--run_dir", str(folder / "run"), "--ckpt_dir", str(folder / "ckpt")]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def interrupted(folder: Path, generator: random.Random, found: Found) -> bool:
    """Run the audit and interrupt it at a random moment; False where it ended before."""
    process = start(folder)
    latest = generator.choice([EARLY, LATE, LATE])
    moment, number = generator.uniform(0.1, latest), generator.choice([signal.SIGINT, signal.SIGTERM])
    try:
        _, said = process.communicate(timeout=moment)
        if process.returncode != 0 or said.strip():
            found.violations.append(f"ended by itself with {process.returncode}: {said[-500:]!r}")
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    sent = time.monotonic()
    try:
        _, said = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        found.violations.append(f"{number.name} after {moment:.2f} s did not end it in 90 s")
        return True
    found.seconds.append(time.monotonic() - sent)
    # Before Python has got to the handler there is nobody who could say a line.
    unborn = process.returncode == -number and not said
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    if not unborn and (process.returncode != 130 or len(lines) != 1 or found.seconds[-1] > LONGEST):
        found.violations.append(f"{number.name} after {moment:.2f} s: exit code {process.returncode} after "
                                f"{found.seconds[-1]:.1f} s, {len(lines)} lines: {lines[:3]}")
    return True


def audit(folder: Path, seed: str, whole: dict[str, str]) -> Found:
    """Interrupt one audit a few times, let it end, and hold what it has left against a whole one's."""
    generator, found = random.Random(seed), Found()
    for _ in range(TIMES):
        if not interrupted(folder, generator, found):
            break
    process = start(folder)
    _, said = process.communicate()
    if process.returncode != 0 or said.strip():
        found.violations.append(f"went on and ended with {process.returncode}: {said[-500:]!r}")
    left = digests(folder)
    different = sorted(name for name in whole.keys() | left.keys() if whole.get(name) != left.get(name))
    found.violations += [f"other bytes than those of a whole audit: {name}" for name in different]
    found.violations += [f"left behind: {name}" for name in leftovers(folder)]
    if not found.violations:
        shutil.rmtree(folder)
    return found


def audits(work: Path, seed: int, wanted: int, processes: int) -> Iterator[Found]:
    """Yield what audits came to until so many signals were sent."""
    process = start(work / "whole")
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"an audit by itself fails: {said.decode(errors='replace')}")
    whole, sent, number = digests(work / "whole"), 0, 0
    with ThreadPoolExecutor(processes) as pool:
        while sent < wanted:
            batch = [pool.submit(audit, work / str(number + each), f"{seed}-{number + each}", whole)
                     for each in range(processes)]
            number += processes
            for found in (each.result() for each in batch):
                sent += len(found.seconds)
                yield found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=120, help="how many to send at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="audits side by side (1)")
    parser.add_argument("--work", type=Path, default=Path("signals"), help="an empty folder for the audits (signals)")
    options = parser.parse_args()
    results = []
    for found in audits(options.work.resolve(), options.seed, options.signals, options.processes):
        results.append(found)
        for violation in found.violations:
            print(violation, flush=True)
    seconds = sorted(second for found in results for second in found.seconds)
    violations = sum(len(found.violations) for found in results)
    print(f"seed {options.seed}: {len(seconds)} signals to {len(results)} audits, {violations} violations; from signal "
          f"to end {statistics.median(seconds):.1f} s in the median, {seconds[-1]:.1f} s at most")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
