"""Deletions are exact: what is left is what training without the samples would have made, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cases import slow_but
from mindleak.audits.deletion import exact
from mindleak.audits.deletion.exact import ExactDeletion
from mindleak.audits.deletion.ledger import BEGUN, read_ledger
from mindleak.audits.deletion.requests import parse_request
from mindleak.audits.deletion.sharded import NONE, ShardedModel, ShardState
from mindleak.data.dataset import TEST, Dataset
from mindleak.errors import InputError
from mindleak.evaluation.signals import softmax
from mindleak.runs.digest import stable_hash
from mindleak.runs.result import RESULT_NAME, folder_files, write_record

Opened = Callable[..., ExactDeletion]
METHODS = {
    "ordinary": (),
    "momentum and decay": ("training.optimizer=momentum", "training.weight_decay=0.001", "training.schedule=cosine"),
    "adam": ("training.optimizer=adam", "training.learning_rate=0.01"),
    "suppress": ("training.method=suppress", "suppress.start_epoch=1", "suppress.mask_times=4",
                 "suppress.sparse_end=0.5"),
    "prune": ("training.method=prune", "prune.sparsity=0.5"),
    "dp_sgd": ("training.method=dp_sgd", "dp.noise_multiplier=1", "deletion.slices=1"),
}
FITTED = {
    "decision_tree": ("model.name=decision_tree",),
    "random_forest": ("model.name=random_forest", "estimator.trees=5"),
    "kmeans": ("model.name=kmeans",),
}
QUICK = ("ordinary", *FITTED)
TREE = FITTED["decision_tree"]
# What holds of networks and of models that are none alike.
both = pytest.mark.parametrize("model", [(), TREE], ids=["network", "tree"])


def one_row(deletion: ExactDeletion, folder: Path, shard: int, step: int) -> str:
    """A request for one sample of a shard's slice."""
    path = folder / f"forget-{shard}-{step}.npy"
    np.save(path, deletion.model.sharding.parts[shard][step][:1])
    return str(path)


def falsified(data: Dataset, rows: np.ndarray) -> Dataset:
    """The data with other images and labels in some rows: what was there is in none of its arrays."""
    images, labels = data.x_train.copy(), data.y_train.copy()
    images[rows] = np.random.default_rng(5).random(images[rows].shape, np.float32)
    labels[rows] = (labels[rows] + 3) % data.num_classes
    return replace(data, x_train=images, y_train=labels, digest="0" * 64)


def without(deletion: ExactDeletion, rows: np.ndarray) -> list[ShardState]:
    """All shards, made in another run directory of data in which the rows are noise."""
    plan = deletion.model.plan
    # The data set of the plan, and the one that plans beside it are given.
    plan.__dict__["dataset"] = falsified(plan.dataset, rows)
    plan.session._datasets = dict.fromkeys(plan.session._datasets, plan.dataset)
    return ShardedModel(plan, np.arange(len(plan.dataset.y_train))).run(rows)


@pytest.mark.parametrize("method", slow_but(METHODS | FITTED, *QUICK))
def test_what_is_left_is_what_training_without_the_samples_makes(opened: Opened, tmp_path: Path, method: str) -> None:
    way = (METHODS | FITTED)[method]
    deletion = opened(*way)
    before = deletion.opened().digests
    request = one_row(deletion, tmp_path, 1, 0)
    ledger, entry = deletion.delete(parse_request(request))
    never = without(opened(*way, run="elsewhere"), ledger.deleted())
    assert [state.digest for state in never] == ledger.digests == entry.after
    made = deletion.model.run(ledger.deleted())
    assert {state.slices[0].key for state in never}.isdisjoint(state.slices[0].key for state in made), "of other data"
    assert ledger.digests[0] == before[0] and ledger.digests[2] == before[2], "untouched shards keep their hash"
    assert ledger.digests[1] != before[1], "the sample had been learned from"


