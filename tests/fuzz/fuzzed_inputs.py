"""Fuzzed inputs: input NUMBER of a SEED is always the same command, with the same files and environment.

Each kind of input starts from something that works, toy-sized, and spoils a part of it: an option, a configuration key,
YAML text, a data file, a checkpoint, a list of members, a run directory, a network of the user's own, the environment.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fuzzed_values import anything, damaged, text, value_like, yaml_value

from data_files import write_cifar, write_idx_set, write_svhn
from mindleak.settings.schema import SCHEMA

DEFAULTS = SCHEMA.defaults
# Of the keys whose default does not tell.
TYPES = {key: setting.types for key, setting in SCHEMA.settings.items() if setting.types != (type(setting.default),)}
# What mindleak is never asked to write to; an input is spoilt in a copy of its own.
INPUTS = "inputs"
TOY: dict[str, Any] = {
    "model.name": "lenet5_bias",
    "model.width": 0.25,
    "data.name": "custom",
    "data.dir": f"{INPUTS}/data.npz",
    "training.epochs": 1,
    "training.batch_size": 16,
    "judge.epochs": 1,
    "judge.batch_size": 16,
    "inversion.images": 2,
    "inversion.iterations": 2,
    "membership.target_in": 100,
    "membership.target_out": 100,
    "membership.population": 30,
    "membership.shadow_pool": 240,
    "membership.shadows": 2,
    "membership.references": 4,
    "membership.attack.epochs": 1,
    "membership.rnn_tutorial.shadows": 2,
    "membership.rnn_tutorial.epochs": 1,
    "membership.improved.epochs": 1,
}
COMMANDS = (("train",), ("predict",), ("attack", "inversion"), ("attack", "membership"), ("audit",))
OPTIONS = (
    "--config",
    "--model",
    "--ckpt",
    "--members",
    "--dataset",
    "--data_dir",
    "--device_target",
    "--device_id",
    "--run_dir",
    "--ckpt_dir",
    "--seed",
    "--suppress_engine",
    "--set",
    "--resume",
    "--restart",
    "-n",
    "--best",
    "--attack",
    "--mirror",
    "--help",
    "--version",
)
FLAGS = ("--resume", "--restart", "--best", "--help", "--version")
VARIABLES = (
    "MINDLEAK_DATA_DIR",
    "CXX",
    "MS_WORKER_NUM",
    "XDG_CACHE_HOME",
    "COLUMNS",
    "DEVICE_ID",
    "OMP_NUM_THREADS",
    "MPLBACKEND",
    "MS_ROLE",
    "HOME",
    "TMPDIR",
    "LANG",
)


@dataclass
class Case:
    """One input: the command's words, its environment, the terminal's encoding, and what kind of input it is."""

    kind: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Assets:
    """Where what works lies: ``data.npz``, ``toy.ckpt``, ``run``, ``ckpt``, ``report``."""

    folder: Path

    def take(self, name: str, work: Path, new: str | None = None) -> Path:
        """Copy a file or folder into an input's own folder."""
        target = work / (new or f"{INPUTS}/{name}")
        copy = shutil.copytree if (self.folder / name).is_dir() else shutil.copyfile
        copy(self.folder / name, target)
        return target


def make(number: int, seed: int, work: Path, assets: Assets) -> Case:
    """Write the files of an input below ``work``, which must be empty, and return its command."""
    rng = random.Random(f"{seed}-{number}")
    kind = rng.choices([*MAKERS], [weight for weight, _ in MAKERS.values()])[0]
    (work / INPUTS).mkdir(parents=True)
    assets.take("data.npz", work)
    case = MAKERS[kind][1](rng, work, assets)
    case.words = [_speakable(word) for word in case.words]
    case.encoding = rng.choice(("utf-8", "utf-8", "ascii", "gbk", "cp1252"))
    return case


def settings(changed: dict[str, Any], without: tuple[str, ...] = ()) -> list[str]:
    """Return the toy's settings, some of them changed, as words of a command."""
    return [
        word
        for key, value in {**TOY, **changed}.items()
        if key not in without
        for word in ("--set", f"{key}={value if isinstance(value, Raw) else yaml_value(value)}")
    ]


