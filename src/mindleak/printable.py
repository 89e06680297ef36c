"""Text that a terminal or a page shows as it is, whatever a file, a path or a command line has put into it.

Names come from anywhere: class names, checkpoints, archives, paths in bytes that are no UTF-8. Printed as they are, an
escape sequence would repaint the terminal, U+202E would turn a line around, and a character that the terminal's
encoding lacks would end a finished audit in an error. Everything that is printed or rendered goes through here.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Optional, TextIO

# What one line on standard error may hold.
LINE_LIMIT = 500
_WORD_LIMIT = 90
_CUT = "..."

# Control and format characters (bidirectional ones among them), surrogates, what nobody has assigned, line separators.
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_MAYBE_HIDDEN = re.compile(r"[^\x20-\x7e\n]")
# What mindleak's own sentences and tables hold beyond ASCII, in letters that every encoding has; one for one where it
# stands in a column.
_PLAIN_LETTERS = str.maketrans({
    "–": "-", "—": "-", "−": "-", "‑": "-", "×": "x", "·": ".", "…": _CUT, "\xa0": " ", "\u202f": " ", "≤": "<=",
    "≥": ">=", "≈": "~", "→": "->", "±": "+-", "ε": "epsilon", "σ": "sigma", "δ": "delta", "τ": "tau", "√": "sqrt ",
    "‘": "'", "’": "'", "“": '"', "”": '"', "²": "^2", "½": "1/2",
})


def printable(text: str) -> str:
    r"""Return ``text`` with every character that is not to be seen written as an escape: ``\x1b``, ``\u202e``.

    Line ends stay. A byte of a path that is no UTF-8 is shown as that byte, ``\xff``.
    """
    return replace_hidden(text, _escape)


def replace_hidden(text: str, replacement: Callable[[str], str]) -> str:
    """Return ``text`` with every character that is not to be seen, line ends apart, written as ``replacement`` says."""
    return _MAYBE_HIDDEN.sub(
        lambda match: replacement(match[0]) if unicodedata.category(match[0]) in _HIDDEN_CATEGORIES else match[0], text)


def printable_line(text: str) -> str:
    r"""Return :func:`printable` text in which a line end is an escape, too: for names, which stand within a line."""
    return printable(text).replace("\n", r"\n")


def printable_values(value: Any) -> Any:
    """Return nested dicts and lists with all text in them, keys included, made :func:`printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_values(item) for item in value]
    return value


def hides_characters(text: str) -> bool:
    """Return whether :func:`printable` would change a text."""
    return printable(text) != text


def one_line(text: str, limit: int = LINE_LIMIT, encoding: Optional[str] = None) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters.

    What is too long is cut in the middle, long words first, so that what is wrong and what would be right stay.

    Args:
        text: any text; runs of white space become one space.
        limit: of characters.
        encoding: what has to hold the line; None for any.
    """
    line = _shortened(" ".join(text.split()), 20 * limit)
    line = encodable(printable(line), encoding)
    if len(line) > limit:
        line = " ".join(_shortened(word, _WORD_LIMIT) for word in line.split(" "))
    return _shortened(line, limit, kept_at_the_end=limit // 3)


def encodable(text: str, encoding: Optional[str]) -> str:
    """Return ``text`` in characters that ``encoding`` has: plain letters in place of ours, escapes of all others."""
    if encoding is None or _fits(text, encoding):
        return text
    parts = (letter if _fits(letter, encoding) else letter.translate(_PLAIN_LETTERS) for letter in text)
    return "".join(parts).encode(encoding, "backslashreplace").decode(encoding)


def say(text: str, stream: Optional[TextIO] = None) -> None:
    """Print lines that may hold anything, to standard output or another stream, and flush it."""
    stream = sys.stdout if stream is None else stream
    if stream is None:  # closed before the program began
        return
    print(for_stream(text, stream), file=stream, flush=True)


def for_stream(text: str, stream: Any) -> str:
    """Return ``text`` printable, in characters that a stream's encoding has."""
    return encodable(printable(text), getattr(stream, "encoding", None))


def _escape(letter: str) -> str:
    """Write a character as Python would, and what os.fsdecode puts in a byte's place as that byte."""
    code = ord(letter)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(letter)[1:-1]


def _shortened(text: str, limit: int, kept_at_the_end: Optional[int] = None) -> str:
    if len(text) <= limit:
        return text
    end = limit // 2 - len(_CUT) if kept_at_the_end is None else kept_at_the_end
    return f"{text[:limit - end - len(_CUT)]}{_CUT}{text[len(text) - end:]}"


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:
        return True
    return True
