"""A run computes each stage once, notices every change that matters, and mends what was damaged."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from easydict import EasyDict

from mindleak.errors import InputError
from mindleak.runs import stages
from mindleak.runs.identity import saved_identity
from mindleak.runs.stages import Run, StageContext

CONFIG = {"model": "lenet5", "training": {"epochs": 2, "lr": 1e-5}, "seed": 0}


def open_run(tmp_path: Path, device_target: str = "CPU", said: list[str] | None = None) -> Run:
    say = (lambda line: None) if said is None else said.append
    return Run.open(tmp_path / "run", CONFIG, device_target=device_target, say=say)


class Counted:
    """A ``compute`` that knows how often it ran."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, context: StageContext) -> dict[str, Any]:
        self.calls += 1
        context.save_arrays(scores=np.arange(5, dtype=np.float32), labels=np.array([1, 0], np.int32))
        context.path("curve.csv").write_text("epoch,loss\n1,0.5\n")
        return {
            "auc": {"value": np.float64(0.75), "ci": (0.7, 0.8), "n": np.int64(10)},
            "per_class": {0: 0.5},
        }


def stage(run: Run, compute: Callable[[StageContext], dict[str, Any]], **changed: Any):
    call: dict[str, Any] = {
        "name": "attack",
        "module": "mindleak.errors",
        "inputs": {"config": {"k": 2}, "data": "d" * 64},
        "seed": 0,
        "compute": compute,
    }
    return run.stage(**{**call, **changed})


def test_result_is_what_was_computed(tmp_path: Path) -> None:
    result = stage(open_run(tmp_path), Counted())
    assert result.metrics == {"auc": {"value": 0.75, "ci": [0.7, 0.8], "n": 10}, "per_class": {"0": 0.5}}
    assert sorted(result.arrays) == ["labels", "scores"]
    np.testing.assert_array_equal(result.arrays["scores"], np.arange(5, dtype=np.float32))
    assert result.path == tmp_path / "run" / "stages" / f"attack-{result.key[:12]}"
    assert not result.cached


def test_result_json_has_the_documented_fields(tmp_path: Path) -> None:
    result = stage(open_run(tmp_path), Counted())
    record = json.loads((result.path / "result.json").read_text())
    assert record["schema"] == 1
    assert record["stage"] == "attack"
    assert record["key"] == result.key
    assert record["inputs"] == {"config": {"k": 2}, "data": "d" * 64}
    assert record["seed"] == 0
    assert record["device_target"] == "CPU"
    assert set(record["versions"]) == {"mindspore", "mindarmour", "numpy", "mindleak"}
    assert record["versions"]["numpy"] == np.__version__
    assert record["seconds"] >= 0
    assert set(record["files"]) == {"arrays.npz", "curve.csv"}


def test_second_run_computes_nothing(tmp_path: Path) -> None:
    compute = Counted()
    first = stage(open_run(tmp_path), compute)
    run = open_run(tmp_path)
    second = stage(run, compute)
    assert compute.calls == 1
    assert second.cached
    assert (second.metrics, second.digest, second.seconds) == (first.metrics, first.digest, first.seconds)
    assert [(event.name, event.how) for event in run.log] == [("attack", "cached")]


def test_the_log_has_a_stage_once(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    stage(run, Counted())
    stage(run, Counted())
    stage(run, Counted(), name="other")
    assert [event.how for event in run.log] == ["computed", "computed"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"name": "attack2"},
        {"inputs": {"config": {"k": 3}, "data": "d" * 64}},
        {"inputs": {"config": {"k": 2.0}, "data": "d" * 64}},
        {"inputs": {"config": {"k": 2}, "data": "e" * 64}},
    ],
)
def test_what_matters_changes_the_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    run, compute = open_run(tmp_path), Counted()
    assert stage(run, compute).key != stage(run, compute, **changed).key
    assert compute.calls == 2


def test_device_version_and_source_change_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted()
    keys = [stage(open_run(tmp_path), compute).key]
    keys.append(stage(open_run(tmp_path, device_target="Ascend"), compute).key)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "installed_versions", lambda: {"mindspore": "2.10.0"})
        keys.append(stage(open_run(tmp_path), compute).key)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "code_digest", lambda module: f"edited {module}")
        keys.append(stage(open_run(tmp_path), compute).key)
    keys.append(stage(open_run(tmp_path), compute, module="mindleak.printable").key)
    assert len(set(keys)) == 5
    assert stage(open_run(tmp_path), compute).key == keys[0]
    assert compute.calls == 5