@both
def test_only_what_held_a_sample_is_trained_again(opened: Opened, tmp_path: Path, model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    deletion.opened()
    log = deletion.model.plan.session.run.log
    trained = len(log)
    ledger, entry = deletion.delete(parse_request(one_row(deletion, tmp_path, 2, -1)))
    computed = [event.name for event in log[trained:] if event.how == "computed"]
    last = deletion.model.sharding.slices - 1
    assert computed == [deletion.model.stage_name(2, last)]
    left = len(deletion.model.sharding.rows(2, last + 1, ledger.deleted()))
    assert entry.sample_epochs[0] == left * deletion.model.sharding.slice_epochs


@both
def test_what_saw_a_deleted_sample_is_gone_from_the_run_directory(opened: Opened, tmp_path: Path,
                                                                  model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    deletion.opened()
    stages = tmp_path / "run" / "stages"
    before = {folder.name for folder in stages.iterdir()}
    deletion.delete(parse_request(one_row(deletion, tmp_path, 0, -1)))
    after = {folder.name for folder in stages.iterdir()}
    (removed,), (added,) = before - after, after - before
    last = deletion.model.stage_name(0, deletion.model.sharding.slices - 1)
    assert removed.startswith(f"{last}-") and added[:-13] == removed[:-13]
    assert not list((tmp_path / "run" / "partial").iterdir())


@both
def test_deletions_one_after_the_other_end_where_one_of_all_ends(opened: Opened, tmp_path: Path,
                                                                 model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    deletion.opened()
    requests = [one_row(deletion, tmp_path, 0, -1), "0.01", one_row(deletion, tmp_path, 2, 0)]
    for request in requests:
        ledger, entry = deletion.delete(parse_request(request))
    assert [entry.number for entry in ledger.entries] == [1, 2, 3]
    found = opened(*model, run="at-once").model.run(ledger.deleted())
    assert [state.digest for state in found] == ledger.digests
    assert len(ledger.deleted()) == sum(entry.count for entry in ledger.entries) == len(np.unique(ledger.deleted()))
    verified = opened(*model).verify()
    assert (verified.entries, verified.retrained, verified.read) == (3, 3, 3)


@both
@pytest.mark.parametrize("when", slow_but(
    ["before the first training", "between two shards", "before old weights are removed",
     "before it is written down as done"], "between two shards"))
def test_a_killed_deletion_goes_on_and_is_not_made_twice(opened: Opened, tmp_path: Path, when: str,
                                                         model: tuple[str, ...],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    request = "0.02"
    undisturbed = opened(*model, run="undisturbed").delete(parse_request(request))[0]

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    deletion = opened(*model)
    deletion.opened()
    with monkeypatch.context() as patched:
        if when == "before the first training":
            patched.setattr(ShardedModel, "run", kill)
        elif when == "between two shards":
            shard = ShardedModel.shard
            patched.setattr(ShardedModel, "shard", lambda sharded, number, deleted: kill() if number == 1
                            else shard(sharded, number, deleted))
        elif when == "before old weights are removed":
            patched.setattr(ExactDeletion, "_remove_others", kill)
        else:
            patched.setattr(exact.Ledger, "finished", kill)
        with pytest.raises(KeyboardInterrupt):
            deletion.delete(parse_request(request))
    left = read_ledger(tmp_path / "run")
    assert left is not None and left.entries[-1].state == BEGUN
    with pytest.raises(InputError, match="deletion 1 of .* was begun and not finished"):
        opened(*model).verify()
    call = opened(*model).begin([parse_request(request)])
    ledger, entry = read_ledger(tmp_path / "run"), call.finished
    assert ledger is not None and entry is not None and call.left == [], "not made twice"
    assert len(ledger.entries) == 1 and entry.state == "done"
    assert ledger.digests == undisturbed.digests and entry.rows_digest == undisturbed.entries[0].rows_digest
    opened(*model).verify()


@pytest.mark.parametrize("model", [("training.epochs=30",), TREE], ids=["network", "tree"])
def test_the_most_exposed_are_those_that_their_own_shard_is_surest_of(opened: Opened, model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    ledger, entry = deletion.delete(parse_request("exposed:4"))
    rows = ledger.rows(entry)
    before = opened(*model, run="again")
    exposure = before._exposure(np.arange(len(before._labels)), NONE)
    assert set(rows) == set(np.argsort(-exposure, kind="stable")[:4])


def alter(path: Path, change: object) -> None:
    """Change a ledger as somebody who can compute its checksum anew."""
    body = json.loads(path.read_text())
    body.pop("checksum")
    change(body)  # type: ignore[operator]
    path.write_text(json.dumps({**body, "checksum": stable_hash(body)}))


@both
def test_a_tampered_ledger_is_caught(opened: Opened, tmp_path: Path, model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    deletion.opened()
    deletion.delete(parse_request(one_row(deletion, tmp_path, 0, 0)))
    deletion.delete(parse_request(one_row(deletion, tmp_path, 1, 0)))
    path = tmp_path / "run" / "deletions.json"
    whole = path.read_bytes()

    def refused(complaint: str) -> None:
        with pytest.raises(InputError, match=complaint):
            opened(*model).verify()
        path.write_bytes(whole)

    path.write_bytes(whole.replace(b'"count": 1', b'"count": 2', 1))
    refused("its checksum does not fit")
    path.write_bytes(whole[:-20])
    refused("is damaged")
    alter(path, lambda body: body["entries"][0].update(when="2020-01-01T00:00:00+00:00"))
    refused("deletion 2 does not follow from what is before it")
    alter(path, lambda body: body["entries"].pop(0))
    refused("deletion 1 does not follow")
    alter(path, lambda body: body["entries"].pop())
    refused("shard 1 as it is after 1 deletions is not in")
    # The last entry has no successor whose chain would break.
    alter(path, lambda body: body["entries"][1]["after"].__setitem__(1, "0" * 64))
    refused("shard 1, in the run directory, has the digest .*; the ledger records 000000000000")
    alter(path, lambda body: body["entries"][1].update(first_slices={"2": 0}))
    refused("deletion 2 touches other shards or slices than it records")
    alter(path, lambda body: body["head"].update(seed=1))
    refused("is of another model|does not follow")
    rows = tmp_path / "run" / "deletions" / "0002.npy"
    np.save(rows, np.load(rows) + 1)
    refused("its rows are not those that deletion 2")


@pytest.mark.parametrize(("model", "what"), [((), "weights.ckpt"), (TREE, "arrays.npz"), (TREE, "digest")],
                         ids=["weights", "answers", "fitted model"])
def test_a_forged_shard_with_a_forged_ledger_is_caught_by_training_again(opened: Opened, tmp_path: Path,
                                                                         model: tuple[str, ...], what: str) -> None:
    # All that training leaves out is the deleted sample; whoever forges stage, checksums and ledger passes all else.
    deletion = opened(*model)
    deletion.opened()
    ledger, _ = deletion.delete(parse_request(one_row(deletion, tmp_path, 1, -1)))
    other, forged, _ = (state.slices[-1].path for state in deletion.model.run(ledger.deleted()))
    record = json.loads((forged / RESULT_NAME).read_text())
    record.pop("checksum")
    if what in record["result"]:
        record["result"][what] = json.loads((other / RESULT_NAME).read_text())["result"][what]
    else:
        (forged / what).write_bytes((other / what).read_bytes())
    write_record(forged, {**record, "files": folder_files(forged)})
    with pytest.raises(InputError, match="shard 1, in the run directory, has the digest"):
        opened(*model).verify()
    found = opened(*model).model.found(1, ledger.deleted())
    assert found is not None
    alter(ledger.path, lambda body: body["entries"][0]["after"].__setitem__(1, found.digest))
    with pytest.raises(InputError, match="shard 1, trained again from nothing, has the digest"):
        opened(*model).verify()


@both
def test_a_copy_of_an_old_shard_in_the_run_directory_is_found(opened: Opened, tmp_path: Path,
                                                              model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    deletion.opened()
    stages = tmp_path / "run" / "stages"
    old = next(stages.glob(f"{deletion.model.stage_name(0, 0)}-*"))
    kept = tmp_path / "kept"
    shutil.copytree(old, kept)
    deletion.delete(parse_request(one_row(deletion, tmp_path, 0, 0)))
    assert not old.exists()
    shutil.copytree(kept, old)
    with pytest.raises(InputError, match="holds shard 0 from before a deletion, or after one"):
        opened(*model).verify()


@both
def test_an_untouched_shard_that_is_not_the_recorded_one_stops_a_deletion(opened: Opened, tmp_path: Path,
                                                                          model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    ledger = deletion.opened()
    alter(ledger.path, lambda body: body["initial"].__setitem__(0, "0" * 64))
    with pytest.raises(InputError, match="shard 0, which this deletion does not touch, has the digest"):
        opened(*model).delete(parse_request(one_row(deletion, tmp_path, 1, -1)))


def test_another_model_does_not_take_over_the_ledger(opened: Opened, tmp_path: Path) -> None:
    opened().opened()
    alter(tmp_path / "run" / "deletions.json", lambda body: body["head"].update(shards=4))
    with pytest.raises(InputError, match="is of another model: its shards is 4, this one's 3; give another --run_dir"):
        opened().opened()
    with pytest.raises(InputError, match="has no ledger of deletions"):
        opened(run="empty").verify()


@pytest.mark.parametrize(("assignments", "complaint"), [
    (("deletion.shards=700", "deletion.slices=2"), "no more slices in all than the 1297 samples"),
    (("deletion.shards=50", "deletion.slices=2"), "shard 0 has 13 samples in its first slice, fewer than .* 16"),
    (METHODS["dp_sgd"][:2], "deletion.slices is 2; expected 1 with training.method=dp_sgd"),
    ((*TREE, "deletion.slices=5"), "^deletion.slices is 5; expected 1 for decision_tree, which is fitted in one pass$"),
    ((*TREE, "deletion.shards=200"), "^shard 0 has no image of class .* among its 7, and decision_tree has no answer"),
    ((*FITTED["kmeans"], "estimator.centroids=50"), "which is 500 .*'kmeans', shard 0, is fitted to 433 images"),
])
def test_what_cannot_be_deleted_from_exactly_is_refused(opened: Opened, assignments: tuple[str, ...],
                                                        complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        opened(*assignments)


def test_a_deletion_that_leaves_a_slice_less_than_a_batch_is_refused(opened: Opened, tmp_path: Path) -> None:
    deletion = opened()
    deletion.opened()
    path = tmp_path / "most.npy"
    np.save(path, deletion.model.sharding.parts[0][0][:-5])
    with pytest.raises(InputError, match="shard 0 has 5 samples in its first slice"):
        deletion.delete(parse_request(str(path)))
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None and not ledger.entries, "nothing was begun"


@pytest.mark.parametrize("name", FITTED)
def test_a_deletion_that_takes_a_class_from_a_shard_of_fits_is_refused(opened: Opened, tmp_path: Path,
                                                                       name: str) -> None:
    deletion = opened(*FITTED[name])
    deletion.opened()
    rows, labels = deletion.model.sharding.parts[1][0], deletion.model.plan.dataset.y_train
    path = tmp_path / "fours.npy"
    np.save(path, rows[labels[rows] == 4])
    with pytest.raises(InputError, match=fr"^shard 1 has no image of class 4 among its \d+, and {name} has no answer "
                                         "for a class that it was not fitted to; expected a smaller deletion, or fewer "
                                         "deletion.shards from the start$"):
        deletion.delete(parse_request(str(path)))
    with pytest.raises(InputError, match="shard 0 has no image of class 4"):
        deletion.delete(parse_request("class:4"))
    ledger = read_ledger(tmp_path / "run")
    assert ledger is not None and not ledger.entries, "nothing was begun"


@both
def test_all_shards_answer_together(opened: Opened, model: tuple[str, ...]) -> None:
    deletion = opened(*model)
    states = deletion.model.run(NONE)
    rows = np.arange(30)
    each = deletion.model.shard_logits(states, TEST, rows)
    mean = np.mean([softmax(logits.astype(np.float64)) for logits in each], axis=0)
    np.testing.assert_allclose(np.exp(deletion.model.logits(states, TEST, rows)), mean, rtol=1e-5)
    voting = opened(*model, "deletion.aggregate=vote", run="voting").model
    states = voting.run(NONE)
    votes = np.stack([(each.argmax(2) == label).sum(0) for label in range(10)], axis=1)
    answered = np.exp(voting.logits(states, TEST, rows))
    np.testing.assert_allclose(answered.sum(1), 1, rtol=1e-5)
    assert (votes[np.arange(30), answered.argmax(1)] == votes.max(1)).all()


def test_dropout_makes_no_exact_deletion(opened: Opened, tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text("from mindspore import nn\n\n\nclass Net(nn.SequentialCell):\n    def __init__(self):\n"
                      "        super().__init__(nn.Flatten(), nn.Dropout(p=0.2), nn.Dense(64, 10))\n")
    with pytest.raises(InputError, match="has dropout .* needs a network whose training repeats itself bit by bit"):
        opened(f"model.name={source}:Net", "model.hidden_size=128")


def test_a_shard_that_holds_more_than_weights_answers_with_what_it_was_trained_with(opened: Opened,
                                                                                    tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text("import numpy as np\nfrom mindspore import Tensor, nn\n\n\nclass Net(nn.Cell):\n"
                      "    def __init__(self):\n        super().__init__()\n        self.flatten = nn.Flatten()\n"
                      "        self.signs = Tensor(np.sign(np.random.randn(1, 64)).astype(np.float32))\n"
                      "        self.dense = nn.Dense(64, 10)\n\n    def construct(self, x):\n"
                      "        return self.dense(self.flatten(x) * self.signs)\n")
    deletion = opened(f"model.name={source}:Net", "model.hidden_size=128", "training.epochs=10",
                      "training.learning_rate=0.1")
    states, truth = deletion.model.run(NONE), deletion.model.plan.dataset.y_test
    watched = [state.slices[-1].metrics["history"][-1]["val_accuracy"] for state in states]
    answered = (deletion.model.shard_logits(states, TEST).argmax(axis=2) == truth).mean(axis=1)
    np.testing.assert_allclose(answered, watched)
    assert (answered > .6).all()
