"""Model files that import the files next to them: found, told apart, and part of what identifies a network."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

from cases import slow_but
from command import call
from mindleak.errors import InputError
from mindleak.models.own_file import source
from mindleak.models.registry import build
from mindleak.subjects.own import architecture
from mindleak.training.loop import Predictor

SHAPE = (1, 2, 3)
HEAD = """from mindspore import nn, ops
SCALE = {scale}
def scaled(x):
    return x * SCALE
class Head(nn.Dense):
    def construct(self, x):
        return scaled(ops.ones_like(super().construct(x)))
"""
NET = """from mindspore import nn
{statement}
class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        {lazy}
        self.flat, self.fc = nn.Flatten(), {head}(6, 3)
    def construct(self, x):
        return {tail}(self.fc(self.flat(x)))
"""


def write(folder: Path, statement: str = "from head import Head", head: str = "Head", lazy: str = "pass",
          tail: str = "", place: str = "head.py", scale: int = 5) -> str:
    """Write a model file and its neighbour; return the reference to its class."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(HEAD.format(scale=scale))
    (folder / "net.py").write_text(NET.format(statement=statement, head=head, lazy=lazy, tail=tail))
    return f"{folder / 'net.py'}:Net"


def made(reference: str) -> nn.Cell:
    return build(reference, SHAPE, 3, 0)


def answers(reference: str) -> set[float]:
    """What the network answers by its compiled graph."""
    return set(Predictor(made(reference))(np.ones((2, *SHAPE), np.float32)).ravel().tolist())


# How a neighbour may be imported, and from where.
FORMS: list[dict[str, str]] = [
    {},
    {"statement": "import head", "head": "head.Head"},
    {"statement": "import head as h", "head": "h.Head"},
    {"statement": "import layers.head", "head": "layers.head.Head", "place": "layers/head.py"},
    {"statement": "import layers.head as h", "head": "h.Head", "place": "layers/head.py"},
    {"statement": "from layers import head", "head": "head.Head", "place": "layers/head.py"},
    {"statement": "from layers.deep.head import Head", "place": "layers/deep/head.py"},
    {"statement": "from .head import Head"},
    {"statement": "from . import head", "head": "head.Head"},
    {"statement": "", "lazy": "from head import Head"},
    {"statement": "from head import Head, scaled", "tail": "scaled"},
    {"statement": "from head import *"},
]


MARKED = [*((form, False) for form in FORMS), *((form, True) for form in FORMS if "place" in form)]


@pytest.mark.parametrize("form, marked", slow_but(MARKED, *MARKED[::3]), ids=str)
def test_a_neighbour_is_found_however_it_is_imported(tmp_path: Path, form: dict[str, str], marked: bool) -> None:
    reference = write(tmp_path, **form)
    if marked:
        for folder in (tmp_path / "layers", tmp_path / "layers" / "deep"):
            if folder.is_dir():
                (folder / "__init__.py").touch()
    before = source(reference)
    assert answers(reference) == {25.0 if form.get("tail") else 5.0}
    (neighbour,) = tmp_path.rglob("head.py")
    neighbour.write_text(HEAD.format(scale=7))
    assert source(reference) != before, "the neighbour's source identifies the network"
    assert answers(reference) == {49.0 if form.get("tail") else 7.0}, "an edited neighbour is imported anew"


