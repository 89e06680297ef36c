"""The README's examples, taken from the README itself: its Python runs, its command lines are understood."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindleak import config
from mindleak.cli import assignments, build_parser
from pages import OWN_MODEL, ROOT, blocks, command_lines, commands

README = (ROOT / "README.md").read_text(encoding="utf-8")
OURS = [words for start in ("mindleak", "run_ascend.sh") for words in commands("README.md", start)]


def test_the_readme_has_what_these_tests_look_for() -> None:
    assert len(blocks("README.md", "python")) == 1 and len(OURS) >= 14
    assert {words[0] for words in OURS} == {"audit", "train", "predict", "attack", "report", "data", "doctor"}


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_command_lines_are_understood(words: list[str]) -> None:
    arguments = build_parser().parse_args(words)
    if hasattr(arguments, "assignments"):
        file = None if arguments.config is None else str(ROOT / arguments.config)
        merged = config.load(file, assignments(arguments))
        assert file is None or merged.name == Path(file).stem


def test_scripts_and_files_that_it_names_exist() -> None:
    scripts = {word for words in command_lines("README.md") for word in words if word.endswith(".sh")}
    assert {"scripts/demo.sh", "scripts/test.sh", "run_ascend.sh"} <= scripts
    named = set(re.findall(r"\b((?:docs|configs|benchmarks|src|scripts)/[\w./]+\.\w+)\b", README)) | scripts
    for path in named:
        assert (ROOT / path).is_file() or path.startswith("benchmarks/NAME"), path


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(OWN_MODEL)
    subprocess.run([sys.executable, "net.py"], cwd=tmp_path, check=True, timeout=300)
    (tmp_path / "example.py").write_text(blocks("README.md", "python")[0])
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=540,
                          env={**os.environ, "MPLCONFIGDIR": str(tmp_path)}, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    path, _, found = done.stdout.splitlines()[-1].partition(" [")
    assert Path(path).is_file() and "Membership of mine" in found and "Inversion of mine" in found