def damage_result(path: Path) -> None:
    text = (path / "result.json").read_text()
    (path / "result.json").write_text(text.replace('"value": 0.75', '"value": 0.95'))


def damage_array(path: Path) -> None:
    content = bytearray((path / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "arrays.npz").write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "altered result": (damage_result, "does not match its checksum"),
    "altered array": (damage_array, "not the ones it lists"),
    "missing array": (lambda path: (path / "arrays.npz").unlink(), "not the ones it lists"),
    "added file": (lambda path: (path / "more.npz").write_bytes(b""), "not the ones it lists"),
    "missing result": (lambda path: (path / "result.json").unlink(), "is missing"),
    "truncated result": (lambda path: os.truncate(path / "result.json", 40), "cannot be read"),
    "binary result": (lambda path: (path / "result.json").write_bytes(b"\xff\xfe"), "cannot be read"),
    "other schema": (lambda path: (path / "result.json").write_text('{"schema": 9}'),
                     "is of schema 9, which another version of mindleak writes; expected 1"),
    "no object": (lambda path: (path / "result.json").write_text("[]"), "holds no record"),
}


@pytest.mark.parametrize("case", list(DAMAGES))
def test_damaged_stage_is_computed_again_with_one_line(tmp_path: Path, case: str) -> None:
    damage, reason = DAMAGES[case]
    compute = Counted()
    first = stage(open_run(tmp_path), compute)
    damage(first.path)
    said: list[str] = []
    second = stage(open_run(tmp_path, said=said), compute)
    assert compute.calls == 2
    assert not second.cached
    assert (second.digest, second.metrics) == (first.digest, first.metrics)
    assert len(said) == 1
    assert "\n" not in said[0]
    assert said[0].startswith(f"stage attack-{first.key[:12]} is computed again: ")
    assert reason in said[0]
    assert stage(open_run(tmp_path), compute).cached
    assert os.listdir(tmp_path / "run" / "partial") == []


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_checkpoint_that_is_gone_or_altered_is_trained_again(tmp_path: Path, harm: str) -> None:
    checkpoint = tmp_path / "ckpt" / "best.ckpt"
    checkpoint.parent.mkdir()

    def train(context: StageContext) -> dict[str, Any]:
        checkpoint.write_bytes(b"weights")
        context.refer("best", checkpoint)
        return {}

    result = stage(open_run(tmp_path), train)
    assert result.external == {"best": checkpoint}
    assert stage(open_run(tmp_path), train).cached
    if harm == "missing":
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(b"other")
    said: list[str] = []
    assert not stage(open_run(tmp_path, said=said), train).cached
    assert checkpoint.read_bytes() == b"weights"
    assert f"best {'is missing' if harm == 'missing' else 'was altered'} ({checkpoint})" in said[0]


def test_digest_covers_content_but_no_timing(tmp_path: Path) -> None:
    def with_metrics(metrics: dict[str, Any], seconds: float) -> str:
        run = Run.open(tmp_path / str(seconds), CONFIG, device_target="CPU")
        result = stage(run, lambda context: metrics)
        record = json.loads((result.path / "result.json").read_text())
        assert record["key"] == result.key
        return result.digest

    assert with_metrics({"auc": 0.5}, 1) == with_metrics({"auc": 0.5}, 2)
    assert with_metrics({"auc": 0.5}, 3) != with_metrics({"auc": 0.6}, 4)
    histories = [{"history": [{"loss": 0.5, "seconds": seconds}], "auc": 0.5} for seconds in (1.0, 2.0)]
    assert with_metrics(histories[0], 5) == with_metrics(histories[1], 6)


def test_config_is_saved_and_taken_again(tmp_path: Path) -> None:
    config = EasyDict({**CONFIG, "device": np.int64(3), "layers": ("conv1", "fc1"), "data_dir": Path("/d")})
    Run.open(tmp_path / "run", config, device_target="CPU")
    for name in ("config.yaml", "identity.yaml"):
        assert yaml.safe_load((tmp_path / "run" / name).read_text()) == saved_identity(tmp_path / "run")
    assert saved_identity(tmp_path / "run")["layers"] == ["conv1", "fc1"]
    run = Run.open(tmp_path / "run", config, device_target="CPU")
    assert run.config["training"] == {"epochs": 2, "lr": 1e-5}


