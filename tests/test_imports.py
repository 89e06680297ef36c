"""Imports point downwards only, and the heavy packages stay where they belong.

The source is parsed, not run, so that imports inside functions and under ``TYPE_CHECKING`` count too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mindleak

PACKAGE = Path(mindleak.__file__).resolve().parent

# The house, from the ground up: a room may import from the levels above it in this list, and from itself.
HOUSE = (
    {"errors", "printable"},
    {"quiet", "interruption", "files", "yaml_text"},
    {"settings"},
    {"device"},
    {"kernels"},
    {"models", "data", "runs", "evaluation"},
    {"training"},
    {"attacks"},
    {"subjects"},
    {"reporting"},
    {"audits"},
    {"jobs"},
    {"cli"},
)
# The facade and ``python -m mindleak`` stand on the roof; both may use everything.
ROOF = {"__init__", "__main__"}
LEVEL = {room: level for level, rooms in enumerate(HOUSE) for room in rooms} | dict.fromkeys(ROOF, len(HOUSE))

# On one level, only this: whatever writes a data file writes it whole.
NEIGHBOURS = {("data", "mindleak.runs.atomic")}

FRAMEWORKS = {"mindspore", "mindarmour", "torch"}
WITHOUT_FRAMEWORK = {
    "errors", "printable", "interruption", "files", "yaml_text", "settings", "evaluation", "data", "runs", "reporting",
}
# Rooms all of whose modules are made of MindSpore's.
WITH_FRAMEWORK = {"kernels", "models", "training"}


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) for every import in a module of ``package``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


def called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def wrong_imports(package: Path) -> list[str]:
    """Every import of the tree under ``package`` (a folder called mindleak) that breaks a rule."""
    wrong = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        room = parts[0]
        if room not in LEVEL:
            wrong.append(f"{path.relative_to(package)}: '{room}' has no place in the house")
            continue
        inside = ".".join(["mindleak", *parts[:-1]])
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8")), inside):
            reason = objection(room, name)
            if reason:
                wrong.append(f"{path.relative_to(package)}:{line}: {reason}")
    return wrong


def objection(room: str, name: str) -> str:
    top, _, rest = name.partition(".")
    if top == "torch":
        return f"{name}: no torch in the product"
    if top in FRAMEWORKS and room in WITHOUT_FRAMEWORK:
        return f"{room} must not import {name}"
    if top != "mindleak" or name == "mindleak.__version__":
        return ""
    target = rest.split(".")[0]
    if target not in LEVEL or target in ROOF:
        return "" if room in ROOF else f"{room} must not import the facade ({name})"
    if room in WITHOUT_FRAMEWORK and target in WITH_FRAMEWORK:
        return f"{room} must not import {name}, which loads MindSpore"
    if target == room or LEVEL[target] < LEVEL[room]:
        return ""
    if any(room == who and f"{name}.".startswith(f"{what}.") for who, what in NEIGHBOURS):
        return ""
    return f"{room} must not import {name}: imports point downwards only"


def test_imports_point_downwards_only() -> None:
    assert wrong_imports(PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("training/loop.py", "from mindleak.attacks.membership import shadow", "training must not import mindleak.at"),
        ("training/loop.py", "def f():\n    import mindleak.jobs.audit", "loop.py:2: training must not import"),
        ("training/loop.py", "from ..attacks import inversion", "training must not import mindleak.attacks.inv"),
        ("training/deep/loop.py", "from ...jobs import audit", "training must not import mindleak.jobs.audit"),
        ("training/loop.py", "from mindleak import jobs", "training must not import mindleak.jobs"),
        ("training/loop.py", "import importlib\nimportlib.import_module('mindleak.cli')", "training must not"),
        ("training/loop.py", "from mindleak import audit", "must not import the facade (mindleak.audit)"),
        ("training/loop.py", "import mindleak", "must not import the facade"),
        ("models/lenet5.py", "from mindleak.evaluation import roc", "models must not import mindleak.evaluation"),
        ("data/idx.py", "from mindleak.runs.stages import Run", "data must not import mindleak.runs.stages.Run"),
        ("data/idx.py", "import mindspore as ms", "data must not import mindspore"),
        ("kernels/library.py", "from mindleak.models.base import Classifier", "kernels must not import"),
        ("evaluation/roc.py", "from mindleak.kernels import library", "evaluation must not import mindleak.kernels"),
        ("evaluation/roc.py", "def f():\n    from mindspore import nn", "evaluation must not import mindspore.nn"),
        ("runs/stages.py", "import mindarmour", "runs must not import mindarmour"),
        ("reporting/html.py", "from mindleak.audits import family", "reporting must not import mindleak.audits"),
        ("reporting/html.py", "import torch.nn", "no torch in the product"),
        ("jobs/audit.py", "import torch", "no torch in the product"),
        ("settings/merge.py", "from mindleak import device", "settings must not import mindleak.device"),
        ("errors.py", "from mindleak.settings import load", "errors must not import mindleak.settings.load"),
        ("utils.py", "", "'utils' has no place in the house"),
    ],
)  # fmt: skip
def test_wrong_import_is_found(tmp_path: Path, module: str, source: str, expected: str) -> None:
    assert any(expected in line for line in wrong_imports(made_up(tmp_path, module, source)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("__init__.py", "from mindleak.jobs.audit import audit"),
        ("__main__.py", "from mindleak.cli import main"),
        ("cli.py", "def f():\n    from mindleak.jobs import audit"),
        ("jobs/audit.py", "from mindleak.reporting import html\nfrom mindleak.training import loop"),
        ("training/loop.py", "from mindleak import device\nimport mindspore as ms\nfrom . import recipe"),
        ("data/idx.py", "from mindleak.runs.atomic import atomic_json\nfrom .checks import check"),
        ("runs/stages.py", "from mindleak import __version__\nimport numpy"),
        ("device.py", "from mindleak.quiet import quiet_stderr"),
    ],
)
def test_right_import_is_let_through(tmp_path: Path, module: str, source: str) -> None:
    assert wrong_imports(made_up(tmp_path, module, source)) == []


def made_up(tmp_path: Path, module: str, source: str) -> Path:
    path = tmp_path / "mindleak" / module
    path.parent.mkdir(parents=True)
    path.write_text(source)
    return tmp_path / "mindleak"


def test_rooms_without_framework_load_none_at_run_time() -> None:
    """Also through what they import: the parsed rule sees one step only."""
    modules = [
        ".".join(("mindleak", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for room in sorted(WITHOUT_FRAMEWORK)
        for path in [*PACKAGE.glob(f"{room}.py"), *(PACKAGE / room).rglob("*.py")]
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FAMILY_NAMES = {path.parent.name for path in PACKAGE.glob("audits/*/family.py")}
# Who may name any family: the list of them, what a user may set, the attacks, which lie in folders of those names, and
# the command with which samples are deleted, whose work is that family's.
MAY_NAME = re.compile(r"audits/families\.py|settings/|attacks/|jobs/delete\.py")


def words(path: Path) -> Iterator[tuple[int, str]]:
    """Every name of a family that a module uses: in text that is no docstring, as an attribute, or to import."""
    tree = ast.parse(path.read_text())
    docs = {id(node.body[0].value) for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from ((node.lineno, word) for word in re.findall(r"\w+", node.value))
        elif isinstance(node, ast.Attribute) and not ast.unparse(node).startswith("os."):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mindleak.audits."):
            yield node.lineno, (node.module or "").split(".")[2]


def test_no_file_names_a_family_that_is_not_its_own() -> None:
    assert {"inversion", "membership", "sweep"} <= FAMILY_NAMES
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        # A file of the user's cache is swept.
        if MAY_NAME.match(place) or place == "kernels/library.py":
            continue
        own = {path.parent.name} if place.startswith("audits/") else set()
        # What is measured of networks that are compared is set in the sweep's section.
        own |= {"sweep"} if path.name == "gauge.py" else set()
        assert [(line, word) for line, word in words(path) if word in FAMILY_NAMES - own] == [], place


def test_families_import_no_other() -> None:
    for family in sorted(FAMILY_NAMES):
        for path in sorted((PACKAGE / "audits" / family).rglob("*.py")):
            for line, name in imported(ast.parse(path.read_text()), f"mindleak.audits.{family}"):
                other = name.split(".")[2] if name.startswith("mindleak.audits.") else ""
                assert other not in FAMILY_NAMES - {family}, f"{path.name}:{line}: {name}"


def test_what_renders_a_record_loads_no_mindspore() -> None:
    program = """
import importlib, pkgutil, sys
import mindleak.audits.report
for family in mindleak.audits.families.families():
    for part in ("findings", "section", "text", "tables"):
        if importlib.util.find_spec(f"mindleak.audits.{family}.{part}"):
            importlib.import_module(f"mindleak.audits.{family}.{part}")
assert "mindspore" not in sys.modules, "mindspore"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
