"""The record of epochs as CSV and as printed lines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mindleak.training.history import FIELDS, EpochPrinter, EpochRecord, write_history

RECORDS = [EpochRecord(1, 2.3, 0.1, 2.2, 0.125, 0.1, 3.5), EpochRecord(2, 1 / 3, 0.9, 0.4, 0.875, 0.05, 3.25)]


def test_history_reads_back_from_csv_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "run" / "history.csv"
    write_history(path, RECORDS)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == FIELDS
    assert [EpochRecord(int(row.pop("epoch")), **{name: float(row[name]) for name in row}) for row in rows] == RECORDS


def test_an_epochs_line_shows_losses_accuracies_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    EpochPrinter("lenet5", 20).epoch(RECORDS[1])
    line = capsys.readouterr().out
    for part in ("[lenet5] epoch   2/20", "train loss 0.3333 acc 0.9000", "val loss 0.4000 acc 0.8750", "lr 0.05",
                 "3.2 s"):
        assert part in line
    assert line.count("\n") == 1


def test_a_printer_that_is_not_enabled_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    printer = EpochPrinter("lenet5", 20, enabled=False)
    printer.epoch(RECORDS[0])
    printer.note("something")
    assert not printer.wants_steps()
    assert capsys.readouterr().out == ""


def test_without_a_label_the_line_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    EpochPrinter("", 20).epoch(RECORDS[0])
    assert capsys.readouterr().out.startswith("epoch   1/20")


def test_a_note_carries_the_label(capsys: pytest.CaptureFixture[str]) -> None:
    EpochPrinter("lenet5", 20).note("starts again")
    EpochPrinter("", 20).note("starts again")
    assert capsys.readouterr().out == "[lenet5] starts again\nstarts again\n"
