"""The command line: answers fast, says what it did, and ends with the right code."""

from __future__ import annotations

import csv
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from cases import slow_but
from command import SMALL, assert_refused, call, contents, fresh
from data_files import write_cifar, write_idx_set, write_stl10, write_svhn
from mindleak import __version__, cli
from mindleak.errors import InputError
from mindleak.jobs import predict as predict_job

COMMANDS = (
    *(("train",), ("predict",), ("audit",), ("report",), ("data",), ("doctor",), ("config",), ("attack",)),
    *(("attack", "inversion"), ("attack", "membership"), ("data", "list"), ("data", "verify"), ("data", "download")),
)
LONG = tuple("training.epochs=12" if "epochs" in word else word for word in SMALL)
FIGURE = re.compile(r"test accuracy (0\.\d{4}) \((0\.\d{4}) to (0\.\d{4}), n 500\)")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which ``mindleak train`` has been run once; ``out`` holds what it printed."""
    place = tmp_path_factory.mktemp("trained")
    outcome = fresh("train", *SMALL, cwd=place)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    (place / "out").write_text(outcome.out)
    return place


def another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all code of the package pass for another version's, from here on."""
    for name, module in sys.modules.items():
        if name.startswith("mindleak.") and "code_digest" in vars(module):
            monkeypatch.setattr(module, "code_digest", lambda module: f"another version of {module}")


# --- help, versions, words ----------------------------------------------------------------------------------------


def test_help_answers_at_once():
    def seconds() -> float:
        """What the process computed, however busy the machine is."""
        started = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "mindleak", "--help"], capture_output=True, check=True)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


def test_no_help_imports_anything_heavy(tmp_path):
    program = f"""
import sys
from mindleak.cli import main
for words in {[list(words) for words in ((), *COMMANDS)]!r}:
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0, words
heavy = {{"mindspore", "mindarmour", "numpy", "yaml", "matplotlib", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in COMMANDS:
        assert f"usage: mindleak {' '.join(words)}" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"mindleak {__version__}\n"


def test_every_option_of_a_run_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    page = capsys.readouterr().out
    for option in ("--config", "--model", "--ckpt", "--members", "--dataset", "--data_dir", "--device_target",
                   "--device_id", "--run_dir", "--ckpt_dir", "--seed", "--suppress_engine", "--set", "--resume",
                   "--restart"):
        assert option in page


def test_without_arguments(capfd):
    assert_refused(call(capfd), "COMMAND", "mindleak --help")


def test_abbreviations_are_no_options(capfd):
    assert_refused(call(capfd, "train", "--mod", "lenet5"), "'--mod'", "did you mean '--model'")


def test_options_are_configuration_keys():
    words = ["train", "--model", "lenet5", "--seed", "3", "--set", "training.epochs=4"]
    arguments = cli.build_parser().parse_args(words)
    assert cli.assignments(arguments) == ['model.name="lenet5"', "seed=3", "training.epochs=4"]


@pytest.mark.parametrize("text", ["a: b", "1", "null", "~", "x #y", "über", 'quo"te', "{}", "yes"])
def test_texts_reach_the_configuration_as_they_are(text):
    from mindleak import settings as config

    arguments = cli.build_parser().parse_args(["train", "--model", text])
    assert config.load(None, cli.assignments(arguments)).model.name == text


# --- exit codes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Make every command raise the given error."""

    def install(error: BaseException) -> None:
        def dispatch(*arguments: object) -> None:
            raise error

        monkeypatch.setattr(cli, "_dispatch", dispatch)
        monkeypatch.setattr(cli, "_drop_output", lambda: None)

    return install


def test_the_users_input_is_one_line_even_if_the_message_is_not(failing, capfd):
    failing(InputError("first line\n  second\tline"))
    outcome = call(capfd, "doctor")
    assert (outcome.code, outcome.err) == (2, "mindleak: first line second line\n")


