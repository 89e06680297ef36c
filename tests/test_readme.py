"""The README's examples, taken from the README itself: its Python runs, its command lines are understood."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mindleak import config
from mindleak.cli import assignments, build_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# What the reader has before the example: a file with the network, its checkpoint, and the rows it was trained on.
BEFORE = '''
import numpy as np
from mindspore import nn, save_checkpoint


class MyNet(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(784, 16)
        self.relu = nn.ReLU()
        self.head = nn.Dense(16, 10)

    def construct(self, x):
        return self.head(self.relu(self.hidden(self.flatten(x))))


if __name__ == "__main__":
    from mindspore import Tensor

    from mindleak.data.catalogue import load

    network, digits = MyNet(), load("digits", None, 28, "bilinear")
    hidden = network.relu(network.hidden(Tensor(digits.x_train.reshape(-1, 784)))).asnumpy()
    head = np.linalg.lstsq(hidden, 8 * np.eye(10)[digits.y_train], rcond=None)[0]
    network.head.weight.set_data(Tensor(np.ascontiguousarray(head.T, np.float32)))
    save_checkpoint(network, "my.ckpt")
    np.save("indices.npy", np.arange(0, 1297, 6))
'''


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command line of the README in words, without comments, continuations and the dots of what is left open."""
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    lines += re.findall(r"`(mindleak [a-z]+ -[^`]+)`", README)
    return [[word for word in shlex.split(line, comments=True) if word != "…"] for line in lines]


OURS = [words[words.index(start) + 1:] for words in commands() for start in ("mindleak", "run_ascend.sh")
        if start in words]


def test_the_readme_has_what_these_tests_look_for() -> None:
    assert len(blocks("python")) == 1 and len(OURS) >= 14
    assert {words[0] for words in OURS} == {"audit", "train", "predict", "attack", "report", "data", "doctor"}


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_command_lines_are_understood(words: list[str]) -> None:
    arguments = build_parser().parse_args(words)
    if hasattr(arguments, "assignments"):
        file = None if arguments.config is None else str(ROOT / arguments.config)
        merged = config.load(file, assignments(arguments))
        assert file is None or merged.name == Path(file).stem


def test_scripts_and_files_that_it_names_exist() -> None:
    scripts = {word for words in commands() for word in words if word.endswith(".sh")}
    assert {"scripts/demo.sh", "scripts/test.sh", "run_ascend.sh"} <= scripts
    named = set(re.findall(r"\b((?:docs|configs|benchmarks|src|scripts)/[\w./]+\.\w+)\b", README)) | scripts
    for path in named:
        assert (ROOT / path).is_file() or path.startswith("benchmarks/NAME"), path


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(BEFORE)
    subprocess.run([sys.executable, "net.py"], cwd=tmp_path, check=True, timeout=120)
    (tmp_path / "example.py").write_text(blocks("python")[0])
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=540,
                          env={**os.environ, "MPLCONFIGDIR": str(tmp_path)}, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    path, _, found = done.stdout.splitlines()[-1].partition(" [")
    assert Path(path).is_file() and "Membership of mine" in found and "Inversion of mine" in found
