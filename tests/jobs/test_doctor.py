"""The doctor: what it prints, and its verdict on versions that nobody has installed here."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from command import call
from data_files import write_idx_set
from mindleak import device
from mindleak.jobs import doctor

GOOD = {"mindleak": "0.1.0", "mindspore": "2.8.0", "mindarmour": "2.0.0", "numpy": "1.26.4"}


def verdict(package: str, version: str | None) -> doctor.Verdict:
    found = [each for each in doctor.verdicts({**GOOD, package: version}) if each.subject.split()[0] == package]
    assert len(found) == 1
    return found[0]


def test_the_pinned_versions_are_good():
    assert [each.level for each in doctor.verdicts(GOOD)] == ["ok", "ok", "ok"]


@pytest.mark.parametrize(("package", "version", "level", "words"), [
    ("numpy", "2.0.0", "bad", "pip install 'numpy<2'"),
    ("numpy", "2.3.1", "bad", "NumpySlicesDataset"),
    ("numpy", "2.0.0rc1", "bad", "pip install"),
    ("numpy", "1.26.4", "ok", "below 2"),
    ("numpy", None, "bad", "not installed"),
    ("mindspore", "2.9.0", "slow", "pip install mindspore==2.8.0"),
    ("mindspore", "2.10.0", "slow", "30 to 100 times slower"),
    ("mindspore", "2.9rc1", "slow", "convolution"),
    ("mindspore", "3.0", "slow", "convolution"),
    ("mindspore", "2.2.14", "untested", "pip install mindspore==2.8.0"),
    ("mindspore", None, "bad", "not installed"),
    ("mindarmour", "2.0.0", "ok", "warning"),
    ("mindarmour", "1.9.0", "untested", "pip install mindarmour==2.0.0"),
    ("mindarmour", None, "bad", "not installed"),
    ("mindarmour", "nightly", "untested", "pip install"),
])
def test_known_bad_combinations(package, version, level, words):
    found = verdict(package, version)
    assert found.level == level and words in found.text
    assert version is None or version in found.subject


def test_nothing_installed_is_three_times_bad():
    assert [each.level for each in doctor.verdicts({})] == ["bad", "bad", "bad"]


def test_the_whole_page(tmp_path, capfd, monkeypatch):
    write_idx_set(tmp_path / "mnist")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    outcome = call(capfd, "doctor", "--data_dir", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = {line.split()[0]: line for line in outcome.out.splitlines()}
    for word in ("python", "mindleak", "mindspore", "mindarmour", "numpy", "platform", "devices", "cores", "threads",
                 "data", "digits", "mnist", "cifar10", "verdicts"):
        assert word in lines
    assert "CPU" in lines["devices"]
    assert str(tmp_path / "mnist") in lines["mnist"] and " here " in lines["mnist"]
    assert "not here" in lines["kmnist"]
    assert "  OMP_NUM_THREADS=3" in outcome.out
    assert Path(sys.executable).name in lines["python"]


def test_missing_targets_say_what_they_need(capfd, monkeypatch):
    monkeypatch.setattr(device, "available_targets", lambda: ["CPU"])
    out = call(capfd, "doctor").out
    assert "no GPU        needs CUDA 11.1 or 11.6 and cuDNN 8" in out
    assert "no Ascend     needs the CANN libraries" in out


def test_without_mindspore_the_doctor_still_answers(capfd, monkeypatch):
    monkeypatch.setattr(doctor, "installed_versions", lambda: {**GOOD, "mindspore": None})
    outcome = call(capfd, "doctor")
    assert outcome.code == 0 and "devices       none: MindSpore is not installed" in outcome.out
    assert "bad       mindspore is not installed" in outcome.out


def test_a_mindspore_that_does_not_start_is_a_finding_and_no_crash(capfd, monkeypatch):
    def broken() -> list[str]:
        raise ImportError("numpy.core.multiarray failed\nto import")

    monkeypatch.setattr(device, "available_targets", broken)
    outcome = call(capfd, "doctor")
    assert outcome.code == 0
    assert "MindSpore does not start (ImportError: numpy.core.multiarray failed to import)" in outcome.out
    assert "verdicts" in outcome.out


def test_no_data_directory_is_said_once(capfd, monkeypatch):
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    out = call(capfd, "doctor").out
    assert out.count("MINDLEAK_DATA_DIR") == 1


def test_a_data_directory_that_is_none(capfd, tmp_path):
    outcome = call(capfd, "doctor", "--data_dir", tmp_path / "none")
    assert outcome.code == 0 and "is not a directory" in outcome.out


def test_judging_versions_imports_nothing_heavy(monkeypatch):
    real = builtins.__import__

    def watched(name, *rest):
        assert not name.startswith(("mindspore", "mindarmour")), name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", watched)
    list(doctor.verdicts(GOOD))
