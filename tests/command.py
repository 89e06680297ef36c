"""Runs the command line inside the test's own process, and in fresh ones where that matters."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mindleak.cli import main

# A network that trains on the embedded digits in a second.
SMALL = (
    *("--model", "lenet5_bias", "--set", "data.image_size=28", "--set", "training.epochs=2"),
    *("--set", "training.batch_size=16", "--set", "training.learning_rate=0.1"),
)


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


def call(capfd: pytest.CaptureFixture[str], *words: object) -> Outcome:
    """Run one command in this process; what C++ writes to the file descriptors counts too."""
    capfd.readouterr()
    code = main([str(word) for word in words])
    return Outcome(code, *capfd.readouterr())


def fresh(*words: object, cwd: Path, environment: dict[str, str] | None = None) -> Outcome:
    """Run one command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mindleak", *map(str, words)],
        cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=300, check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: path → digest, or 'folder'."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def assert_refused(outcome: Outcome, *parts: str) -> None:
    """Exit code 2 and one line on standard error that holds all ``parts``; no traceback, no loader messages."""
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("mindleak: ") and outcome.err.count("\n") == 1, outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err
    assert "Traceback" not in outcome.out + outcome.err
