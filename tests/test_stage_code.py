"""Every stage says which module computes it, and that module's closure holds whatever it really loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mindleak.runs.closure import PACKAGE_ROOT, closure, is_of_settings

# What these import by a name that is computed, a key knows otherwise: the facade's are never used inside the package
# (``test_imports.py``), and a model file of the user's own is in the inputs (``own_file.source``).
COMPUTED_IMPORTS = {"mindleak", "mindleak.attacks.membership", "mindleak.models.own_file"}


def module_name(path: Path) -> str:
    return ".".join(("mindleak", *path.relative_to(PACKAGE_ROOT).with_suffix("").parts)).removesuffix(".__init__")


TREES = {module_name(path): ast.parse(path.read_bytes()) for path in sorted(PACKAGE_ROOT.rglob("*.py"))}


def calls(module: str, *names: str) -> list[ast.Call]:
    """The calls of methods or functions of these names in a module."""
    return [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)
            and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in names]


def stage_calls(module: str) -> list[ast.Call]:
    """The calls of ``Run.stage`` and ``Run.is_done``: each is called on a run."""
    return [call for call in calls(module, "stage", "is_done") if ast.unparse(call.func).endswith(("run.stage",
                                                                                                   "run.is_done"))]


STAGES = sorted(module for module in TREES if stage_calls(module))


def test_every_stage_names_its_own_module() -> None:
    assert len(STAGES) >= 9
    for module in STAGES:
        for call in stage_calls(module):
            assert ast.unparse(call.args[1]) == "__name__", f"{module}:{call.lineno}"


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The package's modules that Python has loaded once a stage's module is imported, by that module."""
    program = f"""
import importlib, json, sys
def own():
    return [name for name in sys.modules if name.partition(".")[0] == "mindleak"]
found = {{}}
for module in {STAGES!r}:
    importlib.import_module(module)
    found[module] = own()
    for name in own():
        del sys.modules[name]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {module: set(names) for module, names in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("module", STAGES)
def test_the_closure_holds_whatever_importing_the_module_loads(module: str, loaded: dict[str, set[str]]) -> None:
    assert module in loaded[module] and "mindleak.runs.stages" in loaded[module]
    assert {name for name in loaded[module] - closure(module) if not is_of_settings(name)} == set()


@pytest.mark.parametrize("module", STAGES)
def test_no_import_in_a_stages_closure_is_computed(module: str) -> None:
    for name in closure(module) - COMPUTED_IMPORTS:
        for call in calls(name, "import_module", "__import__"):
            assert isinstance(call.args[0], ast.Constant), f"{name}:{call.lineno}"
