"""What is printed can always be printed, hides nothing and does nothing to the terminal."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest

from mindleak.printable import encodable, hides_characters, one_line, printable, printable_line, printable_values, say

ENCODINGS = ("ascii", "gbk", "cp1252", "latin-1", "utf-8", "utf-16")
HOSTILE = {
    "colour": "\x1b[31mred",
    "window title": "\x1b]0;title\x07",
    "turned around": "a\u202ebc\u2066d",
    "one-byte control": "\x9b31m",
    "return": "right\rwrong",
    "bytes of a path": "r\udcffun",
    "half a pair": "\ud83d",
    "line separator": "a\u2028b",
    "invisible": "a\ufeffb\u200b\xad",
    "null": "a\0b",
    "private use": "a\uee92b",
    "unassigned": "a\u0378b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hidden_characters_become_escapes(text):
    shown = printable(text)
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert "\\" in shown and hides_characters(text) and not hides_characters(shown)
    assert printable(shown) == shown


def test_escapes_are_those_of_python_and_bytes_are_bytes():
    assert printable("\x1b\u202e\udcff\t") == r"\x1b\u202e\xff\t"
    assert printable("two\nlines") == "two\nlines"
    assert printable_line("two\nlines") == r"two\nlines"


@pytest.mark.parametrize("text", ["plain", "naïve café", "中文", "ε ≤ 3 × 10", "–", "a\xa0b"])
def test_what_can_be_seen_stays(text):
    assert printable(text) == text


def test_values_of_a_document_keys_included():
    assert printable_values({"a\x1b": ["\u202e", 3, None, {"b": (True, "c")}]}) == {
        r"a\x1b": [r"\u202e", 3, None, {"b": [True, "c"]}]}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ["ε ≤ 3 × 10 – or …", "naïve 中文 ✗ 😀", *HOSTILE.values()])
def test_every_terminal_can_show_every_text(encoding, text):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    say(text, stream)
    printed = stream.buffer.getvalue().decode(encoding)
    assert printed == encodable(printable(text), encoding) + "\n"


def test_letters_of_ours_have_plain_ones_in_their_place():
    assert encodable("97.0–98.1 % ± 0.3, ε ≤ 3, 28×28 …", "ascii") == "97.0-98.1 % +- 0.3, epsilon <= 3, 28x28 ..."
    assert encodable("ε – café", "cp1252") == "epsilon – café"
    assert encodable("café", "ascii") == r"caf\xe9"


def test_a_stream_that_is_closed_takes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    say("nobody hears")


@pytest.mark.parametrize("size", [600, 5_000, 100_000, 3_000_000])
@pytest.mark.parametrize("filler", ["x", "x ", "\x1b", "\u202e ", "中"])
@pytest.mark.parametrize("encoding", [None, "ascii"])
def test_a_long_message_is_one_line_that_keeps_what_and_where(size, filler, encoding):
    value = filler * (size // len(filler))
    line = one_line(f"unknown key '{value}' in 'audit.yaml'; did you mean 'training.epochs'?", encoding=encoding)
    assert len(line) <= 500 and line.isprintable()
    assert line.startswith("unknown key '") and line.endswith("' in 'audit.yaml'; did you mean 'training.epochs'?")


def test_a_message_that_fits_is_not_touched():
    message = f"'/a/long/path/{'x' * 300}' is a folder; expected a file"
    assert one_line(message) == message
    assert one_line("two\n  lines") == "two lines"
