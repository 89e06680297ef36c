"""Writing an audit's document as report.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from example_record import build_document
from mindleak.reporting.html import write_json
from mindleak.runs.digest import stable_hash


def test_report_json_gives_the_document_back(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    path = write_json(document, tmp_path / "run")
    assert path == tmp_path / "run" / "report.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written.pop("checksum") == stable_hash(document) and written == document


def test_report_json_refuses_a_number_that_is_not_finite(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    document["results"]["membership"][0]["overall"]["auc"]["value"] = float("nan")
    with pytest.raises(ValueError, match="membership.*auc.*value"):
        write_json(document, tmp_path / "run")
    assert not (tmp_path / "run" / "report.json").exists()


def test_a_document_of_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema 1"):
        write_json({"schema": 1}, tmp_path)
