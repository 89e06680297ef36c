"""The command line: samples deleted and verified, and an audit of deletions end to end on real digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindleak import settings
from mindleak.audits.deletion.exact import ExactDeletion
from mindleak.audits.deletion.ledger import Ledger, read_ledger
from mindleak.cli import main
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import run_audit
from mindleak.jobs.session import open_session
from records import results

SMALL = ["--dataset", "digits", "--model", "lstm_rnn", "--device_target", "CPU", "--set", "data.image_size=8", "--set",
         "model.hidden_size=8", "--set", "training.epochs=4", "--set", "deletion.shards=3", "--set",
         "deletion.slices=2"]


SMALL_TREE = ["--dataset", "digits", "--model", "decision_tree", "--device_target", "CPU", "--set", "deletion.shards=3"]


@pytest.mark.parametrize(("model", "slices"), [(SMALL, 2), (SMALL_TREE, 1)], ids=["network", "tree"])
def test_samples_are_deleted_and_the_ledger_is_verified(tmp_path: Path, model: list[str], slices: int,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    def delete(*words: str) -> int:
        folders = ["--run_dir", str(tmp_path / "run"), "--ckpt_dir", str(tmp_path / "ckpt")]
        return main(["delete", *model, *folders, *words])

    np.save(tmp_path / "forget.npy", np.array([3, 77]))
    assert delete("--forget", str(tmp_path / "forget.npy"), "--forget", "0.01") == 0
    shown = capsys.readouterr().out
    assert "deletion 1: 2 samples by request" in shown and "deletion 2: 12 samples by request '0.01'" in shown
    assert f"3 shards of {slices} slices on 1,283 samples; test accuracy" in shown
    assert delete("--verify") == 0
    verified = capsys.readouterr().out
    assert "verified: 2 deletions; 3 shards trained again without the deleted samples" in verified
    (last,) = {line for text in (shown, verified) for line in text.splitlines() if line.startswith("last hash: ")
               for line in [line.split()[2]]}
    assert len(last) == 64, "both name the same hash"
    assert delete("--forget", str(tmp_path / "forget.npy")) == 2
    assert "row 3 is not among the 1,283 samples" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["_begun", "_finished", "test_accuracy"])
def test_a_call_that_was_killed_meets_every_request_once_when_it_is_made_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    np.save(tmp_path / "forget.npy", np.array([3, 77]))
    folders = ["--run_dir", str(tmp_path / "run"), "--ckpt_dir", str(tmp_path / "ckpt")]
    words = ["delete", *SMALL_TREE, *folders, "--forget", str(tmp_path / "forget.npy"), "--forget", "0.01"]
    unharmed = getattr(ExactDeletion, where)

    def kill(deletion: ExactDeletion, ledger: Ledger, *more: object) -> Any:
        if len(ledger.entries) == {"_begun": 1}.get(where, 2):
            raise KeyboardInterrupt
        return unharmed(deletion, ledger, *more)

    with monkeypatch.context() as patched:
        patched.setattr(ExactDeletion, where, kill)
        assert main(words) == 130
    assert main(words) == 0
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None and [(entry.request, entry.state) for entry in ledger.entries] == [
        (words[-3], "done"), ("0.01", "done")]
    assert ledger.call == ledger.left == ()
    assert main([*words[:-4], "--forget", "0.01"]) == 0
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None and len(ledger.entries) == 3, "a call after its end is another one"


def test_another_call_after_a_kill_finishes_what_was_begun_and_names_what_was_not(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--run_dir", str(tmp_path / "run"), "--ckpt_dir", str(tmp_path / "ckpt")]
    words = ["delete", *SMALL_TREE, *folders]

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ExactDeletion, "_remove_others", kill)
        assert main([*words, "--forget", "0.02", "--forget", "0.03"]) == 130
    np.save(tmp_path / "forget.npy", np.array([3]))
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None
    free = np.setdiff1d(np.arange(1297), ledger.deleted())[:1]
    np.save(tmp_path / "forget.npy", free)
    capsys.readouterr()
    assert main([*words, "--forget", str(tmp_path / "forget.npy"), "--forget", "0.02"]) == 0
    said = capsys.readouterr()
    assert "an earlier call ended before it met 0.03; give what of it still stands again" in said.err + said.out
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None and [entry.request for entry in ledger.entries] == ["0.02", str(tmp_path / "forget.npy")]


@pytest.mark.parametrize(("words", "complaint"), [
    (["--forget", "1.5"], "1.5 is no fraction of the data to delete"),
    (["--forget", "clas:3"], "did you mean 'class'"),
    (["--forget", "nowhere.npy"], "nowhere.npy: no such file"),
    (["--verify"], "has no ledger of deletions"),
    (["--set", "deletion.shards=0"], "deletion.shards is 0; expected at least 1"),
    (["--model", "random_forest", "--set", "deletion.slices=2"], "deletion.slices is 2; expected 1 for random_forest"),
    (["--ckpt", "somewhere.ckpt"], "somewhere.ckpt"),
])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, words: list[str], complaint: str,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    given = {"--set": SMALL[:6], "--model": [*SMALL[:2], *SMALL[4:6]]}.get(words[0], SMALL)
    assert main(["delete", *given, "--run_dir", str(tmp_path / "run"), "--ckpt_dir", str(tmp_path / "ckpt"),
                 *words]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


AUDIT = """
data: {name: digits, image_size: 8}
model: {name: lstm_rnn, hidden_size: 32}
training: {epochs: 60, batch_size: 16, learning_rate: 0.2}
inversion: {enabled: false}
membership: {enabled: false}
deletion: {requests: [0.1], methods: [full, sharded, fine_tune, gradient_ascent], models: 6, shards: 2, members: 400}
"""


TREE = """
data: {name: digits, image_size: 8}
model: {name: decision_tree}
inversion: {enabled: false}
membership: {enabled: false}
deletion: {requests: [0.1], methods: [full, sharded], models: 6, shards: 2, members: 400}
"""


def audited(folder: Path, *assignments: str, text: str = AUDIT) -> dict[str, object]:
    path = folder / "deletion.yaml"
    path.write_text(text)
    session = open_session(settings.load(str(path), ["device.target=CPU", *assignments]), str(folder / "run"),
                           str(folder / "ckpt"), "test")
    report = run_audit(session)
    assert report is not None
    return report.document


@pytest.mark.slow
def test_an_overfitted_network_is_caught_before_and_acquitted_after_retraining(tmp_path: Path) -> None:
    document = audited(tmp_path)
    (found,) = results(document, "deletion")
    methods = {entry["method"]: entry for entry in found["methods"]}
    assert list(methods) == ["before", "full", "never", "sharded_before", "sharded", "fine_tune", "gradient_ascent"]
    assert methods["before"]["measures"]["auc/u_lira"]["value"] > .6
    low, high = methods["full"]["measures"]["auc/u_lira"]["ci"]
    assert low < .5 < high
    assert methods["fine_tune"]["measures"]["auc/u_lira"]["value"] > .58, "fine-tuning forgets nothing"
    assert methods["fine_tune"]["gaps"]["auc/u_lira"]["margin"] == .05
    assert methods["gradient_ascent"]["sample_epochs"] < methods["full"]["sample_epochs"] / 10
    verdicts = {finding["text"].split(": ")[1]: finding["verdict"] for finding in document["findings"]  # type: ignore
                if finding["family"] == "deletion" and finding["verdict"]}
    assert verdicts["fine-tuning on the rest"] == "shown" and verdicts["full retraining"] == "not shown"
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'id="deletion"' in page and "Known traps of the approximate methods" in page
    assert (tmp_path / "run" / "figures" / "deletion-0.png").stat().st_size > 5000
    with np.load(tmp_path / "run" / methods["full"]["arrays"]) as scores:
        # Every sample's scores are kept, and the figures come from them.
        for model, deleted in enumerate(scores["deleted"]):
            area = auc(scores["u_lira"][model], deleted).value
            assert methods["full"]["measures"]["auc/u_lira"]["values"][model] == pytest.approx(area)
        assert {"rows", "phi", "loss", "two_models"} < set(scores)
    again = json.loads((tmp_path / "run" / "report.json").read_text())
    assert results(audited(tmp_path), "deletion") == results(again, "deletion"), "a second call computes the same"
    (fewer,) = results(audited(tmp_path, "deletion.methods=[full]", "deletion.margin=0.1"), "deletion")
    assert [entry["sample_epochs"] for entry in fewer["methods"]] == [
        methods[name]["sample_epochs"] for name in ("before", "full", "never")], "methods and margin are no other run"


@pytest.mark.slow
def test_a_tree_is_deleted_from_by_fitting_it_or_its_shards_anew(tmp_path: Path) -> None:
    document = audited(tmp_path, text=TREE)
    (found,) = results(document, "deletion")
    methods = {entry["method"]: entry["measures"] for entry in found["methods"]}
    assert list(methods) == ["before", "full", "never", "sharded_before", "sharded"]
    assert methods["before"]["accuracy/forgotten"]["value"] == 1.0
    for method in ("full", "sharded"):
        assert methods[method]["accuracy/forgotten"]["value"] < 1.0
        low, high = methods[method]["auc/u_lira"]["ci"]
        assert low < .5 < high


@pytest.mark.parametrize(("assignment", "complaint"), [
    ("deletion.requests=[0.1, 0.1]", "deletion.requests has '0.1' twice"),
    ("deletion.requests=['class:10']", "the data have 10 classes"),
    ("deletion.requests=['group:100']", "has 'group:100', which deletes 4 of a network's 400"),
    ("deletion.requests=['exposed:3']", "has 'exposed:3', which deletes 3 of a network's 400 .* expected at least 5"),
    ("deletion.requests=['exposed:400']", "expected more than the 400 samples that 'exposed:400' deletes"),
    ("deletion.requests=['exposed:150']", "has 'exposed:150'; expected at most a third of a network's 400"),
    ("deletion.requests=[nowhere.npy]", "nowhere.npy: no such file"),
    ("deletion.validation_models=3", "deletion.validation_models is 3; expected an even number"),
    ("deletion.requests=[1.0]", "1 is no fraction of the data to delete"),
    ("deletion.requests=[0.01]", "deletes 4 of a network's 400 samples .* expected at least one of each of 10 classes"),
    ("deletion.methods=[ful]", "deletion.methods: 'ful' is unknown; did you mean 'full'"),
    ("deletion.models=7", "deletion.models is 7; expected an even number from 6 on"),
    ("deletion.models=4", "deletion.models is 4; expected at least 6"),
    ("deletion.members=1290", "deletion.members is 1290; with 129 never-seen samples"),
    ("deletion.shards=30", "samples in its first slice, fewer than training.batch_size 16"),
])
def test_what_cannot_be_audited_is_refused_before_anything_is_trained(tmp_path: Path, assignment: str,
                                                                      complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        audited(tmp_path, assignment)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("assignment", "complaint"), [
    ("deletion.requests=['class:3']", "decision_tree has no answer for a class that it was not fitted to"),
    ("deletion.methods=[sharded, scrub]", "has 'scrub', which is for networks; expected full, drop_group or sharded "
                                          "for decision_tree"),
    ("deletion.slices=2", "deletion.slices is 2; expected 1 for decision_tree"),
    ("deletion.shards=20", "shard .* has no image of class"),
])
def test_what_cannot_be_audited_of_a_tree_is_refused_before_anything_is_fitted(tmp_path: Path, assignment: str,
                                                                               complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        audited(tmp_path, assignment, text=TREE)
    assert not (tmp_path / "run").exists()