def test_the_whole_config_is_kept_for_the_reader_and_not_compared(tmp_path: Path) -> None:
    for threads in (1, 2):
        Run.open(tmp_path / "run", CONFIG, device_target="CPU", whole={**CONFIG, "threads": threads})
        assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == {**CONFIG, "threads": threads}
        assert saved_identity(tmp_path / "run") == CONFIG


def test_a_config_of_the_users_own_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("mine: 1\n")
    with pytest.raises(InputError, match="is no run directory: it has no identity.yaml; give another --run_dir"):
        open_run(tmp_path)
    assert (tmp_path / "run" / "config.yaml").read_text() == "mine: 1\n"


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({**CONFIG, "training": {"epochs": 3, "lr": 1e-5}}, "training.epochs is 2 there and 3 now"),
        ({**CONFIG, "training": {"epochs": 2}}, "training.lr is 1e-05 there and absent now"),
        ({**CONFIG, "extra": [1]}, "extra is absent there and [1] now"),
        ({**CONFIG, "seed": None}, "seed is 0 there and None now"),
    ],
)
def test_other_config_is_refused_naming_key_and_values(
    tmp_path: Path, other: dict[str, Any], difference: str
) -> None:
    open_run(tmp_path)
    with pytest.raises(InputError) as caught:
        Run.open(tmp_path / "run", other, device_target="CPU")
    assert difference in str(caught.value)
    assert "--run_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert saved_identity(tmp_path / "run") == CONFIG


EARLIER = {"model": "lenet5", "training": {"epochs": 2}, "gone": {"depth": 3}}
DEFAULTS = {"model": "mlp", "training": {"epochs": 1, "lr": 1e-5}, "seed": 0, "rates": (1, 2)}


def open_earlier(tmp_path: Path, say: Callable[[str], None], **now: Any) -> Run:
    """Open a run directory of an earlier version, which knew ``EARLIER``."""
    return Run.open(tmp_path / "run", {**CONFIG, **now}, device_target="CPU", defaults=DEFAULTS, say=say)


def test_a_run_of_an_earlier_version_goes_on_with_one_line_said(tmp_path: Path) -> None:
    compute, said = Counted(), list[str]()
    stage(Run.open(tmp_path / "run", EARLIER, device_target="CPU"), compute)
    for _ in range(2):
        assert stage(open_earlier(tmp_path, said.append, rates=(1, 2)), compute).cached
    assert said == [f"{tmp_path}/run was made by another version of mindleak, with settings that this one does not "
                    "know (gone.depth); stages that they changed are computed again"]
    assert saved_identity(tmp_path / "run") == {**CONFIG, "rates": [1, 2]}


def test_a_default_that_changes_after_its_key_was_written_down_is_noticed(tmp_path: Path) -> None:
    Run.open(tmp_path / "run", EARLIER, device_target="CPU")
    open_earlier(tmp_path, lambda line: None)
    with pytest.raises(InputError, match="another configuration: seed is 0 there and 1 now"):
        Run.open(tmp_path / "run", {**CONFIG, "seed": 1}, device_target="CPU", defaults={**DEFAULTS, "seed": 1})


def test_a_new_key_that_is_set_is_another_configuration(tmp_path: Path) -> None:
    Run.open(tmp_path / "run", EARLIER, device_target="CPU")
    with pytest.raises(InputError, match="another configuration: seed is absent there and 7 now; give another --run_d"):
        open_earlier(tmp_path, lambda line: None, seed=7)
    assert saved_identity(tmp_path / "run") == EARLIER


def test_a_run_from_before_there_was_an_identity_goes_on_with_one_line_said(tmp_path: Path) -> None:
    compute, said = Counted(), list[str]()
    stage(open_run(tmp_path), compute)
    (tmp_path / "run" / "identity.yaml").unlink()
    assert stage(open_run(tmp_path, said=said), compute).cached
    assert said == [f"{tmp_path}/run was made by an earlier version of mindleak; stages that it computed otherwise are "
                    "computed again"]
    assert saved_identity(tmp_path / "run") == CONFIG


