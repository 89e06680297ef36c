"""Whole commands under terminals that cannot show every letter, and with names that no terminal should take raw."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import SMALL
from example_record import build_document
from mindleak import device
from mindleak.cli import main
from mindleak.printable import hides_characters
from mindleak.reporting.html import write_json

ENCODINGS = ("ascii", "gbk", "cp1252")
NAMES = ["\x1b[31mred", "\x1b]0;title\x07", "a\u202eb", "two\nlines", "café", "中文", "x\udcffy"]
NO_UTF8 = os.fsdecode(b"r\xffun")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device.configure("CPU")
    monkeypatch.chdir(tmp_path)


def shown(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: str) -> tuple[int, str]:
    """Run one command on a terminal of an encoding; return its exit code and all that it shows."""
    buffer = io.BytesIO()
    with monkeypatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, io.TextIOWrapper(buffer, encoding=encoding, write_through=True))
        code = main(list(words))
        sys.stdout.detach()
        sys.stderr.detach()
    return code, buffer.getvalue().decode(encoding)


def hostile_data(path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {f"x_{half}": rng.random((70, 28, 28)) for half in ("train", "test")}
    labels = {f"y_{half}": np.arange(70) % len(NAMES) for half in ("train", "test")}
    np.savez(path, **arrays, **labels, class_names=np.array([name.replace("\udcff", "\x9b") for name in NAMES]))
    return path


def hostile_document(folder: Path) -> dict[str, Any]:
    document = build_document(folder, images=3, recipes=2)
    document["title"] = "\x1b]0;title\x07\u202e"
    document["provenance"]["command"] = f"mindleak audit --run_dir {NO_UTF8}"
    document["provenance"]["data"]["class_names"] = [*NAMES, "seven", "eight", "nine"]
    document["findings"].append({**document["findings"][0], "text": "\x9b31m ε ≤ 3\u2066"})
    for subject in document["subjects"]:
        subject["model"] += "\x1b[2J\u202e"
    return document


def test_a_finished_audit_can_be_shown_on_a_terminal_of_ascii(tmp_path, monkeypatch):
    folder = tmp_path / NO_UTF8
    folder.mkdir()
    document = hostile_document(folder)
    write_json(document, folder)
    code, text = shown(monkeypatch, "ascii", "report", "--run_dir", str(folder))
    assert code == 0, text
    assert r"report: " in text and r"r\xffun" in text and "Traceback" not in text
    assert not hides_characters(text)
    # Nothing is hidden in the files either, and the JSON gives every name back as it was.
    written, page = ((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("json", "html"))
    kept = json.loads(written)
    assert kept.pop("checksum") and kept == json.loads(json.dumps(document))
    for content in (written, page):
        assert not hides_characters(content)
        assert r"\u202e" in content
    assert r"\x1b[31mred" in page and r"r\xffun" in page


def test_training_and_predicting_with_hostile_names(tmp_path, monkeypatch):
    data = hostile_data(tmp_path / "data.npz").rename(tmp_path / os.fsdecode(b"\xfe.npz"))
    words = (*SMALL, "--dataset", "custom", "--data_dir", str(data), "--run_dir", NO_UTF8)
    code, text = shown(monkeypatch, "ascii", "train", *words)
    assert code == 0 and r"r\xffun" in text and not hides_characters(text), text
    for encoding in ENCODINGS:
        code, text = shown(monkeypatch, encoding, "predict", *words, "-n", "70")
        assert code == 0 and r"\x1b[31mred" in text and r"a\u202eb" in text and r"two\nlines" in text, text
        assert not hides_characters(text)
    for path in Path(NO_UTF8).glob("*.yaml"):
        assert not hides_characters(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", [
    ("train", "--set", "training.optimizer=\x1b[31m\u202esgd"),
    ("train", "--set", "\x1b[2J=3"),
    ("train", "--config", f"{NO_UTF8}.yaml"),
    ("train", "--model", "\u202elenet5"),
    ("predict", "--ckpt", f"\x9b{NO_UTF8}.ckpt"),
    ("data", "verify", "\x1b]0;title\x07"),
    ("report", "--run_dir", "中文\x1b"),
    ("\x1b[31m",),
])
@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
def test_refusals_hide_nothing(monkeypatch, words, encoding):
    code, text = shown(monkeypatch, encoding, *words)
    assert code == 2 and text.startswith("mindleak: ") and text.count("\n") == 1
    assert len(text) <= 501 and not hides_characters(text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", [("data", "list"), ("doctor",)])
def test_other_commands(monkeypatch, command, encoding):
    monkeypatch.setenv("MINDLEAK_DATA_DIR", NO_UTF8)
    os.mkdir(NO_UTF8)
    code, text = shown(monkeypatch, encoding, *command)
    assert code == 0 and r"r\xffun" in text and not hides_characters(text), text