@pytest.mark.parametrize(("words", "says"), [
    (("train",), "--resume"), (("audit",), "the same command"), (("attack", "inversion"), "the same command"),
    (("data", "list"), "interrupted\n"),
])
def test_interrupted(failing, capfd, words, says):
    failing(KeyboardInterrupt())
    outcome = call(capfd, *words)
    assert outcome.code == 130 and says in outcome.err and outcome.err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(failing):
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])
    failing(OSError(errno.ECHILD, "no child"))
    with pytest.raises(OSError, match="no child"):
        cli.main(["doctor"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_refuses_is_the_users(failing, capfd, number):
    failing(OSError(number, os.strerror(number), "some/file"))
    assert_refused(call(capfd, "doctor"), "some/file", os.strerror(number).lower())


def test_not_enough_memory_is_the_users(failing, capfd):
    failing(MemoryError("Unable to allocate 87.0 GiB"))
    assert_refused(call(capfd, "doctor"), "not enough memory (Unable to allocate 87.0 GiB)")


def test_a_reader_that_has_gone_is_no_fault(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "mindleak", "data", "list"], stdout=writing, stderr=subprocess.PIPE,
                          cwd=tmp_path, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk(tmp_path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "mindleak", "data", "list"], stdout=full, stderr=subprocess.PIPE,
                              cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr == b"mindleak: cannot write the output: no space left on device\n"


def test_python_m_ends_with_the_code(tmp_path):
    assert_refused(fresh("trian", cwd=tmp_path), "did you mean 'train'")


# --- training and predicting --------------------------------------------------------------------------------------


def test_training_says_what_it_trains_and_how_it_went(trained):
    lines = (trained / "out").read_text().splitlines()
    assert lines[0] == ("lenet5_bias-ordinary: lenet5_bias with 61,706 parameters on digits, 1,297 training and 500 "
                        "test images of 1x28x28, CPU")
    epochs = [line for line in lines if "epoch" in line]
    assert len(epochs) == 2
    for number, line in enumerate(epochs, 1):
        assert f"epoch   {number}/2" in line
        for part in ("train loss", "val loss", "acc", "lr 0.1"):
            assert part in line
    assert FIGURE.search(lines[3])
    for line, start in zip(lines[4:], ("checkpoint: ", "history: ", "curves: ")):
        assert line.startswith(start) and Path(line.split(maxsplit=1)[1]).is_file()


def test_training_keeps_configuration_history_curves_and_checkpoints(trained, capfd):
    run, checkpoints = trained / "runs" / "default-0", trained / "ckpt" / "default-0" / "lenet5_bias-ordinary-headline"
    with open(run / "lenet5_bias-ordinary-history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(rows[0])
    accuracy = FIGURE.search((trained / "out").read_text())
    assert accuracy is not None and float(accuracy.group(1)) == pytest.approx(float(rows[-1]["val_accuracy"]), abs=1e-4)
    assert (run / "lenet5_bias-ordinary-curves.png").read_bytes().startswith(b"\x89PNG")
    # The whole configuration: it has the defaults and what does not tell runs apart, and --config takes it again.
    from mindleak import settings as config

    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["training"]["epochs"] == 2 and saved["device"]["threads"] == 0 and saved["data"]["dir"] is None
    assert config.load(str(run / "config.yaml")) == {**saved, "name": "config"}
    again = call(capfd, "train", "--config", run / "config.yaml", "--set", "name=null", "--run_dir", run,
                 "--ckpt_dir", trained / "ckpt" / "default-0")
    assert again.code == 0 and "already trained" in again.out
    assert (checkpoints / "lenet5_bias-2_81.ckpt").is_file()
    assert list(checkpoints.glob("lenet5_bias_best-*_81.ckpt"))


def test_predicting_tells_predicted_and_actual_and_draws_them(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    outcome = call(capfd, "predict", *SMALL, "-n", "7")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "lenet5_bias-ordinary: digits, 7 of 500 test images, drawn class by class (seed 0)"
    assert lines[1].endswith("lenet5_bias-2_81.ckpt")
    from mindleak.data.catalogue import load

    truth = load("digits").y_test
    rows = [re.fullmatch(r" +(\d+)  predicted (\d)  actual (\d)(  wrong)?", line) for line in lines[2:9]]
    shown = [(int(row[1]), int(row[3])) for row in rows if row]
    assert len(shown) == 7 and shown == sorted(shown) and all(truth[row] == label for row, label in shown)
    assert len({label for _, label in shown}) == 7
    assert all((row[2] == row[3]) == (row[4] is None) for row in rows if row)
    right = sum(row[4] is None for row in rows if row)
    assert lines[9] == f"{right} of 7 right"
    picture = Path(lines[10].removeprefix("picture: "))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_predicting_by_the_best_epoch(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    outcome = call(capfd, "predict", *SMALL, "-n", "500", "--best")
    assert re.search(r"checkpoint: .*lenet5_bias_best-\d_81\.ckpt", outcome.out)
    with open(trained / "runs" / "default-0" / "lenet5_bias-ordinary-history.csv", newline="") as stream:
        highest = max(float(row["val_accuracy"]) for row in csv.DictReader(stream))
    found = re.search(r"(\d+) of 500 right", outcome.out)
    assert found and int(found.group(1)) / 500 == pytest.approx(highest, abs=1e-4)
    (path,) = (trained / "ckpt").rglob("lenet5_bias-2_81.ckpt")
    refused = call(capfd, "predict", *SMALL, "--ckpt", path, "--best")
    assert refused.code == 2 and "--best means the best checkpoint that mindleak train left" in refused.err


@pytest.mark.slow
def test_predictions_agree_with_the_accuracy_that_training_reported(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    outcome = call(capfd, "predict", *SMALL, "-n", "500")
    found = re.search(r"(\d+) of 500 right", outcome.out)
    reported = FIGURE.search((trained / "out").read_text())
    assert found and reported and int(found.group(1)) / 500 == pytest.approx(float(reported.group(1)), abs=1e-4)


def test_a_checkpoint_of_ones_own_predicts_in_a_folder_of_its_own(trained, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (path,) = (trained / "ckpt").rglob("lenet5_bias-2_81.ckpt")
    outcome = call(capfd, "predict", *SMALL, "--ckpt", path, "-n", "1")
    assert outcome.code == 0 and f"checkpoint: {path}" in outcome.out
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["lenet5_bias-2_81-0"]
    assert not (tmp_path / "ckpt").exists()


def test_classes_are_called_by_their_names(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("own.npz", x_train=rng.random((64, 28, 28)), y_train=np.arange(64) % 2, x_test=rng.random((6, 28, 28)),
             y_test=np.arange(6) % 2, class_names=np.array(["a cat", "dog"]))
    own = (*SMALL, "--dataset", "custom", "--data_dir", "own.npz")
    assert call(capfd, "train", *own).code == 0
    out = call(capfd, "predict", *own, "-n", "6").out
    assert len(re.findall(r"^ +\d  predicted (a cat|dog  )  actual (a cat|dog)", out, re.MULTILINE)) == 6


def test_showing_opens_the_saved_picture(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    shown: list[Path] = []
    monkeypatch.setattr(predict_job, "_require_display", lambda: None)
    monkeypatch.setattr(predict_job, "_show", shown.append)
    out = call(capfd, "predict", *SMALL, "-n", "2", "--show").out
    assert [f"picture: {path}" for path in shown] == [out.splitlines()[-1]]
    call(capfd, "predict", *SMALL, "-n", "2")
    assert len(shown) == 1


def test_predicting_under_another_configuration_is_refused(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    before = contents(trained)
    assert_refused(call(capfd, "predict", *SMALL, "--set", "training.weight_decay=0.1"), "another configuration",
                   "training.weight_decay is 0.0 there and 0.1 now")
    assert contents(trained) == before


def test_other_data_directories_and_threads_are_the_same_run(trained, capfd, monkeypatch):
    monkeypatch.chdir(trained)
    outcome = call(capfd, "predict", *SMALL, "-n", "1", "--data_dir", trained, "--set", "device.threads=1")
    assert (outcome.code, outcome.err) == (0, "")


# --- a second call, an interruption -------------------------------------------------------------------------------


def test_a_second_training_does_nothing_and_says_so(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "trained; test accuracy" in call(capfd, "train", *SMALL).out
    before = contents(tmp_path / "ckpt")
    outcome = call(capfd, "train", *SMALL)
    assert outcome.code == 0 and "already trained" in outcome.out and "epoch" not in outcome.out
    assert contents(tmp_path / "ckpt") == before


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of many epochs that a user has ended with Ctrl-C after the second."""
    place = tmp_path_factory.mktemp("interrupted")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mindleak", "train", *LONG], cwd=place, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        # The first epoch has its checkpoint once the second is reported.
        if "epoch   2/" in line:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=300)
    (place / "err").write_text(err)
    (place / "code").write_text(str(process.returncode))
    return place


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(interrupted):
    assert (interrupted / "code").read_text() == "130"
    err = (interrupted / "err").read_text()
    assert err.startswith("mindleak: interrupted") and "--resume" in err and err.count("\n") == 1


def test_an_unfinished_training_is_not_overwritten_without_being_asked(interrupted, capfd, monkeypatch):
    monkeypatch.chdir(interrupted)
    before = contents(interrupted / "ckpt")
    assert_refused(call(capfd, "train", *LONG), "unfinished training", "--resume", "--restart")
    assert contents(interrupted / "ckpt") == before


@pytest.mark.slow
def test_resuming_goes_on_behind_the_last_epoch(interrupted):
    (last,) = (interrupted / "ckpt").rglob("lenet5_bias-*.ckpt")
    done = int(re.search(r"-(\d+)_", last.name)[1])
    outcome = fresh("train", *LONG, "--resume", cwd=interrupted)
    assert (outcome.code, outcome.err) == (0, "")
    epochs = [int(number) for number in re.findall(r"epoch +(\d+)/12", outcome.out)]
    assert epochs == list(range(done + 1, 13))
    assert [path.name for path in (interrupted / "ckpt").rglob("lenet5_bias-*.ckpt")] == ["lenet5_bias-12_81.ckpt"]


def test_resuming_without_anything_to_resume_says_so(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = call(capfd, "train", *SMALL, "--resume")
    assert outcome.code == 0 and "no checkpoint to resume from" in outcome.out


@pytest.mark.slow
def test_a_suppress_training_is_resumed_by_the_engine_that_began_it(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (*LONG, "--set", "training.method=suppress", "--set", "suppress.mask_times=50")
    whole = call(capfd, "train", *words)
    assert (whole.code, whole.err) == (0, "")
    lines = re.findall(r"^  .* zero,? .*$", whole.out, re.MULTILINE)
    assert len(lines) == 6
    (last,) = [file for file in (tmp_path / "ckpt").rglob("*.ckpt") if "best" not in file.name]
    shutil.rmtree(tmp_path / "runs")
    # The other engine's checkpoint is another training's.
    assert_refused(call(capfd, "train", *words, "--suppress_engine", "mindarmour"), "comes from another training")
    again = call(capfd, "train", *words, "--resume")
    assert re.findall(r"^  .* zero,? .*$", again.out, re.MULTILINE) == lines
    assert "epoch" not in again.out and last.is_file()


# --- data ---------------------------------------------------------------------------------------------------------


def test_data_list(capfd, tmp_path, monkeypatch):
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    out = call(capfd, "data", "list").out
    assert re.search(r"^mnist +not here +60,000 \+ 10,000 of 1x28x28, 10 classes", out, re.MULTILINE)
    assert re.search(r"^digits +here ", out, re.MULTILINE) and re.search(r"^custom +yours ", out, re.MULTILINE)
    assert out.count("MINDLEAK_DATA_DIR") == 1
    assert f"0 of 4 files under {tmp_path}" in call(capfd, "data", "list", "--data_dir", tmp_path).out


def test_data_list_says_what_is_there_and_not_what_was_published(capfd, tmp_path):
    write_cifar(tmp_path / "cifar10" / "cifar-10-batches-bin", rows=7)
    write_svhn(tmp_path / "svhn", rows=(24, 12))
    write_stl10(tmp_path / "stl10", rows=(11, 13))
    write_idx_set(tmp_path / "mnist", rows=(30, 20), ending=".gz")
    damaged = write_idx_set(tmp_path / "kmnist")
    (tmp_path / "kmnist" / next(stem for stem in damaged if "t10k-labels" in stem)).write_bytes(b"12345")
    lines = call(capfd, "data", "list", "--data_dir", tmp_path).out.splitlines()
    said = {line.split()[0]: (line, lines[number + 2]) for number, line in enumerate(lines[:-2])}
    for name, rows, published in (("cifar10", "35 + 7", "50,000 + 10,000"), ("svhn", "24 + 12", "73,257 + 26,032"),
                                  ("stl10", "11 + 13", "5,000 + 8,000"), ("mnist", "30 + 20", "60,000 + 10,000")):
        assert " here " in said[name][0] and f" {rows} of " in said[name][0], said[name]
        assert f"not as published: {published} images" in said[name][1]
    assert " damaged " in said["kmnist"][0] and "is not an IDX file" in said["kmnist"][1]


def test_data_verify(capfd, tmp_path):
    outcome = call(capfd, "data", "verify", "mnist", "--data_dir", tmp_path)
    assert_refused(outcome, "4 of 4 files", "mindleak data download mnist")
    assert outcome.out.count("missing") == 4
    assert call(capfd, "data", "verify", "digits").out.split() == [
        "digits", "readable", "1297", "training", "and", "500", "test", "rows,", "10", "classes"]
    assert_refused(call(capfd, "data", "verify", "custom"), "data set 'custom' needs --data_dir")


def test_a_checkpoint_of_another_training_is_not_replaced_unasked(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = ("--ckpt_dir", "shared")
    assert call(capfd, "train", *SMALL, *shared, "--run_dir", "one").code == 0
    (kept,) = [file for file in (tmp_path / "shared").rglob("*.ckpt") if "best" not in file.name]
    content = kept.read_bytes()
    other = ("train", *SMALL, *shared, "--run_dir", "two", "--set", "training.weight_decay=0.001")
    for more in ((), ("--resume",)):
        assert_refused(call(capfd, *other, *more), "comes from another training", "--restart", "--ckpt_dir")
        assert kept.read_bytes() == content
    assert call(capfd, *other, "--restart").code == 0


def test_an_audit_does_not_replace_the_checkpoint_of_another_run_either(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = ("--ckpt_dir", "shared", "--set", "membership.enabled=false", "--set", "inversion.enabled=false")
    assert call(capfd, "audit", *SMALL, *shared, "--run_dir", "one").code == 0
    before = contents(tmp_path / "shared")
    other = (*SMALL, *shared, "--run_dir", "two", "--set", "training.weight_decay=0.001")
    for command in ("audit", "train"):
        assert_refused(call(capfd, command, *other), "comes from another training", "--ckpt_dir")
    assert contents(tmp_path / "shared") == before and not (tmp_path / "two").exists()
    # The same run with another version's checkpoint is this run's to replace.
    another_version(monkeypatch)
    outcome = call(capfd, "audit", *SMALL, *shared, "--run_dir", "one")
    assert outcome.code == 0 and "another version of mindleak and is replaced" in outcome.out + outcome.err
    assert contents(tmp_path / "shared") != before


@pytest.mark.slow
def test_runs_of_one_name_in_two_places_have_checkpoints_of_their_own(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, decay in (("runs/x", 0.0), ("a/x", 0.001), ("b/x", 0.002)):
        assert call(capfd, "train", *SMALL, "--run_dir", place, "--set", f"training.weight_decay={decay}").code == 0
    names = sorted(folder.name for folder in (tmp_path / "ckpt").iterdir())
    assert len(names) == 3 and names[0] == "x" and all(re.fullmatch("x-[0-9a-f]{8}", name) for name in names[1:])
    again = call(capfd, "train", *SMALL, "--run_dir", tmp_path / "a" / ".." / "a" / "x",
                 "--set", "training.weight_decay=0.001")
    assert again.code == 0 and "already trained" in again.out


@pytest.mark.parametrize("method", slow_but(["ordinary", "suppress"], "ordinary"))
def test_a_checkpoint_of_another_version_is_neither_trained_over_nor_predicted_from(
        capfd, tmp_path, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    updates = ("--set", "suppress.start_epoch=1", "--set", "suppress.mask_times=2") if method == "suppress" else ()
    words = (*SMALL, "--set", f"training.method={method}", *updates)
    assert call(capfd, "train", *words).code == 0
    assert call(capfd, "predict", *words, "-n", "1").code == 0
    another_version(monkeypatch)
    before = contents(tmp_path)
    assert_refused(call(capfd, "train", *words), "another version of mindleak", "--restart")
    assert_refused(call(capfd, "predict", *words, "-n", "1"), "another version of mindleak", "--restart", "--ckpt")
    assert contents(tmp_path) == before
    (file,) = [path for path in (tmp_path / "ckpt").rglob("*.ckpt") if "best" not in path.name]
    assert call(capfd, "predict", *words, "-n", "1", "--ckpt", file).code == 0