def test_unreadable_config_and_no_run_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run directory: it has no identity.yaml; give another --run_dir$"):
        saved_identity(tmp_path)
    (tmp_path / "run").mkdir()
    for content in (b"a: [1\nb: }", b"\xff\xfe\x00", b"just text"):
        (tmp_path / "run" / "identity.yaml").write_bytes(content)
        with pytest.raises(InputError, match="identity.yaml") as caught:
            open_run(tmp_path)
        assert "\n" not in str(caught.value)


def test_run_directory_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*run/identity.yaml: [a-z ]+$"):
        open_run(tmp_path)
    with pytest.raises(InputError, match=r"^cannot write /proc/run/identity.yaml: [a-z ]+$"):
        Run.open("/proc/run", CONFIG, device_target="CPU")


@pytest.mark.parametrize("taken", ["partial", "stages"])
def test_file_in_place_of_an_inner_folder_is_one_line(tmp_path: Path, taken: str) -> None:
    run = open_run(tmp_path)
    (tmp_path / "run" / taken).write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*: [a-z ]+$"):
        stage(run, Counted())


def test_disk_that_fills_up_during_a_stage_leaves_it_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="no space left on device$"):
            stage(run, Counted())
    assert list((tmp_path / "run").rglob("*.npz")) == []
    assert list((tmp_path / "run" / "partial").iterdir()) == []
    assert not stage(run, Counted()).cached


def test_plain_write_that_meets_a_full_disk_is_the_users_to_mend(tmp_path: Path) -> None:
    def draw(context: StageContext) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "curve.png")

    with pytest.raises(InputError, match="^cannot write curve.png: no space left on device$"):
        stage(open_run(tmp_path), draw)


def test_failing_stage_passes_its_error_on_and_keeps_only_the_work(tmp_path: Path) -> None:
    def fail(context: StageContext) -> dict[str, Any]:
        (context.work_dir / "step").write_text("7")
        context.save_arrays(a=np.zeros(1))
        raise ZeroDivisionError("in compute")

    def resume(context: StageContext) -> dict[str, Any]:
        return {"step": int((context.work_dir / "step").read_text())}

    with pytest.raises(ZeroDivisionError):
        stage(open_run(tmp_path), fail)
    assert list((tmp_path / "run" / "partial").iterdir()) == []
    assert not (tmp_path / "run" / "stages").exists()
    assert stage(open_run(tmp_path), resume).metrics == {"step": 7}
    assert list((tmp_path / "run" / "work").iterdir()) == []


def test_work_is_keyed_like_the_stage(tmp_path: Path) -> None:
    seen: list[Path] = []

    def note(context: StageContext) -> dict[str, Any]:
        assert list(context.work_dir.iterdir()) == []
        seen.append(context.work_dir)
        (context.work_dir / "step").write_text("1")
        return {}

    stage(open_run(tmp_path), note)
    stage(open_run(tmp_path), note, seed=1)
    assert len(set(seen)) == 2


def test_not_finite_metric_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^result\.auc is nan"):
        stage(open_run(tmp_path), lambda context: {"auc": float("nan")})
    assert not (tmp_path / "run" / "stages").exists()


def test_array_names_are_unique_within_a_stage(tmp_path: Path) -> None:
    def twice(context: StageContext) -> dict[str, Any]:
        context.save_arrays("first", a=np.zeros(1))
        context.save_arrays("second", a=np.ones(1))
        return {}

    with pytest.raises(ValueError, match="saved twice: a"):
        stage(open_run(tmp_path), twice)


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b"])
def test_name_must_be_fit_for_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a stage's name"):
        stage(open_run(tmp_path), Counted(), name=name)


def test_nothing_of_mindspore_is_imported() -> None:
    code = (
        "import sys, mindleak.runs.stages;"
        "print(sorted({'mindspore', 'mindarmour', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stage_is_done_once_it_lies_there_under_its_own_key(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", {"seed": 0}, device_target="CPU")
    asked = ("train", "mindleak.errors", {"epochs": 1}, 0)
    assert not run.is_done(*asked)
    run.stage(*asked, lambda context: {"loss": 0.5})
    assert run.is_done(*asked) and not run.is_done("train", "mindleak.errors", {"epochs": 2}, 0)
    assert not run.is_done("train", "mindleak.printable", {"epochs": 1}, 0)
    assert Run.open(tmp_path / "run", {"seed": 0}, device_target="CPU").is_done(*asked), "also for other processes"
