"""Networks from a Python file of the user's own, with the files next to it that it imports.

A file run by Python finds its neighbours, ``from head import Head``; so does one given as ``--model``. Its folder does
not go into ``sys.path``, where it would hide other modules and where the first of two folders' ``head.py`` would be
taken for the second's. Instead every model file is imported as part of a package of its own, whose name follows from
its place and its content, and what it imports is looked for among its neighbours first.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mindspore import nn

from mindleak.errors import InputError, first_line, nearest
from mindleak.files import check_plain

_PREFIX = "mindleak_user_"
# A neighbour of such a name is never imported: libraries would get it in place of Python's own module.
_STANDARD_LIBRARY = frozenset(getattr(sys, "stdlib_module_names", sys.builtin_module_names))


def load_class(reference: str) -> type[nn.Cell]:
    """Import ``path/to/net.py:ClassName``.

    Raises:
        InputError: no such file or class, a file that does not import, a class that is no Cell.
    """
    file, _, class_name = reference.rpartition(":")
    path = Path(file)
    check_plain(path)
    if not path.is_file():
        raise InputError(f"model file '{file}' does not exist (form: path/to/net.py:ClassName)")
    if path.suffix != ".py":
        raise InputError(f"model file '{file}' is no Python file (form: path/to/net.py:ClassName)")
    try:
        path.read_bytes()
    except OSError as error:
        raise InputError(f"model file '{file}' cannot be read: {(error.strerror or str(error)).lower()}") from error
    module = _module(path, file)
    found = getattr(module, class_name, None)
    cells = [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Cell)]
    if found is None:
        raise InputError(f"model file '{file}' has no class '{class_name}'{nearest(class_name, cells)}")
    if not (isinstance(found, type) and issubclass(found, nn.Cell)):
        raise InputError(f"'{class_name}' in '{file}' is no mindspore.nn.Cell")
    return found


def source(reference: str) -> str | None:
    """Return a SHA-256 over the file behind ``path/to/net.py:ClassName`` and the neighbours that it imports.

    None for a registered name.
    """
    file = reference.rpartition(":")[0]
    return _digest(Path(file)) if file and Path(file).is_file() else None


def _module(path: Path, file: str) -> ModuleType:
    """Return the module of a model file, imported when its content is first seen."""
    place = hashlib.sha256(f"{path.resolve()}\n{_digest(path)}".encode()).hexdigest()[:12]
    package = f"{_PREFIX}{place}"
    # MindSpore's graph parser looks the source of a Cell up through sys.modules, so the modules stay there.
    name = f"{package}.{path.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    if not any(isinstance(finder, _Neighbours) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Neighbours())  # It must come before Python's finder, which searches paths only.
    root = ModuleType(package)
    root.__path__ = [str(path.resolve().parent)]
    sys.modules[package] = root
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    importlib.invalidate_caches()  # A neighbour may have been written after its folder was last read.
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == package]:
            del sys.modules[loaded]
        raise InputError(f"model file '{file}' does not import: "
                         + first_line(error).replace(f"{package}.", "")) from error
    return module


class _Neighbours(MetaPathFinder):
    """Finds modules of the model files' packages, whose imports are looked for among neighbours in turn."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None,
                  ) -> ModuleSpec | None:
        """Return where a module of such a package lies; None for all others."""
        if not fullname.startswith(_PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a model file or a neighbour of one, with an ``import`` that knows the neighbours.

    Always from its source: bytecode kept beside it is told to be stale by the second, and the folder is the user's.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file as it is now."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the file in its module."""
        package = module.__name__.partition(".")[0]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
        super().exec_module(module)


def _importer(package: str) -> Any:
    """Return an ``__import__`` for the modules of a model file's package."""
    folder = Path(sys.modules[package].__path__[0])

    def import_(name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] = (), level: int = 0,
                ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not _is_neighbour(folder, top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{package}.{name}", globals, locals, fromlist, 0)
        return module if fromlist else sys.modules[f"{package}.{top}"]

    return import_


def _is_neighbour(folder: Path, name: str) -> bool:
    """Return whether a top-level name is that of a file or package in a model file's folder."""
    if name in _STANDARD_LIBRARY:
        return False
    if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
        return True
    # As Python has it, a folder without __init__.py comes after every installed package of its name.
    return (folder / name).is_dir() and name not in sys.modules and importlib.util.find_spec(name) is None


def _digest(path: Path) -> str:
    """Return the SHA-256 of a model file, or where it has neighbours, over the names and contents of all."""
    files = sorted(_sources(path.resolve()))
    if len(files) == 1:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        whole.update(f"{file.relative_to(path.resolve().parent).as_posix()}\n{len(content)}\n".encode() + content)
    return whole.hexdigest()


def _sources(path: Path) -> set[Path]:
    """Return a model file and the files below its folder that it imports, directly or through one another."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file, path.parent)
    return found


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder`` that a file's import statements name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # Importing the file will say what is wrong with it.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            names = [(node.level, f"{base}{alias.name}") for alias in node.names]
        else:
            continue
        for level, name in names:
            if level:
                yield from _files(name, Path(file, *[".."] * level).resolve(), folder)
            elif _is_neighbour(folder, name.partition(".")[0]):
                yield from _files(name, folder, folder)


def _files(name: str, place: Path, folder: Path) -> Iterator[Path]:
    """Yield the files that importing a dotted name from a place runs; what the last part names may be no file."""
    if place != folder and folder not in place.parents:
        return
    for part in name.split("."):
        for file in (place / f"{part}.py", place / part / "__init__.py"):
            if file.is_file():
                yield file
        place = place / part
