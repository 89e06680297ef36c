"""Values that mean nothing anywhere: refused in one line of at most 500 printable characters, and nothing is left."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from command import Outcome, assert_refused, call, contents
from mindleak import device
from mindleak import settings as config
from mindleak.data.custom import read_custom, read_rows
from mindleak.data.locate import data_root
from mindleak.errors import InputError
from mindleak.kernels import library
from mindleak.settings.schema import SCHEMA
from mindleak.yaml_text import parse_yaml


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    device.configure("CPU")
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(outcome: Outcome, *parts: str) -> None:
    assert_refused(outcome, *parts)
    line = outcome.err.rstrip("\n")
    assert len(line) <= 500 and line.isprintable(), line


# --- nothing where something is asked for -------------------------------------------------------------------------


OPTIONS = ("--config", "--model", "--ckpt", "--members", "--dataset", "--data_dir", "--run_dir", "--ckpt_dir",
           "--device_target", "--suppress_engine")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_option_is_not_taken_for_the_default(work, capfd, option, value):
    refused(call(capfd, "audit", option, value), f"{option} is empty; expected ")
    assert not contents(work)


@pytest.mark.parametrize("words", [
    ("report", "--run_dir", ""), ("data", "list", "--data_dir", ""), ("doctor", "--data_dir", ""),
    ("data", "verify", "mnist", "--data_dir", ""), ("data", "download", "mnist", "--data_dir", ""),
    ("data", "download", "mnist", "--mirror", ""), ("attack", "membership", "--attack", ""), ("train", "--set", ""),
])
def test_empty_options_of_other_commands(work, capfd, words):
    refused(call(capfd, *words))
    assert not contents(work)


@pytest.mark.parametrize("words", [("data", "list"), ("data", "verify", "mnist"), ("data", "download", "mnist"),
                                   ("train", "--dataset", "mnist")])
def test_an_empty_data_directory_in_the_environment(monkeypatch, capfd, words):
    monkeypatch.setenv("MINDLEAK_DATA_DIR", "")
    refused(call(capfd, *words), "MINDLEAK_DATA_DIR is empty; expected a folder")


TEXT_KEYS = ["name", "data.dir", "data.name", "data.resize", "model.name", "model.checkpoint", "model.members",
             "device.target", "training.method", "inversion.layer", "inversion.engine", "suppress.layers"]


@pytest.mark.parametrize("key", TEXT_KEYS)
@pytest.mark.parametrize(("value", "part"), [
    ('""', "is empty"), ('"  "', "is empty"), (r'"a\0b"', "null character"), (r'"\ud800"', "half of a character"),
    ("x" * 100_000, "100,000 characters"),
])
def test_text_that_can_name_nothing(capfd, key, value, part):
    refused(call(capfd, "train", "--set", f"{key}={value}"), f"'{key}' on the command line", part)


@pytest.mark.parametrize("value", ["[fc1, '']", r'["a\0b"]', "[" + ", ".join(["x"] * 2000) + "]"])
def test_lists_of_text_that_can_name_nothing(capfd, value):
    refused(call(capfd, "attack", "inversion", "--set", f"inversion.layer={value}"), "'inversion.layer'")


# --- numbers ------------------------------------------------------------------------------------------------------


WHOLE = [key for key, setting in SCHEMA.settings.items() if setting.types == (int,)]
LARGEST = {key: setting.most for key, setting in SCHEMA.settings.items() if setting.most is not None}


@pytest.mark.parametrize("key", WHOLE)
@pytest.mark.parametrize("value", ["1" + "0" * 30, "-1" + "0" * 30, "1" + "0" * 5000, "0x" + "f" * 100_000])
def test_no_key_takes_a_number_beyond_64_bits(capfd, key, value):
    refused(call(capfd, "train", "--set", f"{key}={value}"), key, "")


@pytest.mark.parametrize("key", LARGEST)
def test_numbers_that_nothing_else_ends_have_an_end(key):
    for value in (LARGEST[key] + 1, 2**62):
        written = f"[{value}]" if key == "membership.improved.hidden" else str(value)
        with pytest.raises(InputError, match=rf"'{key}' on the command line is .*expected at most {LARGEST[key]:,}"):
            config.load(None, [f"{key}={written}"])


def test_infinite_widths_have_an_end_too():
    with pytest.raises(InputError, match="'model.width' on the command line is inf; expected at most"):
        config.load(None, [f"model.width={math.inf}".replace("inf", ".inf")])


NUMBERS = [key for key, setting in SCHEMA.settings.items() if float in (*setting.types, setting.item)]
RECIPES = [key for key in NUMBERS if key.split(".")[0] in ("training", "suppress", "dp", "prune")]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("key", NUMBERS + [f"{section}.{key}" for key in RECIPES for section in
                                            ("membership", "subjects.one", "sweep.variants.one")])
def test_no_key_takes_a_number_that_is_none_whether_it_is_used_or_not(key, value):
    written = f"[{value}]" if key in SCHEMA.settings and SCHEMA.settings[key].item else value
    with pytest.raises(InputError, match=rf"^'{key}' on the command line is \[?-?(nan|inf)\]?; expected "):
        config.load(None, [f"{key}={written}"])


# --- names --------------------------------------------------------------------------------------------------------


LONG = "x" * 300


@pytest.mark.parametrize("words", [
    ("--run_dir", LONG), ("--run_dir", f"runs/{LONG}/below"), ("--ckpt_dir", LONG), ("--config", LONG),
    ("--ckpt", f"{LONG}.ckpt"), ("--members", LONG, "--ckpt", "x.ckpt"), ("--dataset", "mnist", "--data_dir", LONG),
    ("--dataset", "custom", "--data_dir", LONG),
    ("--model", f"{LONG}.py:Net"), ("--set", f"name={LONG}"), ("--set", f"subjects.{LONG}.training.epochs=1"),
    ("--set", f"sweep.variants.{LONG}.training.epochs=1"), ("--run_dir", "é" * 200), ("--run_dir", "a/" * 3000),
])
@pytest.mark.parametrize("command", [("audit",), ("predict",)])
def test_names_longer_than_a_file_can_have(work, capfd, command, words):
    refused(call(capfd, *command, *words))
    assert not contents(work)


@pytest.mark.parametrize("words", [("report", "--run_dir", LONG), ("data", "list", "--data_dir", LONG),
                                   ("data", "download", "mnist", "--data_dir", LONG)])
def test_long_names_elsewhere(work, capfd, words):
    refused(call(capfd, *words))
    assert not contents(work)


@pytest.mark.parametrize("words", [
    ("train", "--dataset", "mnist"), ("train", "--dataset", "custom"), ("data", "verify", "mnist"), ("data", "list"),
    ("data", "download", "mnist"),
])
def test_the_home_folder_of_nobody(work, capfd, words):
    refused(call(capfd, *words, "--data_dir", "~nosuchuser/data"), "'~nosuchuser/data'", "home folder")
    assert not contents(work)


def test_a_home_folder_of_nobody_in_the_environment_or_for_results(monkeypatch, capfd, work):
    for option in ("--run_dir", "--ckpt_dir"):
        refused(call(capfd, "train", option, "~nosuchuser/x"), "'~nosuchuser/x' begins with the home folder")
    assert not contents(work)
    monkeypatch.setenv("MINDLEAK_DATA_DIR", "~nosuchuser")
    with pytest.raises(InputError, match="'~nosuchuser' begins with the home folder"):
        data_root(None)


# --- files that are no configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/dev/urandom", "/dev/zero", "pipe", "folder", "/dev/null/x"])
def test_what_is_no_file_is_not_waited_for(work, capfd, place):
    os.mkfifo(work / "pipe")
    (work / "folder").mkdir()
    begun = time.monotonic()
    refused(call(capfd, "train", "--config", place), f"'{place}'")
    assert time.monotonic() - begun < 10


def bomb(width: int, height: int) -> str:
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, height)])


def merged_bomb(width: int, height: int) -> str:
    lines = ["a0: &a0 {k: 1}"]
    return "\n".join(lines + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, height)])


YAML = {
    "bomb": (bomb(9, 9), "aliases"),
    "long bomb": (bomb(2, 300), "aliases"),
    "bomb of merges": (merged_bomb(9, 9), "aliases"),
    "itself": ("model: &m {name: *m}", "contains itself"),
    "list of itself": ("sweep: {pairs: &p [*p]}", "contains itself"),
    "lists": ("a: " + "[" * 100_000, "more than 50"),
    "sections": ("\n".join(" " * depth + "a:" for depth in range(600)), "more than 50"),
    "number": ("seed: 1" + "0" * 4000, "larger than any"),
    "hexadecimal": ("seed: 0x" + "f" * 100_000, "larger than any"),
    "long word": ("? " + "x" * 100_000 + "\n: 1", "unknown key"),
    "long value": ("training: {epochs: " + "y" * 100_000 + "}", "training.epochs"),
    "many keys": ("{" + ", ".join(f"k{n}: 1" for n in range(10_000)) + "}", "unknown key"),
    "large": ("# " + "x" * 300_000, "larger than 256 kB"),
    "null character": ("name: \"a\\0b\"", "null character"),
    "raw null character": ("name: a\0b", "special characters"),
    "half a character": ("name: \"\\ud800\"", "half of a character"),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_made_to_do_harm(work, capfd, kind):
    text, part = YAML[kind]
    (work / "own.yaml").write_text(text)
    begun = time.monotonic()
    refused(call(capfd, "train", "--config", "own.yaml"), "own.yaml", part)
    assert time.monotonic() - begun < 20


def test_aliases_that_mean_something_are_taken():
    assert parse_yaml("a: &a {k: [1, 2]}\nb: {<<: *a, l: *a}", "x") == {
        "a": {"k": [1, 2]}, "b": {"k": [1, 2], "l": {"k": [1, 2]}}}
    assert parse_yaml(f"[{2**63 - 1}, -{2**63 - 1}, 0x10, 017, 0b11, 1_000]", "x") == [
        2**63 - 1, 1 - 2**63, 16, 15, 3, 1000]


def test_a_byte_order_mark_is_no_part_of_the_first_key(work):
    (work / "own.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert config.load("own.yaml").seed == 3


# --- environment --------------------------------------------------------------------------------------------------


def test_a_compiler_with_an_open_quotation_mark(monkeypatch):
    monkeypatch.setenv("CXX", "g++ 'x")
    assert "no closing quotation" in str(library.attempt.__wrapped__())


@pytest.mark.parametrize("workers", ["x", "", "-1", "1.5", "²"])
def test_a_number_of_workers_that_is_none(monkeypatch, workers):
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("MS_WORKER_NUM", workers)
    with pytest.raises(InputError, match=f"MS_WORKER_NUM is '{workers}'; expected the number of workers"):
        device.launched_by_msrun()


def test_a_null_character_among_the_words_is_no_traceback(capfd):
    """The operating system hands none over, a program that calls ``main`` may."""
    refused(call(capfd, "train", "--config", "a\0b"), "null")


def test_a_working_directory_that_is_gone(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from mindleak.cli import main; sys.exit(main(['train']))"
    (tmp_path / "gone").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "gone", capture_output=True, text=True,
                          check=False)
    refused(Outcome(done.returncode, done.stdout, done.stderr), "working directory")


# --- headers of arrays --------------------------------------------------------------------------------------------


def array_file(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(400)


HEADERS = {
    "open bracket": "{'descr': '<i8', 'fortran_order': False, 'shape': (3,",
    "open string": "{'descr': '''<i8",
    "indented": "  {'descr': '<i8'}\n    x\n  y",
    "number": "3",
    "no type": "{'descr': 'x9', 'fortran_order': False, 'shape': (3,)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
    "records": "{'descr': [('a', '<i8')], 'fortran_order': False, 'shape': (3,)}",
    "negative": "{'descr': '<i8', 'fortran_order': False, 'shape': (-3,)}",
    "endless": "{'descr': '<i8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
    "large": "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999,)}",
    "text for a shape": "{'descr': '<i8', 'fortran_order': False, 'shape': 'x'}",
    "deep": "(" * 5000,
    "Python 2": "{'descr': '<i8', 'fortran_order': False, 'shape': (3L,)}",
    "null character": "{'descr': '\0'}",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_array_files_whose_header_is_damaged(tmp_path, kind):
    content = array_file(HEADERS[kind])
    (tmp_path / "rows.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(InputError, match=r"data\.npz"):
        read_custom(tmp_path / "data.npz")
    if kind not in ("Python 2", "records", "negative"):  # NumPy reads these; check_rows has its say
        with pytest.raises(InputError, match=r"rows\.npy"):
            read_rows(tmp_path / "rows.npy")


@pytest.mark.parametrize("place", ["/proc/self/mem", "/dev/zero", "folder", "nothing"])
def test_model_files_that_cannot_be_read(work, capfd, place):
    (work / "folder").mkdir()
    (work / "net.py").symlink_to(place)
    refused(call(capfd, "train", "--model", "net.py:Net"), "net.py")
