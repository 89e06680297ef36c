"""A module's code is the closure of its imports: an edit changes the digest of exactly the modules that it decides."""

from __future__ import annotations

import ast
import functools
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.runs.closure import PACKAGE_ROOT, closure, code_digest, is_of_settings

MODULES = {
    ".".join(("mindleak", *path.relative_to(PACKAGE_ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE_ROOT.rglob("*.py"))
}
SETTINGS = {module for module in MODULES if is_of_settings(module)}


def digests(root: Path = PACKAGE_ROOT) -> dict[str, str]:
    return {module: code_digest(module, root) for module in MODULES}


@functools.cache
def untouched() -> dict[str, str]:
    return digests()


def changed(root: Path) -> set[str]:
    return {module for module, digest in digests(root).items() if digest != untouched()[module]}


def holding(edited: str) -> set[str]:
    return {module for module in MODULES if edited in closure(module)}


@pytest.fixture()
def copy(tmp_path: Path) -> Path:
    return copied(tmp_path)


def copied(folder: Path) -> Path:
    shutil.copytree(PACKAGE_ROOT, folder / "mindleak", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "mindleak"


def place(root: Path, module: str) -> Path:
    return root / MODULES[module].relative_to(PACKAGE_ROOT)


class Edit(ast.NodeTransformer):
    """Makes one sum a difference, or where there is none, one number another."""

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        sums = [node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)]
        numbers = [node for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)]
        self.target = next(iter([*sums, *numbers]), None)

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.target:
            if isinstance(node, ast.BinOp):
                return ast.BinOp(node.left, ast.Sub(), node.right)
            return ast.Constant(node.value + 1)  # type: ignore[attr-defined]
        return self.generic_visit(node)


@settings(max_examples=15, deadline=None)
@given(module=st.sampled_from(sorted(MODULES)))
def test_an_edited_operator_or_constant_changes_what_the_module_decides(
        tmp_path_factory: pytest.TempPathFactory, module: str) -> None:
    root = copied(tmp_path_factory.mktemp("edited"))
    path = place(root, module)
    tree = ast.parse(path.read_bytes())
    edit = Edit(tree)
    source = ast.unparse(ast.fix_missing_locations(edit.visit(tree)))
    path.write_text(source if edit.target is not None else f"{source}\n_EDITED = 1\n", encoding="utf-8")
    assert changed(root) == holding(module)
    assert module in changed(root)


def test_no_comment_docstring_or_layout_changes_anything(copy: Path) -> None:
    for path in copy.rglob("*.py"):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body[0].value.value = "Another docstring."  # type: ignore[attr-defined]
        path.write_text("# A comment.\n\n" + ast.unparse(tree).replace("\n", "\n\n"), encoding="utf-8")
    assert changed(copy) == set()


def test_what_nobody_imports_changes_nothing(copy: Path) -> None:
    (copy / "attacks" / "fresh.py").write_text("from mindleak.training import loop\n")
    (copy / "fresh").mkdir()
    (copy / "fresh" / "__init__.py").write_text("")
    (copy / "fresh" / "stages.py").write_text("from mindleak.training import loop\n")
    (copy / "data" / "table.csv").write_text("1,2\n")
    assert changed(copy) == set()


@pytest.mark.parametrize("module", sorted(SETTINGS))
def test_a_setting_changes_nothing_but_the_settings(copy: Path, module: str) -> None:
    with place(copy, module).open("a") as file:
        file.write("\nFRESH = {'training': {'fresh': None}}\n")
    found = changed(copy)
    assert module in found and found <= SETTINGS


@pytest.mark.parametrize("module", [
    "mindleak.settings", "mindleak.settings.training", "mindleak.audits.inversion.settings"])
def test_rooms_and_sections_of_settings_are_in_no_closure(tmp_path: Path, module: str) -> None:
    made_up(tmp_path, {"mindleak.stage": f"from {module} import Section", module: "import mindleak.below",
                       "mindleak.below": ""})
    assert closure("mindleak.stage", tmp_path) == {
        "mindleak.stage", *(["mindleak.audits", "mindleak.audits.inversion"] if "audits" in module else [])}


@pytest.mark.parametrize("module", [
    "mindleak.settings_of_others", "mindleak.training.settings", "mindleak.audits.settings", "mindleak.errors"])
def test_nothing_else_is_left_out(tmp_path: Path, module: str) -> None:
    made_up(tmp_path, {"mindleak.stage": f"import {module}", module: "X = 1"})
    assert module in closure("mindleak.stage", tmp_path)


def test_the_kernels_sources_belong_to_whoever_imports_the_kernels(copy: Path) -> None:
    source = copy / "kernels" / "conv.cpp"
    text = source.read_text()
    source.write_text(f"/* A comment */ // and another\n\n{text}")
    assert changed(copy) == set()
    other = copied(copy.parent / "other")
    (other / "kernels" / "conv.cpp").write_text(" - ".join(text.rsplit(" + ", 1)))
    assert changed(other) == holding("mindleak.kernels")
    assert "mindleak.models.lenet5" in changed(other)
    assert "mindleak.evaluation.roc" not in changed(other)


def test_the_source_is_read_once_per_process(copy: Path) -> None:
    before = code_digest("mindleak.errors", copy)
    for path in copy.rglob("*.py"):
        path.write_text("EDITED_UNDER_A_RUNNING_JOB = 1\n")
    assert code_digest("mindleak.errors", copy) == before
    assert code_digest("mindleak.training.methods", copy) == code_digest("mindleak.training.methods")


def made_up(root: Path, sources: dict[str, str]) -> None:
    for module, source in sources.items():
        path = root.joinpath(*module.split(".")[1:])
        is_package = any(other.startswith(f"{module}.") for other in sources)
        path = path / "__init__.py" if is_package else path.with_name(f"{path.name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        for folder in path.relative_to(root).parents:
            (root / folder / "__init__.py").touch() if folder != Path() else None


HOUSE = {"mindleak.a": "", "mindleak.b.c": "", "mindleak.b.d.e": "", "mindleak.b.d.f": "",
         "mindleak.g": "import mindleak.a"}


@pytest.mark.parametrize(("source", "imported"), [
    ("", set()),
    ("import os, numpy.linalg", set()),
    ("import mindleak.a", {"a"}),
    ("import mindleak.b.d.e as e, mindleak.a", {"b", "b.d", "b.d.e", "a"}),
    ("from mindleak import a", {"a"}),
    ("from mindleak import a as other", {"a"}),
    ("from mindleak.b import c, d", {"b", "b.c", "b.d"}),
    ("from mindleak.b.d.e import name", {"b", "b.d", "b.d.e"}),
    ("from mindleak.b.d import (\n    e,\n    f,\n)", {"b", "b.d", "b.d.e", "b.d.f"}),
    ("from . import c", {"b", "b.c"}),
    ("from .d import e", {"b", "b.d", "b.d.e"}),
    ("from .. import a", {"a"}),
    ("from ..g import name", {"g", "a"}),
    ("from mindleak.g import name", {"g", "a"}),
    ("def f():\n    from mindleak.g import name", {"g", "a"}),
    ("class C:\n    def f(self):\n        if x:\n            import mindleak.a", {"a"}),
    ("try:\n    import mindleak.a\nexcept ImportError:\n    import mindleak.b", {"a", "b"}),
    ("if TYPE_CHECKING:\n    import mindleak.a", set()),
    ("if typing.TYPE_CHECKING:\n    import mindleak.a\nelse:\n    import mindleak.b", {"b"}),
    ("if not TYPE_CHECKING:\n    import mindleak.a", {"a"}),
    ("import importlib\nimportlib.import_module('mindleak.a')", {"a"}),
    ("__import__('mindleak.b.c')", {"b", "b.c"}),
    ("import_module(name)", set()),
    ("import mindleak_of_others.a", set()),
])
def test_every_way_to_import_is_seen(tmp_path: Path, source: str, imported: set[str]) -> None:
    made_up(tmp_path, {**HOUSE, "mindleak.b.stage": source})
    assert closure("mindleak.b.stage", tmp_path) == {
        "mindleak.b", "mindleak.b.stage", *(f"mindleak.{name}" for name in imported)}


def test_the_import_of_a_package_sees_what_it_imports_itself(tmp_path: Path) -> None:
    made_up(tmp_path, {"mindleak.b": "from .c import name", "mindleak.b.c": "from . import d", "mindleak.b.d": "",
                       "mindleak.stage": "import mindleak.b"})
    assert closure("mindleak.stage", tmp_path) == {"mindleak.stage", "mindleak.b", "mindleak.b.c", "mindleak.b.d"}


def test_modules_that_import_each_other_share_one_closure(tmp_path: Path) -> None:
    made_up(tmp_path, {"mindleak.a": "import mindleak.b", "mindleak.b": "import mindleak.c",
                       "mindleak.c": "import mindleak.a"})
    around = {"mindleak.a", "mindleak.b", "mindleak.c"}
    assert [closure(module, tmp_path) for module in sorted(around)] == [around] * 3
    assert len({code_digest(module, tmp_path) for module in around}) == 1


def test_where_code_stands_counts(tmp_path: Path) -> None:
    for folder, name in (("one", "a"), ("two", "b")):
        made_up(tmp_path / folder, {"mindleak.stage": "import mindleak.a, mindleak.b", f"mindleak.{name}": "X = 1"})
    assert code_digest("mindleak.stage", tmp_path / "one") != code_digest("mindleak.stage", tmp_path / "two")


def test_a_package_of_somebody_elses_brings_its_own_code_along(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, factor in (("toy_one", 1), ("toy_two", 2)):
        made_up(tmp_path / name, {"toy.stages": f"from {name}.score import f\nfrom mindleak.runs.atomic import plain",
                                  "toy": "", "toy.score": f"F = {factor}", "toy.unused": ""})
    (tmp_path / "toy_alone.py").write_text("from mindleak.evaluation import roc\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert closure("toy_one.stages") == {
        "toy_one", "toy_one.stages", "toy_one.score", *closure("mindleak.runs.atomic")}
    assert closure("toy_alone") == {"toy_alone", *closure("mindleak.evaluation.roc")}
    assert code_digest("toy_one.stages") != code_digest("toy_two.stages")


@pytest.mark.parametrize("module", ["mindleak.no_such_room", "no_such_package.stage", "__main__", "numpy.no_such"])
def test_a_module_without_source_is_refused(module: str) -> None:
    with pytest.raises(ValueError, match=f"no source of module '{module}'; expected one that can be imported"):
        code_digest(module)