def _speakable(word: str) -> str:
    """Return a word as an operating system can hand it over: without NUL, bytes that are no UTF-8 as surrogates."""
    return os.fsdecode(
        os.fsencode(
            "".join(
                letter
                for letter in word
                if letter != "\0" and not ("\ud800" <= letter <= "\udc7f" or "\udd00" <= letter <= "\udfff")
            )
        )
    )


class Raw(str):
    """Text that stands behind ``key=`` as it is."""


def leaves(section: dict[str, Any] = DEFAULTS, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key with its default, but for those that are there twice."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


KEYS = [
    *leaves(),
    *(
        (f"membership.{path}", value)
        for part in ("training", "suppress", "dp", "prune")
        for path, value in leaves(DEFAULTS[part], f"{part}.")
    ),
]


def _command(rng: random.Random) -> list[str]:
    return list(rng.choice(COMMANDS))


def _options(rng: random.Random, work: Path, assets: Assets) -> Case:
    """Options with values that mean nothing, options of other commands, words too many."""
    words = rng.choice(
        (
            ["train"],
            ["predict"],
            ["attack", "inversion"],
            ["attack", "membership"],
            ["audit"],
            ["report"],
            ["doctor"],
            ["data", "list"],
            ["data", "verify"],
            ["data"],
            ["attack"],
            [],
            [text(rng)],
        )
    )
    words = [*words, *(settings({}) if words[:1] and words[0] in ("train", "predict", "attack", "audit") else [])]
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        option = rng.choice(OPTIONS) if rng.random() < 0.95 else text(rng)
        words.append(option)
        if option == "--set":
            words.append(f"{rng.choice(KEYS)[0]}{rng.choice(('=', '', '.x=', ' ='))}{text(rng)}")
        elif option not in FLAGS and rng.random() < 0.95:
            words.append(text(rng))
    if rng.random() < 0.2:
        words.insert(rng.randrange(len(words) + 1), text(rng))
    return Case("command lines", words)


def _key(rng: random.Random, work: Path, assets: Assets) -> Case:
    """One key, or two, with a hostile value."""
    changed = {}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        key, default = rng.choice(KEYS)
        value = value_like(default, rng, TYPES.get(key, ()))
        where = rng.choice(("", "", "", "", "", "subjects.one.", "sweep.variants.one."))
        changed[where + key] = Raw(text(rng)) if rng.random() < 0.05 else value
    method = next(
        (
            name
            for part, name in (("suppress", "suppress"), ("dp", "dp_sgd"), ("prune", "prune"))
            if any(f"{part}." in key for key in changed)
        ),
        None,
    )
    if method and rng.random() < 0.8:
        changed = {"training.method": method, **changed}
        changed.update(
            {"suppress.mask_times": 2, "suppress.start_epoch": 1}
            if method == "suppress" and "suppress.mask_times" not in changed
            else {}
        )
        changed.update(
            {"dp.noise_multiplier": 1.0} if method == "dp_sgd" and "dp.target_epsilon" not in changed else {}
        )
    if any("model.cell" in key or "hidden_size" in key or "model.layers" in key or "periods" in key for key in changed):
        changed = {"model.name": "recurrent", "model.width": 1.0, "model.hidden_size": 8, **changed}
    if any("membership.rnn_tutorial" in key for key in changed):
        changed = {"membership.attacks": ["rnn_tutorial"], **changed}
    if any("rmia" in key or "references" in key or "augment" in key for key in changed):
        changed = {"membership.attacks": ["rmia_offline", "lira_online"], **changed}
    if any("improved" in key or "ablation" in key for key in changed):
        changed = {"membership.attacks": ["improved"], **changed}
    return Case("configuration keys", [*_command(rng), *settings(changed)])


def _yaml(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A configuration file: spoilt text, bombs, depth, other types."""
    path = work / INPUTS / "own.yaml"
    path.write_bytes(rng.choice(_YAML_MAKERS)(rng))
    words = [*_command(rng), "--config", str(path.relative_to(work))]
    return Case("YAML", [*words, *settings({}, tuple(TOY) if rng.random() < 0.3 else ())])


def _toy_yaml(rng: random.Random) -> bytes:
    nested: dict[str, Any] = {}
    for key, value in TOY.items():
        part, target = key.split("."), nested
        for name in part[:-1]:
            target = target.setdefault(name, {})
        target[part[-1]] = value
    if rng.random() < 0.5:
        nested["subjects"] = {
            rng.choice(("one", text(rng))): rng.choice(
                ({}, None, anything(rng), {"training": {"epochs": rng.choice((1, 10**30, "x"))}})
            )
        }
    return yaml.safe_dump(nested, sort_keys=False).encode()


def _spoilt_yaml(rng: random.Random) -> bytes:
    return damaged(_toy_yaml(rng), rng)


def _any_yaml(rng: random.Random) -> bytes:
    keys = [rng.choice((*DEFAULTS, text(rng))) for _ in range(rng.randrange(4))]
    return "\n".join(f"{yaml_value(key)}: {yaml_value(anything(rng, 3))}" for key in keys).encode(
        "utf-8", "surrogatepass"
    )


def _deep_yaml(rng: random.Random) -> bytes:
    depth = rng.choice((10, 100, 1000, 20_000))
    return rng.choice(
        (
            b"a: " + b"[" * depth,
            b"a: " + b"{a: " * depth,
            b"- " * depth,
            b"[" * depth + b"]" * depth,
            b"\n".join(b" " * place + b"a:" for place in range(min(depth, 1000))),
            b"? " * depth,
        )
    )


def _bomb(rng: random.Random) -> bytes:
    key = rng.choice(("name", "model", "subjects", "training", "inversion", "x"))
    width, height = rng.choice(((9, 9), (2, 30), (50, 5), (1, 500)))
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, height)]
    if rng.random() < 0.5:
        lines = ["a0: &a0 {k: 1}"]
        merged = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, height)]
        nested = [
            f"a{n}: &a{n} {{" + ", ".join(f"k{m}: *a{n - 1}" for m in range(width)) + "}" for n in range(1, height)
        ]
        lines += rng.choice((merged, nested))
    inside = "\n".join(f"  {line}" for line in lines)
    return (
        f"{key}:\n{inside}\n".encode() if rng.random() < 0.5 else "\n".join([*lines, f"{key}: *a{height - 1}"]).encode()
    )


def _odd_yaml(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"",
            b"\0",
            b"\xef\xbb\xbfseed: 1\n",
            b"\xff\xfes\0e\0e\0d\0:\0 \0001\0",
            b"seed: 1\r\nname: a\r\n",
            b"seed: 0x" + b"f" * 9000,
            b"seed: 1" + b"0" * 5000,
            b"seed: 1:2:3:4",
            b"seed: 0o17",
            b"seed: 1_000",
            b"seed: .nan",
            b"training: {epochs: 1e400}",
            b"seed: 2001-01-01",
            b"seed: !!binary aGVsbG8=",
            b"seed: !!set {a, b}",
            b"name: !!str 3",
            b"seed: !!int x",
            b"seed: !!python/name:os.system ''",
            b"seed: !!python/object/apply:os.system ['touch pwned']",
            b"? [a, b]\n: 1",
            b"? {a: b}\n: 1",
            b"1: 2",
            b"null: 3",
            b"true: 4",
            b".nan: 5",
            b"--- 1\n--- 2",
            b"seed: 1\n...\nseed: 2",
            b"%YAML 9.9\n---\nseed: 1",
            b"&a a: *a",
            b"a: &a [*a]",
            b"subjects: &s {one: *s}",
            b"model: &m {name: *m}",
            b"<<: 3",
            b"<<: [1]",
            b"<<: {seed: 1}",
            b"seed: 1\nseed: 1",
            b"name: '\xed\xa0\x80'",
            b'name: "\\ud800"',
            b'name: "\\0"',
            b"x" * 200_000,
            b"a: '" + b"y" * 100_000 + b"'",
            b"training:\n\tepochs: 1",
            b"training: {epochs: 1",
            b"'",
            b"%",
            b"@",
            b"`",
            b"!",
            b"*x",
            b"&",
            b"|\n a",
            b">\n",
            b"- a",
            b"[1, 2]",
            b"name: 1" + b"9" * 400,
            b"device: {threads: 1e12}",
            b"? " + b"z" * 2000 + b"\n: 1",
            rng.randbytes(rng.choice((10, 1000))),
        )
    )


_YAML_MAKERS = (_toy_yaml, _spoilt_yaml, _spoilt_yaml, _any_yaml, _deep_yaml, _bomb, _odd_yaml, _odd_yaml)


def _data(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A data set whose files are damaged, or hold other arrays."""
    how = rng.choice((_npz, _npz, _raw_npz, _idx, _idx, _named))
    name, place = how(rng, work)
    command = rng.choice(
        (("train",), ("train",), ("audit",), ("attack", "inversion"), ("data", "verify"), ("data", "list"))
    )
    if command == ("data", "list"):
        return Case("data files", [*command, "--data_dir", place])
    if command == ("data", "verify"):
        return Case("data files", [*command, name, "--data_dir", place])
    return Case("data files", [*command, *settings({"data.name": name, "data.dir": place})])


def _npz(rng: random.Random, work: Path) -> tuple[str, str]:
    with np.load(work / INPUTS / "data.npz") as archive:
        arrays = dict(archive)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice([*arrays]) if arrays else "x_train"
        arrays[name] = _changed_array(rng, arrays.get(name, np.zeros(3)))
        if rng.random() < 0.1:
            del arrays[name]
        if rng.random() < 0.2:
            arrays["class_names"] = rng.choice(
                (
                    np.array(["a", "a"]),
                    np.array([text(rng).rstrip("\0") for _ in range(6)]),
                    np.array("a"),
                    np.array([b"a", b"b"]),
                    np.array([""] * 6),
                )
            )
    np.savez(work / INPUTS / "data.npz", **arrays)
    return "custom", f"{INPUTS}/data.npz"


def _changed_array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Return another array, or the same where what was drawn cannot be done to it."""
    try:
        return _other_array(rng, array)
    except (TypeError, ValueError, IndexError):
        return array


def _other_array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Return an array with another type, shape, or other values."""
    how = rng.randrange(7)
    with np.errstate(all="ignore"):
        if how == 0:
            return array.astype(
                rng.choice(("f8", "f2", "i1", "u1", "i8", "u8", "c16", "?", "U5", "S3", "M8[s]", ">f4"))
            )
        if how == 1:
            return array[: rng.choice((0, 1, 2, 7, 17))]
        if how == 2:
            return array.reshape(rng.choice(((-1,), (1, *array.shape), (*array.shape, 1), (len(array), -1))))
        if how == 3:
            changed = array.astype("f4") if array.dtype.kind == "f" else array.copy()
            bad = (np.nan, np.inf, -1.0, 2.0, 1e38, 5e-324) if array.dtype.kind == "f" else (-1, 6, 127, -(2**31))
            changed.flat[rng.randrange(changed.size)] = rng.choice(bad)
            return changed
        if how == 4:
            return np.zeros_like(array)
        if how == 5:
            return np.array([{}, "x"], dtype=object) if rng.random() < 0.5 else np.zeros((0, 12, 12), "f4")
        return array[rng.choice((slice(None, None, -1), slice(None, None, 2), np.zeros(len(array), int)))] * rng.choice(
            (1, 255, 0.06)
        )


def _raw_npz(rng: random.Random, work: Path) -> tuple[str, str]:
    path = work / INPUTS / "data.npz"
    path.write_bytes(damaged(path.read_bytes(), rng))
    return "custom", f"{INPUTS}/data.npz"


def _idx(rng: random.Random, work: Path) -> tuple[str, str]:
    name = rng.choice(("mnist", "custom", "fashion_mnist"))
    folder = work / INPUTS / ("own" if name == "custom" else name)
    write_idx_set(folder, side=28, rows=(60, 20), ending=rng.choice(("", ".gz")))
    path = rng.choice(sorted(folder.iterdir()))
    content = path.read_bytes()
    if path.suffix == ".gz" and rng.random() < 0.7:
        path.write_bytes(gzip.compress(damaged(gzip.decompress(content), rng)))
    else:
        path.write_bytes(damaged(content, rng))
    _strange(rng, path)
    return name, f"{INPUTS}/own" if name == "custom" else INPUTS


def _named(rng: random.Random, work: Path) -> tuple[str, str]:
    name = rng.choice(("cifar10", "svhn"))
    folder = work / INPUTS / name
    {"cifar10": write_cifar, "svhn": write_svhn}[name](folder)
    path = rng.choice(sorted(folder.iterdir()))
    path.write_bytes(damaged(path.read_bytes(), rng))
    _strange(rng, path)
    return name, INPUTS


def _strange(rng: random.Random, path: Path) -> None:
    """Now and then put something other than a file in a file's place."""
    if rng.random() > 0.08:
        return
    path.unlink()
    how = rng.randrange(4)
    if how == 0:
        os.mkfifo(path)
    elif how == 1:
        path.mkdir()
    elif how == 2:
        path.symlink_to(rng.choice(("/dev/zero", "/dev/urandom", "/proc/self/mem", path.name, "/nowhere", "/")))
    else:
        path.write_bytes(b"")


def _checkpoint(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A checkpoint with damaged bytes, or something other than one."""
    path = assets.take("toy.ckpt", work)
    if rng.random() < 0.2:
        path.write_bytes(
            rng.choice((b"", b"\0" * 100, b"PK\x03\x04", rng.randbytes(300), b"\x0a\xff\xff\xff\xff\x0f", b"<html>"))
        )
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    if rng.random() < 0.3:
        path = path.rename(
            path.with_name(rng.choice(("a.pth", "a.safetensors", "a.npz", "a", "\x1b.ckpt", "a b.ckpt", "é.ckpt")))
        )
    _strange(rng, path)
    command = rng.choice((("predict",), ("predict",), ("attack", "inversion"), ("attack", "membership"), ("audit",)))
    return Case("checkpoints", [*command, *settings({}), "--ckpt", str(path.relative_to(work)), *_rows(rng, work)])


def _rows(rng: random.Random, work: Path) -> list[str]:
    """Return an option for the members of a checkpoint, mostly spoilt, or nothing."""
    if rng.random() < 0.5:
        return []
    path = work / INPUTS / "members.npy"
    rows: Any = rng.choice(
        (
            np.arange(100),
            np.arange(480),
            np.arange(3),
            np.array([0, 1, 1]),
            np.array([-1, 5]),
            np.array([10**9]),
            np.array([1.5]),
            np.arange(100.0),
            np.zeros(0, int),
            np.array(5),
            np.array([True] * 480),
            np.array(["a"]),
            np.zeros((2, 2), int),
            np.array([2**63], "u8"),
            np.array([np.nan]),
            np.array(["2020"], "M8[s]"),
            np.arange(100, dtype="c16"),
        )
    )
    stream = io.BytesIO()
    np.save(stream, rows)
    path.write_bytes(damaged(stream.getvalue(), rng) if rng.random() < 0.4 else stream.getvalue())
    _strange(rng, path)
    return ["--members", f"{INPUTS}/members.npy"]


def _members(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A whole checkpoint with a list of members that may be spoilt."""
    assets.take("toy.ckpt", work)
    command = rng.choice((("attack", "membership"), ("attack", "inversion"), ("audit",)))
    return Case("members", [*command, *settings({}), "--ckpt", f"{INPUTS}/toy.ckpt", *_rows(rng, work)])


def _run(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A run directory in which a file is damaged, missing or something else."""
    run, checkpoints = assets.take("run", work, "run"), assets.take("ckpt", work, "ckpt")
    files = sorted(path for folder in (run, checkpoints) for path in folder.rglob("*") if path.is_file())
    for path in rng.sample(files, rng.choice((1, 1, 2))):
        content = path.read_bytes()
        how = rng.random()
        if how < 0.6:
            path.write_bytes(damaged(content, rng))
        elif how < 0.8 and path.suffix == ".json":
            path.write_text(json.dumps(_spoilt(json.loads(content), rng)))
        elif how < 0.9:
            path.write_bytes(
                rng.choice((b"", b"[" * 100_000, b"{}", b"[]", b"null", b"NaN", b"\xff", b"{" + b'"a":{' * 50_000))
            )
        else:
            path.unlink()
            continue
        _strange(rng, path)
    command = rng.choice(
        (("train",), ("train", "--resume"), ("predict",), ("predict", "--best"), ("report",), ("audit",))
    )
    own = [] if command == ("report",) else ["--ckpt_dir", "ckpt", *settings({})]
    return Case("run directories", [*command, *own, "--run_dir", "run"])


def _spoilt(value: Any, rng: random.Random) -> Any:
    """Return JSON in which one value somewhere is another."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice([*value])
        if rng.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _spoilt(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], _spoilt(value[place], rng), *value[place + 1 :]]
    spoilt = anything(rng)
    return (
        json.loads(json.dumps(spoilt, default=str)) if not isinstance(spoilt, int) or abs(spoilt) < 10**300 else 10**30
    )


def _report(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A finished audit whose document says something else."""
    run = assets.take("report", work, "run")
    path = run / "report.json"
    if rng.random() < 0.7:
        document = json.loads(path.read_text())
        if rng.random() < 0.8:
            # As reports of earlier versions are: with a checksum, nothing of it would be looked at.
            del document["checksum"]
        for _ in range(rng.choice((1, 1, 3))):
            document = _spoilt(document, rng)
        path.write_text(json.dumps(document))
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    if rng.random() < 0.2:
        pictures = rng.choice(sorted(run.rglob("*.npz")))
        pictures.write_bytes(damaged(pictures.read_bytes(), rng))
        _strange(rng, pictures)
    return Case("reports", ["report", "--run_dir", "run"])


_NETWORK = """
import numpy as np
from mindspore import Tensor, nn, ops

class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(144, 6)
        {init}

    def construct(self, x):
        {construct}
"""
_INITS = (
    "",
    "raise ValueError('x' * 100000)",
    "raise SystemExit(3)",
    "1 / 0",
    "self.fc = None",
    "self.fc = nn.Dense(144, 7)",
    "raise MemoryError",
    "raise RecursionError('deep')",
    "raise UnicodeDecodeError('utf-8', b'', 0, 1, 'r')",
    "raise OSError(36, 'File name too long', 'x')",
)
_CONSTRUCTS = (
    "return self.fc(ops.reshape(x, (x.shape[0], -1)))",
    "return x",
    "return None",
    "return (x, x)",
    "raise ValueError('no')",
    "return self.fc(x)",
    "return self.fc(ops.reshape(x, (x.shape[0], -1))) * float('nan')",
    "return 'logits'",
    "return ops.reshape(x, (x.shape[0], -1))[:, :6]",
    "return self.fc(ops.reshape(x, (x.shape[0], -1))).astype('float16')",
    "return 3",
    "return ops.zeros((x.shape[0], 6), 'int32')",
)


def _model(rng: random.Random, work: Path, assets: Assets) -> Case:
    """A network of the user's own that is none, fails, or answers something else."""
    path = work / INPUTS / rng.choice(("net.py", "net.py", "\x1b.py", "a b.py", "net.txt", "é.py", "os.py"))
    source = _NETWORK.format(init=rng.choice(_INITS), construct=rng.choice(_CONSTRUCTS))
    path.write_bytes(damaged(source.encode(), rng) if rng.random() < 0.3 else source.encode())
    _strange(rng, path)
    name = rng.choice(("Net", "Net", "Net", "Net", "nn", "__name__", "", text(rng)))
    changed = {"model.name": f"{path.relative_to(work)}:{name}", "model.width": 1.0}
    return Case("networks", [*_command(rng), *settings(changed)])


def _environment(rng: random.Random, work: Path, assets: Assets) -> Case:
    """Environment variables that hold anything."""
    values = {name: text(rng).replace("\0", "") or "x" for name in rng.sample(VARIABLES, rng.choice((1, 1, 2)))}
    if rng.random() < 0.1:
        values["MINDLEAK_DATA_DIR"] = ""
    if "MS_ROLE" in values:  # what msrun would set; a worker proper would wait for its fellows
        values["MS_ROLE"] = rng.choice(("MS_WORKER", "x"))
        values["MS_WORKER_NUM"] = rng.choice(("x", "", "1", "-1", "1.5"))
    command = rng.choice(
        (("train",), ("predict",), ("data", "list"), ("doctor",), ("data", "verify", "mnist"), ("audit",))
    )
    own = settings({}) if command[0] in ("train", "predict", "audit") else []
    return Case(
        "environment",
        [*command, *own],
        {name: value.encode("utf-8", "replace").decode() for name, value in values.items()},
    )


Maker = Callable[[random.Random, Path, Assets], Case]
# How often, and what makes one.
MAKERS: dict[str, tuple[int, Maker]] = {
    "command lines": (15, _options),
    "configuration keys": (30, _key),
    "YAML": (15, _yaml),
    "data files": (12, _data),
    "checkpoints": (8, _checkpoint),
    "members": (4, _members),
    "run directories": (6, _run),
    "reports": (6, _report),
    "networks": (5, _model),
    "environment": (4, _environment),
}
