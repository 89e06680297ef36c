"""A run directory's report that was damaged is refused in one line, whatever it is that no longer fits."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases import slow_but
from example_record import build_document
from mindleak.errors import InputError
from mindleak.jobs import report
from mindleak.jobs.report import run_report
from mindleak.reporting.html import write_json
from mindleak.runs import lock
from mindleak.runs.atomic import plain

Document = dict[str, Any]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    folder = tmp_path_factory.mktemp("run")
    return folder, json.loads(json.dumps(plain(build_document(folder, images=2, recipes=1))))


# Stands for lists in one another, more than any recursion limit allows: libraries raise it for some tests, not others.
NESTED, LEVELS = "nested", 100_000


def deep(document: Document) -> None:
    document["config"] = NESTED


def pipe(document: Document) -> None:
    document["results"]["inversion"][0]["arrays"] = "pipe"


HARM: dict[str, Callable[[Document], object]] = {
    "a shorter list of a ROC": lambda document: document["results"]["membership"][0]["roc"]["tpr"].pop(),
    "an empty list of a ROC": lambda document: document["results"]["membership"][0]["roc"].update(fpr=[], tpr=[]),
    "text in a ROC": lambda document: document["results"]["membership"][0]["roc"].update(fpr=["x"] * 10_002),
    "a number for a ROC": lambda document: document["results"]["membership"][0].update(roc=3),
    "no classes": lambda document: document["results"]["membership"][0].update(per_class=[{}]),
    "a huge number": lambda document: document["results"]["membership"][0].update(n_in=10**400),
    "an epoch without its number": lambda document: document["subjects"][0]["history"][0].pop("epoch"),
    "no subjects": lambda document: document.update(subjects=[]),
    "findings that are none": lambda document: document.update(findings=[7]),
    "stages that are none": lambda document: document["provenance"].update(stages=[None]),
    "deep nesting": deep,
    "a pipe instead of arrays": pipe,
}


@pytest.mark.parametrize("harm", slow_but(
    HARM, "an empty list of a ROC", "text in a ROC", "an epoch without its number"))
def test_a_damaged_report_is_refused_in_one_line_or_rendered(harm, audited, tmp_path):
    folder, document = audited[0], copy.deepcopy(audited[1])
    HARM[harm](document)
    text = json.dumps(document).replace(f'"config": "{NESTED}"', f'"config": {"[" * LEVELS}{"]" * LEVELS}')
    (folder / "report.json").write_text(text)
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    try:
        run_report(str(folder))
    except InputError as error:
        line = " ".join(str(error).split())
        assert str(folder) in line and len(line) < 600, line
        assert "is damaged" in line or "is a named pipe" in line
    else:
        assert harm in ("a huge number", "an empty list of a ROC", "no subjects", "findings that are none")


@pytest.mark.parametrize("harm", [
    lambda text: text.replace('"value": 0.', '"value": 0.1', 1), lambda text: text.replace('"n_in": ', '"n_in": 1', 1),
    lambda text: text.replace('"findings": [', '"findings": ["All is well.",', 1)],
    ids=["a figure", "a size", "a finding"])
def test_a_report_that_was_altered_is_never_shown(harm, audited, tmp_path, capsys):
    path = write_json(audited[1], tmp_path)
    whole = path.read_text()
    assert harm(whole) != whole
    path.write_text(harm(whole))
    with pytest.raises(InputError, match="was altered after it was written: its checksum does not fit"):
        run_report(str(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_report_in_a_folder_that_cannot_be_written_is_shown_and_the_page_refused(audited, monkeypatch, capsys):
    folder, document = audited
    (folder / "report.json").write_text(json.dumps(document))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(folder))

    def refuse(*_: object, **__: object) -> None:
        raise InputError("cannot write")

    monkeypatch.setattr(lock.files, "open_own", read_only)
    monkeypatch.setattr(report, "write_page", refuse)
    with pytest.raises(InputError, match="cannot write"):
        run_report(str(folder))
    assert "membership" in capsys.readouterr().out.lower()