def test_neighbours_of_one_name_do_not_mix(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", scale=1), write(tmp_path / "b", scale=2)
    (tmp_path / "b" / "judge.py").write_text((tmp_path / "b" / "net.py").read_text())
    networks = [made(reference) for reference in (first, second, first, f"{tmp_path}/b/judge.py:Net")]
    # Compiled only now, from source that the graph parser looks up by the modules' names.
    found = [float(Predictor(network)(np.ones((1, *SHAPE), np.float32))[0, 0]) for network in networks]
    assert found == [1, 2, 1, 2]
    assert architecture(networks[0]) == architecture(networks[2])
    assert source(first) != source(second)


def test_a_neighbours_neighbours_are_found_and_count(tmp_path: Path) -> None:
    reference = write(tmp_path)
    (tmp_path / "head.py").write_text("from base import Head\n")
    (tmp_path / "base.py").write_text(HEAD.format(scale=3))
    before = source(reference)
    assert answers(reference) == {3.0}
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert source(reference) == before
    (tmp_path / "base.py").write_text(HEAD.format(scale=4))
    assert source(reference) != before


def test_a_file_alone_is_identified_by_its_bytes(tmp_path: Path) -> None:
    write(tmp_path, statement="", head="nn.Dense")
    content = (tmp_path / "net.py").read_bytes()
    assert source(f"{tmp_path / 'net.py'}:Net") == hashlib.sha256(content).hexdigest()


def test_importing_leaves_nothing_behind(tmp_path: Path) -> None:
    reference, path = write(tmp_path), list(sys.path)
    made(reference)
    assert sys.path == path and "head" not in sys.modules
    assert {entry.name for entry in tmp_path.iterdir()} == {"net.py", "head.py"}


def test_the_standard_library_is_not_hidden_by_a_neighbour(tmp_path: Path) -> None:
    reference = write(tmp_path, statement="import random\nrandom.random()\nfrom head import Head")
    (tmp_path / "random.py").write_text("raise SystemExit\n")
    assert answers(reference) == {5.0}


@pytest.mark.parametrize("neighbour, complaint", [
    (None, "ModuleNotFoundError: No module named 'head'"),
    ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ("from head import More\n", "ImportError: cannot import name 'More' from"),
    ("import head.more\n", "ModuleNotFoundError: No module named 'head.more'; 'head' is not a package"),
    ("from ... import above\n", "ImportError: attempted relative import beyond top-level package"),
])
def test_a_neighbour_that_fails_is_refused_in_the_users_words(
        tmp_path: Path, capfd: pytest.CaptureFixture[str], neighbour: str | None, complaint: str) -> None:
    reference = write(tmp_path)
    (tmp_path / "head.py").unlink() if neighbour is None else (tmp_path / "head.py").write_text(neighbour)
    with pytest.raises(InputError, match="does not import") as refusal:
        made(reference)
    assert complaint in str(refusal.value) and "mindleak_user" not in str(refusal.value)
    (tmp_path / "head.py").write_text(HEAD.format(scale=1))
    assert answers(reference) == {1.0}, "mended, it imports"


@pytest.mark.slow
def test_a_network_with_a_neighbour_trains(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "head.py").write_text("from mindspore import nn\n\n\nclass Head(nn.Dense):\n    pass\n")
    (tmp_path / "net.py").write_text(NET.format(statement="from head import Head", lazy="pass", tail="",
                                                head="Head").replace("(6, 3)", "(64, 10)"))
    outcome = call(capfd, "train", "--model", f"{tmp_path / 'net.py'}:Net", "--set", "training.epochs=1",
                   "--run_dir", tmp_path / "run", "--ckpt_dir", tmp_path / "ckpt")
    assert outcome.code == 0 and "trained; test accuracy" in outcome.out


@pytest.mark.slow
def test_a_project_that_is_moved_gives_the_same_figures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    histories = []
    for place in ("here", "there/deeper"):
        folder = tmp_path / place
        write(folder)
        (folder / "net.py").write_text(NET.format(statement="", lazy="pass", tail="", head="nn.Dense")
                                       .replace("(6, 3)", "(64, 10)"))
        outcome = call(capfd, "train", "--model", f"{folder / 'net.py'}:Net", "--set", "training.epochs=1",
                       "--run_dir", folder / "run", "--ckpt_dir", folder / "ckpt")
        assert outcome.code == 0 and ": net.py:Net with 650 parameters" in outcome.out
        (history,) = (folder / "run").glob("*-history.csv")
        histories.append([row.split(",")[:-1] for row in history.read_text().splitlines()])
    assert histories[0] == histories[1]
