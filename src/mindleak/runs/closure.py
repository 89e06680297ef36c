"""The code that decides a stage: every module of the package that its module imports, directly or through others.

Found in the source, not by importing: imports at the top, inside functions and by ``import_module("name")``, the
packages on the way to each, and the C++ beside them; what stands under ``if TYPE_CHECKING:`` never runs and is left
out. A module counts as its syntax tree, so comments, docstrings and layout do not.

**What is left out.** Settings reach a stage by value, in its inputs, so the modules that say what may be set
(:func:`is_of_settings`) are in no closure: a new setting with its default changes no key. They must compute nothing.
Nothing else is left out: a module that only words messages today may decide a figure tomorrow, and nobody would notice.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mindleak.runs.code_text import cpp_code, last_name, python_code
from mindleak.runs.digest import stable_hash

PACKAGE = "mindleak"
PACKAGE_ROOT = Path(__file__).resolve().parent.parent

# The room of settings, and a family's own section.
_SETTINGS = re.compile(rf"{PACKAGE}\.(settings|audits\.\w+\.settings)(\..*)?")
_COMPILED = (".cpp", ".h")


@dataclass(frozen=True, eq=False)
class _Sources:
    """A package's source as it was when first asked for: an edit under a running job does not split its stages.

    ``modules`` are by dotted name, a package standing for its ``__init__``; ``compiled`` are the C++ files by the
    package in whose folder they lie.
    """

    modules: dict[str, bytes]
    packages: frozenset[str]
    compiled: dict[str, dict[str, bytes]]


@dataclass(frozen=True)
class _Module:
    """What one module's text comes to. ``imports`` may name attributes, too: whoever resolves them knows better."""

    digest: str
    imports: tuple[str, ...]


@functools.cache
def closure(module: str, root: Path = PACKAGE_ROOT) -> frozenset[str]:
    """Return the dotted names of a module and of all modules that importing and running it may load.

    Args:
        module: dotted name inside the package; one outside (an entry point's) brings its own package along.
        root: the package's folder, for a copy of it.

    Raises:
        ValueError: there is no source of such a module.
    """
    sources = _sources(module.partition(".")[0], root)
    if module not in sources.modules:
        raise ValueError(f"no source of module '{module}'; expected one that can be imported, such as __name__")
    found: set[str] = set()
    waiting = set(_existing(module, sources))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting.update(_needed(name, sources) - found)
    return frozenset(found)


@functools.cache
def code_digest(module: str, root: Path = PACKAGE_ROOT) -> str:
    """Return a SHA-256 (64 hex digits) over the code that decides what a module computes: its :func:`closure`.

    Computed once per process. Arguments and errors are those of :func:`closure`.
    """
    sources, names = _sources(module.partition(".")[0], root), closure(module, root)
    return stable_hash({
        "modules": {name: _parsed(name, sources).digest for name in names},
        "compiled": {f"{name}/{file}": _cpp_digest(content) for name in names
                     for file, content in sources.compiled.get(name, {}).items()}})


def is_of_settings(module: str) -> bool:
    """Return whether a module only says what may be set, and so is in no other's closure."""
    return _SETTINGS.fullmatch(module) is not None


@functools.cache
def _needed(name: str, sources: _Sources) -> frozenset[str]:
    """Return the modules that one module imports itself, those of settings left out."""
    imported = {part for each in _parsed(name, sources).imports for part in _existing(each, sources)}
    return frozenset(part for part in imported if not is_of_settings(part))


def _existing(name: str, sources: _Sources) -> Iterator[str]:
    """Yield the modules that importing a dotted name runs: those of its parts that are modules."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        if part in sources.modules:
            yield part


@functools.cache
def _sources(package: str, root: Path) -> _Sources:
    """Return the source of ours, which lies in ``root``, and of another package."""
    ours = _read(PACKAGE, root)
    if package == PACKAGE:
        return ours
    theirs = _read(package, _place(package))
    return _Sources({**ours.modules, **theirs.modules}, ours.packages | theirs.packages,
                    {**ours.compiled, **theirs.compiled})


def _place(package: str) -> Path:
    """Return the folder of a package outside ours, or the file of a single module."""
    # What runs as '__main__' imports nothing by its place in its package, so its imports could not be resolved.
    spec = None if package == "__main__" else importlib.util.find_spec(package)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec is not None and spec.origin else Path(os.devnull)


@functools.cache
def _read(package: str, root: Path) -> _Sources:
    """Read everything below ``root``, which is a package's folder, or a single module's file."""
    modules: dict[str, bytes] = {}
    packages: set[str] = set()
    compiled: dict[str, dict[str, bytes]] = {}
    if root.suffix == ".py" and root.is_file():
        modules[package] = root.read_bytes()
    for place, _, files in os.walk(root):
        folder = Path(place)
        inside = ".".join([package, *folder.relative_to(root).parts])
        for path in map(folder.joinpath, files):
            if path.name == "__init__.py":
                modules[inside] = path.read_bytes()
                packages.add(inside)
            elif path.suffix == ".py" and path.stem.isidentifier():
                modules[f"{inside}.{path.stem}"] = path.read_bytes()
            elif path.suffix in _COMPILED:
                compiled.setdefault(inside, {})[path.name] = path.read_bytes()
    return _Sources(modules, frozenset(packages), compiled)


def _parsed(name: str, sources: _Sources) -> _Module:
    package = name if name in sources.packages else name.rpartition(".")[0]
    return _parse(package, sources.modules[name])


@functools.cache
def _parse(package: str, content: bytes) -> _Module:
    """Return what the text of a module of ``package`` comes to; by content, so equal texts are parsed once."""
    text, importing = python_code(content)
    imports = [name for node in importing for name in _imported(node, package)]
    return _Module(stable_hash(text), tuple(dict.fromkeys(imports)))


@functools.cache
def _cpp_digest(content: bytes) -> str:
    return stable_hash(cpp_code(content))


def _imported(node: ast.AST, package: str) -> list[str]:
    """Return the dotted names that a node of a module of ``package`` imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")[:package.count(".") + 2 - node.level] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
        return [argument.value for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    return []
