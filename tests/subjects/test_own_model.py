"""A network of the user's own: from Python in ten lines, and from the command line with a file and a checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import mindleak
from mindleak import device
from mindleak import settings as config
from mindleak.cli import main
from mindleak.data.catalogue import load
from mindleak.errors import InputError
from mindleak.jobs.session import open_session
from mindleak.models import registry
from mindleak.subjects.own import Subject, architecture, make_twin, weights_digest
from mindleak.subjects.subject import GivenSubject, SubjectPlan, subject_plans
from paths import ROOT
from records import results, said

NET_FILE = '''"""A network of the user's own, without named layers."""
from mindspore import nn


class Block(nn.Cell):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.dense = nn.Dense(inputs, outputs)
        self.act = nn.{activation}()

    def construct(self, x):
        return self.act(self.dense(x))


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.block = Block(144, 12)
        self.head = nn.Dense(12, 10)

    def construct(self, x):
        return self.head(self.block(self.flatten(x)))
'''
SETTINGS = {
    "data__image_size": 12, "training__epochs": 1, "training__batch_size": 50, "judge__model": "lstm_rnn",
    "judge__epochs": 1, "inversion__images": 2, "inversion__iterations": 2, "membership__target_in": 150,
    "membership__target_out": 150, "membership__population": 10, "membership__shadow_pool": 500,
    "membership__shadows": 2, "membership__attack__epochs": 2,
}
OPTIONS = [f"--set={key.replace('__', '.')}={value}" for key, value in SETTINGS.items()]
MEMBERS = np.arange(0, 1297, 6)


class Own(nn.Cell):
    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(144, hidden)
        self.relu = nn.ReLU()
        self.head = nn.Dense(hidden, 10)

    def construct(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.hidden(self.flatten(x))))


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def own(hidden: int = 12, seed: int = 99) -> Own:
    with device.seeded(seed):
        network = Own(hidden)
    return taught(network, network.hidden)


def taught(network: Any, hidden: nn.Dense) -> Any:
    """Fit the head to the digits by least squares, so that the answers fit the images."""
    data = load("digits", None, 12, "bilinear")
    weight, bias = hidden.weight.asnumpy(), hidden.bias.asnumpy()
    features = np.maximum(data.x_train.reshape(-1, 144) @ weight.T + bias, 0)
    fit = np.linalg.lstsq(np.hstack([features, np.ones((len(features), 1))]), 8 * np.eye(10)[data.y_train], rcond=None)
    network.head.weight.set_data(Tensor(np.ascontiguousarray(fit[0][:-1].T, np.float32)))
    network.head.bias.set_data(Tensor(fit[0][-1].astype(np.float32)))
    return network


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET_FILE.replace("{activation}", "ReLU"))
    return path


@pytest.fixture
def user_files(tmp_path: Path, net_file: Path) -> list[str]:
    """--model and --ckpt of a trained network."""
    network = registry.build(f"{net_file}:Net", (1, 12, 12), 10, 4)
    taught(network, network.block.dense)
    ms.save_checkpoint(network, str(tmp_path / "net.ckpt"))
    return ["--model", f"{net_file}:Net", "--ckpt", str(tmp_path / "net.ckpt")]


def run_in(folder: Path) -> list[str]:
    return ["--run_dir", str(folder / "run"), "--ckpt_dir", str(folder / "ckpt"), *OPTIONS]


def test_importing_the_package_does_not_load_mindspore() -> None:
    code = ("import sys, mindleak; assert {'Subject', 'audit', 'InputError'} <= set(dir(mindleak)); "
            "mindleak.InputError; assert not {'mindspore', 'mindarmour', 'scipy'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_those_of_the_rooms() -> None:
    from mindleak.jobs.audit import audit

    assert mindleak.Subject is Subject and mindleak.audit is audit and mindleak.InputError is InputError
    assert set(mindleak.__all__) <= set(dir(mindleak))
    with pytest.raises(AttributeError, match="no attribute 'subject'"):
        _ = mindleak.subject


@pytest.mark.slow
def test_ten_lines_of_python_give_a_report(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("indices.npy", MEMBERS)
    net = own()
    net.set_train(True)
    weights, names = weights_digest(net), [parameter.name for parameter in net.get_parameters()]

    subject = mindleak.Subject(network=net, members=np.load("indices.npy"), name="mine")
    report = mindleak.audit(subject, data="digits", run_dir="runs/mine", **SETTINGS)

    assert report.path == tmp_path / "runs/mine/report.html" and report.path.is_file()
    written = json.loads((tmp_path / "runs/mine/report.json").read_text())
    assert written.pop("checksum") and written == json.loads(json.dumps(report.document))
    assert [record["id"] for record in written["subjects"]] == ["mine"]
    assert written["subjects"][0]["training"] == "elsewhere" and written["subjects"][0]["n_train"] == len(MEMBERS)
    (inverted,), (shadows,) = results(written, "inversion"), results(written, "membership", "shadows")
    assert inverted["layer"] == "logits" and inverted["subject"] == "mine"
    assert shadows["n_in"] == shadows["n_out"] == 150
    assert shadows["shadow_recipe"]["training"]["epochs"] == 1
    assert written["skipped"] == []
    # The user's network is as it was, so a second audit of it has nothing to do.
    assert weights_digest(net) == weights and [parameter.name for parameter in net.get_parameters()] == names
    capsys.readouterr()
    again = mindleak.audit(mindleak.Subject(net, MEMBERS, "mine"), run_dir="runs/mine", **SETTINGS)
    assert all(stage["cached"] for stage in again.document["provenance"]["stages"])
    assert "already done" in capsys.readouterr().out
    # Trained further, it is another subject; its shadows stay what they were.
    net.head.bias.set_data(Tensor(np.ones(10, np.float32)))
    other = mindleak.audit(subject, run_dir="runs/mine", **SETTINGS)
    computed = {stage["name"] for stage in other.document["provenance"]["stages"] if not stage["cached"]}
    assert computed == {"inversion-mine", "membership-mine"}


def test_without_members_the_audit_skips_membership_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                                 user_files: list[str]) -> None:
    assert main(["audit", *user_files, *run_in(tmp_path)]) == 0
    document = json.loads((tmp_path / "run/report.json").read_text())
    assert results(document, "membership", "shadows") == [] and len(results(document, "inversion")) == 1
    (skipped,) = document["skipped"]
    assert skipped["subject"] == "net" and skipped["family"] == "membership" and "--members" in skipped["reason"]
    assert any("Not done: membership on net" in sentence for sentence in said(document))
    assert "needs to know what it was trained on" in (tmp_path / "run/report.html").read_text()
    assert capsys.readouterr().err == ""


def test_without_members_attack_membership_refuses_with_one_line(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], user_files: list[str]) -> None:
    assert main(["attack", "membership", *user_files, *run_in(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "--members indices.npy" in captured.err
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()


def test_with_members_attack_membership_works_from_a_file(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], user_files: list[str]) -> None:
    np.save(tmp_path / "indices.npy", MEMBERS)
    members = ["--members", str(tmp_path / "indices.npy")]
    assert main(["attack", "membership", *user_files, *members, *run_in(tmp_path)]) == 0
    document = json.loads((tmp_path / "run/report-membership.json").read_text())
    assert results(document, "membership", "shadows")[0]["subject"] == "net" and results(document, "inversion") == []
    assert {stage["name"] for stage in document["provenance"]["stages"]} == {
        "train-net-shadow0", "train-net-shadow1", "asked-net-shadow0", "asked-net-shadow1", "membership-net"}


@pytest.mark.parametrize("content, complaint", [
    (np.array([1, 2, 2]), "row 2 is listed more than once"),
    (np.array([1, 5000]), "row 5000 is outside the training split"),
    (np.array([0.5, 1.5]), "expected row numbers"),
    (np.ones(1297, bool), "look like a mask"),
])
def test_members_that_are_no_rows_are_refused(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], user_files: list[str], content: np.ndarray,
        complaint: str) -> None:
    np.save(tmp_path / "indices.npy", content)
    members = ["--members", str(tmp_path / "indices.npy")]
    assert main(["attack", "membership", *user_files, *members, *run_in(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err
    with pytest.raises(InputError, match=complaint):
        mindleak.audit(Subject(own(), content), run_dir=tmp_path / "python", **SETTINGS)


def python_plan(folder: Path, subject: Subject) -> SubjectPlan:
    merged = config.load(None, ["data.image_size=12"])
    return subject_plans(open_session(merged, str(folder / "run"), str(folder / "ckpt"), "test"), subject)[0]


def checkpoint_plan(folder: Path, name: str, *assignments: str) -> SubjectPlan:
    ms.save_checkpoint(registry.build(name, (1, 12, 12), 10, 4), str(folder / "net.ckpt"))
    merged = config.load(None, ["data.image_size=12", f"model.name={name}",
                                f"model.checkpoint={folder / 'net.ckpt'}", *assignments])
    return subject_plans(open_session(merged, str(folder / "run"), str(folder / "ckpt"), "test"))[0]


def plans_of_every_origin() -> list[Callable[[Path], SubjectPlan]]:
    def from_file(folder: Path) -> SubjectPlan:
        (folder / "net.py").write_text(NET_FILE.replace("{activation}", "ReLU"))
        return checkpoint_plan(folder, f"{folder / 'net.py'}:Net")

    def from_registry(folder: Path) -> SubjectPlan:
        return checkpoint_plan(folder, "lenet5_bias")

    def recurrent(folder: Path) -> SubjectPlan:
        return checkpoint_plan(folder, "lstm_rnn")

    def from_class(folder: Path) -> SubjectPlan:
        return python_plan(folder, Subject(own()))

    def from_callable(folder: Path) -> SubjectPlan:
        return python_plan(folder, Subject(own(20), make=lambda: Own(20)))

    return [from_file, from_registry, recurrent, from_class, from_callable]


@pytest.mark.parametrize("make_plan", plans_of_every_origin(), ids=lambda make: make.__name__)
def test_shadows_start_from_weights_of_their_own(tmp_path: Path, make_plan: Callable[[Path], SubjectPlan]) -> None:
    plan = make_plan(tmp_path)
    assert isinstance(plan, GivenSubject)
    starts = [weights_digest(plan.make_network(seed)) for seed in (1, 2, 1)]
    assert starts[0] == starts[2], "one seed, one start"
    assert starts[0] != starts[1], "two shadows, two starts"
    assert weights_digest(plan.given.network) not in starts, "no shadow starts from the trained weights"


def test_twins_leave_the_random_state_of_the_user_alone() -> None:
    np.random.seed(5)
    expected = np.random.RandomState(5).random(2)
    make_twin(Subject(own()), lambda: Own(), 1)
    np.testing.assert_array_equal(np.random.random(2), expected)


trained = own()


@pytest.mark.parametrize("make, complaint", [
    (lambda: Own(13), "parameters of other shapes"),
    (lambda: trained, "returns the trained weights"),
    (lambda: own(12, 99), "returns the trained weights"),
    (lambda: None, "returns a NoneType"),
    (lambda: 1 / 0, "fails \\(ZeroDivisionError"),
    (lambda hidden: Own(hidden), "fails \\(TypeError"),
])
def test_a_twin_that_is_none_is_refused(make: Callable[..., Any], complaint: str) -> None:
    with pytest.raises(InputError, match=f"{complaint}.*give Subject\\(make"):
        make_twin(Subject(trained), make, 1)


def test_a_class_with_another_default_size_is_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Own\(\) makes a network with parameters of other shapes"):
        mindleak.audit(Subject(own(20), MEMBERS), run_dir=tmp_path / "run", attacks="membership", **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("subject, complaint", [
    (Subject("net.ckpt"), "network is a str; expected a mindspore.nn.Cell"),  # type: ignore[arg-type]
    (Subject(nn.Flatten()), r"returns shape \(2, 144\) for 2 images"),
    (Subject(trained, name="my net"), "name is 'my net'; expected letters"),
    (Subject(trained, name="../up"), "cannot be|expected"),
])
def test_subjects_that_cannot_be_are_refused(tmp_path: Path, subject: Subject, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        mindleak.audit(subject, run_dir=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("attacks, complaint", [
    (("invertion",), "attack 'invertion' is unknown; did you mean 'inversion'"),
    ("all", "attack 'all' is unknown"),
    ((), "no attack asked for"),
])
def test_unknown_attacks_are_refused(tmp_path: Path, attacks: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        mindleak.audit(Subject(trained), run_dir=tmp_path, attacks=attacks)


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="membership.shadow"):
        mindleak.audit(Subject(trained), run_dir=tmp_path, membership__shadow=3)


def test_what_a_network_computes_is_told_apart_from_its_weights(tmp_path: Path) -> None:
    def build(activation: str, seed: int) -> nn.Cell:
        path = tmp_path / activation / "net.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(NET_FILE.replace("{activation}", activation))
        return registry.build(f"{path}:Net", (1, 12, 12), 10, seed)

    relu, other_weights = build("ReLU", 1), build("ReLU", 2)
    assert architecture(relu) == architecture(other_weights)
    assert weights_digest(relu) != weights_digest(other_weights) == weights_digest(build("ReLU", 2))
    assert architecture(build("Tanh", 1)) != architecture(relu), "a Cell inside the network counts"
    assert architecture(nn.SequentialCell(nn.Dropout(p=0.1))) != architecture(nn.SequentialCell(nn.Dropout(p=0.2)))


def test_images_too_small_for_ssim_are_refused_before_any_training(tmp_path: Path) -> None:
    digits = load("digits", None, None, "bilinear")
    assert digits.image_shape == (1, 8, 8)
    network = registry.build("lstm_rnn", digits.image_shape, 10, 0, {"hidden_size": 4})
    with pytest.raises(InputError, match="at least 11x11 pixels, not 8x8; set data.image_size"):
        mindleak.audit(Subject(network), run_dir=tmp_path / "run", attacks="inversion")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_subject_trained_on_nearly_everything_is_still_inverted(tmp_path: Path) -> None:
    report = mindleak.audit(Subject(own(20), np.arange(1200), "greedy"), run_dir=tmp_path / "run",
                            **{**SETTINGS, "membership__target_in": None, "membership__target_out": None,
                               "membership__population": None, "membership__shadow_pool": None})
    assert len(results(report.document, "inversion")) == 1 and results(report.document, "membership", "shadows") == []
    (skipped,) = report.document["skipped"]
    assert "the sizes are those of membership" in skipped["reason"]


def test_a_configuration_with_subjects_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without 'subjects'"):
        recipe = ROOT / "configs" / "audit_digits_cpu.yaml"
        mindleak.audit(Subject(own(20), MEMBERS), config=str(recipe), run_dir=tmp_path)
