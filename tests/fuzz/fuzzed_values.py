"""Hostile values, text and bytes, drawn by a seeded generator."""

from __future__ import annotations

import random
from typing import Any

WORDS = (
    "digits",
    "custom",
    "lenet5",
    "lenet5_bias",
    "lstm_rnn",
    "recurrent",
    "CPU",
    "GPU",
    "auto",
    "fc1",
    "all",
    "none",
    "sgd",
    "adam",
    "suppress",
    "dp_sgd",
    "prune",
    "ordinary",
    "shadow",
    "document",
    "rnn_tutorial",
    "loss",
    "bilinear",
    "a b",
    "..",
    "/",
)
TEXTS = (
    "",
    " ",
    "\t",
    "a\0b",
    "\0",
    "x" * 300,
    "x" * 100_000,
    "\udcff\udc80",
    "\ud800",
    "\x1b[31m",
    "\x1b]0;t\x07",
    "a\u202eb",
    "é" * 200,
    "中文",
    "😀",
    "~nosuchuser",
    "~nosuchuser/x",
    "../../../../x",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/proc/self/mem",
    "/",
    ".",
    "..",
    "-",
    "--",
    "-1",
    "a:b",
    "a.py:B",
    ":",
    "{}",
    "[]",
    "null",
    "{{7*7}}",
    "%s%n",
    "$(touch pwned)",
    "`touch pwned`",
    "'",
    '"',
    "\\",
    "\n",
    "a\nb",
    "<script>",
    "*",
    "?",
    "con",
    "a/b",
    "a" * 255,
)
WHOLE = (
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    1000,
    2**31 - 1,
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    2**64,
    10**12,
    10**30,
    -(10**30),
    10**400,
)
REAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-300,
    1e300,
    1e-45,
    5e-324,
    1.7976931348623157e308,
    1e38,
    3.5e38,
    float("nan"),
    float("inf"),
    float("-inf"),
    0.999999999,
    1.0000001,
)


def text(rng: random.Random) -> str:
    """Return a word, a hostile text, or random letters."""
    choice = rng.random()
    if choice < 0.35:
        return rng.choice(WORDS)
    if choice < 0.85:
        return rng.choice(TEXTS)
    return "".join(
        chr(rng.choice((rng.randrange(128), rng.randrange(0x2100), rng.randrange(0xFFFF))))
        for _ in range(rng.randrange(1, 30))
    )


def value_like(default: Any, rng: random.Random, kinds: tuple[type, ...] = ()) -> Any:
    """Return a hostile value, mostly of a key's own type."""
    if rng.random() < 0.12:
        return anything(rng)
    kind = rng.choice(kinds) if kinds else type(default)
    if kind is bool:
        return rng.choice((True, False))
    if kind is int:
        return rng.choice(WHOLE) if rng.random() < 0.8 else rng.randrange(-5, 2000)
    if kind is float:
        return rng.choice(REAL) if rng.random() < 0.8 else rng.uniform(-1, 2)
    if kind is list:
        like = default[0] if isinstance(default, list) and default else rng.choice(("a", 1))
        return [value_like(like, rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 1000)))]
    if kind is dict:
        return {text(rng): anything(rng) for _ in range(rng.randrange(3))}
    return text(rng)


def anything(rng: random.Random, depth: int = 2) -> Any:
    """Return a value of any type that YAML has."""
    make = [
        lambda: text(rng),
        lambda: rng.choice(WHOLE),
        lambda: rng.choice(REAL),
        lambda: rng.random() < 0.5,
        lambda: None,
    ]
    if depth:
        make += [
            lambda: [anything(rng, depth - 1) for _ in range(rng.randrange(4))],
            lambda: {text(rng): anything(rng, depth - 1) for _ in range(rng.randrange(4))},
        ]
    return rng.choice(make)()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with something cut, flipped, doubled, overwritten or put between."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place = rng.randrange(len(data) + 1)
        # Headers are where lengths and types stand.
        if rng.random() < 0.5:
            place = min(place, rng.randrange(200))
        how = rng.randrange(6)
        if how == 0:
            del data[place:]
        elif how == 1 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif how == 3:
            data[place : place + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7))
        elif how == 4:
            data += data[place : place + 1000]
        else:
            del data[place : place + rng.choice((1, 4, 64))]
    return bytes(data)


def yaml_value(value: Any) -> str:
    """Write a value as one line of YAML, by hand: YAML's own writer refuses some of these."""
    if isinstance(value, float):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(repr(value), repr(value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return f"{value:d}" if abs(value) < 10**400 else "1" + "0" * 400
    if isinstance(value, list):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
    escaped = "".join(
        letter if letter.isprintable() and letter not in '"\\' else f"\\U{ord(letter):08x}" for letter in value
    )
    return f'"{escaped}"'
