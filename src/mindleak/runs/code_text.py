"""Source code as a text in which only counts what can change a computation: no comments, docstrings or layout."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTING = (ast.Import, ast.ImportFrom, ast.Call)

# Everything in C++ that may hold what looks like a comment or a quotation mark, comments, white space, and the rest.
_CPP_TOKEN = re.compile(r"""
    (?P<code>
        (?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"
        | "(?:\\.|[^"\\\n])*"
        | '(?:\\.|[^'\\\n])*'
        | [A-Za-z_]\w*
        | \.?\d(?:'?[\w.])*
    )
    | (?P<comment> //(?:\\\r?\n|[^\n])* | /\*.*?\*/ )
    | (?P<space> \s+ )
    | (?P<other> . )
    """, re.DOTALL | re.VERBOSE)


def python_code(content: bytes) -> tuple[str, list[ast.AST]]:
    """Return a module's syntax tree as text, and its nodes that may import: import statements and calls.

    Docstrings and positions are not in the text. What stands under ``if TYPE_CHECKING:`` never runs, so none of its
    imports is among the nodes; it does count in the text.

    Raises:
        SyntaxError: this is no Python.
    """
    words: list[str] = []
    importing: list[ast.AST] = []
    _write(ast.parse(content), words, importing)
    return "\n".join(words), importing


def _write(node: ast.AST, words: list[str], importing: list[ast.AST]) -> None:
    """Add a tree to ``words``, and the nodes that may import to ``importing``.

    Fields that hold nothing are left out, so that a newer Python, whose nodes have more of them, writes the same.
    """
    words.append(type(node).__name__)
    if isinstance(node, _IMPORTING):
        importing.append(node)
    for field in node._fields:
        value = getattr(node, field, None)
        if value is None or value == []:
            continue
        words.append(field)
        if isinstance(value, list):
            if field == "body":
                _write_body(node, value, words, importing)
            else:
                _write_items(value, words, importing)
        elif isinstance(value, ast.AST):
            _write(value, words, importing)
        else:
            words.append(repr(value))
    words.append(")")


def _write_body(node: ast.AST, body: Sequence[ast.AST], words: list[str], importing: list[ast.AST]) -> None:
    documented = isinstance(node, _DOCUMENTED) and _is_text(body[0])
    runs = not (isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING")
    _write_items(body[1:] if documented else body, words, importing if runs else [])


def _write_items(items: Sequence[object], words: list[str], importing: list[ast.AST]) -> None:
    for item in items:
        if isinstance(item, ast.AST):
            _write(item, words, importing)
        else:
            words.append(repr(item))
    words.append("]")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name, ``import_module`` of ``importlib.import_module``; nothing for no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def cpp_code(content: bytes) -> str:
    """Return C++ without comments, each stretch of white space as one space or line end.

    Line ends and spaces stay apart, since directives (``#define F(x)``, ``#define F (x)``) depend on both.
    """
    words = ["\n"]
    for match in _CPP_TOKEN.finditer(content.decode("utf-8", "surrogateescape")):
        if match.lastgroup in ("code", "other"):
            words.append(match[0])
            continue
        gap = "\n" if match.lastgroup == "space" and "\n" in match[0] else " "
        if words[-1] in (" ", "\n"):
            words[-1] = min(words[-1], gap)  # a line end stays one, whatever stands around it
        else:
            words.append(gap)
    return "".join(words).strip()
