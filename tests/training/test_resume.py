"""Training that is interrupted and resumed ends with the weights of one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cases import slow_but
from mindleak.errors import InputError
from mindleak.training.checkpoint import CheckpointFolder, read
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.pruning import PruneSettings, PruneTraining
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest, TrainingResult
from mindleak.training.trainer import Training, is_best
from training_setup import Linear, Stochastic, data, same, seeded, train, weights

BATCH = 8


class Interrupter(EpochPrinter):
    """Presses Ctrl-C when the line of an epoch is to be printed: after its steps, before its checkpoint."""

    def __init__(self, epoch: int) -> None:
        super().__init__("", 0, enabled=False)
        self._epoch = epoch

    def epoch(self, record: EpochRecord) -> None:
        if record.epoch == self._epoch:
            raise KeyboardInterrupt


def interrupt_and_resume(recipe: Recipe, folder: Path, at: int) -> TrainingResult:
    checkpoints = CheckpointFolder(folder, "linear", 5)
    with pytest.raises(KeyboardInterrupt):
        Training.train(TrainingRequest(seeded(Linear), data(), recipe, 5, printer=Interrupter(at),
                                       checkpoints=checkpoints))
    assert f"-{at - 1}_" in checkpoints.latest().name  # type: ignore[union-attr]
    return train(recipe, folder, resume=True)


@pytest.mark.parametrize(("optimizer", "schedule"), slow_but([
    ("sgd", "cosine"), ("momentum", "plateau"), ("nesterov", "step"), ("adam", "step"), ("adam", "plateau"),
], ("momentum", "plateau"), ("adam", "step")))
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str, schedule: str) -> None:
    # A rate at which the loss goes up and down, so that the plateau schedule has something to do.
    recipe = Recipe(epochs=12, batch_size=BATCH, optimizer=optimizer, learning_rate=4.0, schedule=schedule,
                    schedule_every=2, schedule_patience=1, weight_decay=0.001)
    whole = train(recipe, tmp_path / "whole")
    resumed = interrupt_and_resume(recipe, tmp_path / "resumed", 8)
    assert same(weights(resumed.network), weights(whole.network))
    assert [record.learning_rate for record in resumed.history] == [record.learning_rate for record in whole.history]
    assert len({record.learning_rate for record in whole.history}) > 1
    assert whole.last is not None
    assert resumed.last is not None
    ours, theirs = read(resumed.last), read(whole.last)
    for name in ours:
        if name != "mindleak.history":
            np.testing.assert_array_equal(ours[name], theirs[name])
    # All but the seconds.
    np.testing.assert_array_equal(ours["mindleak.history"][:, :-1], theirs["mindleak.history"][:, :-1])
    assert resumed.best is not None
    assert whole.best is not None
    assert resumed.best.name == whole.best.name


def test_a_training_interrupted_in_its_first_epoch_starts_again(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=BATCH)
    with pytest.raises(KeyboardInterrupt):
        Training.train(TrainingRequest(seeded(Linear), data(), recipe, 5, printer=Interrupter(1),
                                       checkpoints=CheckpointFolder(tmp_path, "linear", 5)))
    assert same(weights(train(recipe, tmp_path, resume=True).network), weights(train(recipe).network))


def test_a_finished_training_resumes_to_itself(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=BATCH)
    first = train(recipe, tmp_path)
    again = train(recipe, tmp_path, resume=True)
    assert same(weights(first.network), weights(again.network))
    assert again.history == first.history
    assert [record.seconds for record in again.history] == [None, None]


def test_without_resume_a_training_starts_from_its_beginning(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=BATCH)
    first = train(recipe, tmp_path)
    again = train(recipe, tmp_path)
    assert len(again.history) == 2
    assert same(weights(first.network), weights(again.network))
    assert again.history[0].seconds is not None and again.history[0].seconds != first.history[0].seconds


@pytest.mark.parametrize("change", [{"recipe": Recipe(epochs=3, batch_size=BATCH, learning_rate=0.1)}, {"seed": 6},
                                    {"samples": 48}], ids=["recipe", "seed", "data"])
def test_another_trainings_checkpoint_is_not_continued(tmp_path: Path, change: dict) -> None:
    train(Recipe(epochs=3, batch_size=BATCH), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(InputError, match="comes from other data, another recipe, seed or version"):
        train(**{"recipe": Recipe(epochs=3, batch_size=BATCH), **change}, folder=tmp_path, resume=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_fingerprint_covers_recipe_data_seed_and_version() -> None:
    request = TrainingRequest(seeded(Linear), data(), Recipe(), 1, version="v1")
    base = Training.fingerprint(request)
    assert base == Training.fingerprint(replace(request, network=seeded(Stochastic), recipe=Recipe(), resume=True))
    others = [{"recipe": Recipe(momentum=0.8)}, {"data": data(48)}, {"seed": 2}, {"version": "v2"}]
    assert len({base, *(Training.fingerprint(replace(request, **other)) for other in others)}) == 5
    pruned = [PruneTraining.fingerprint(replace(request, settings=PruneSettings(sparsity))) for sparsity in (0.5, 0.9)]
    assert len({base, *pruned}) == 3


def test_batch_statistics_are_resumed(tmp_path: Path) -> None:
    def network() -> Stochastic:
        made = seeded(Stochastic)
        made.dropout = type(made.flatten)()
        return made

    recipe = Recipe(epochs=3, batch_size=BATCH)
    whole = train(recipe, network=network())
    with pytest.raises(KeyboardInterrupt):
        Training.train(TrainingRequest(network(), data(), recipe, 5, printer=Interrupter(3),
                                       checkpoints=CheckpointFolder(tmp_path, "linear", 5)))
    assert same(weights(train(recipe, tmp_path, resume=True, network=network()).network), weights(whole.network))


def test_best_is_the_first_epoch_with_the_highest_validation_accuracy(tmp_path: Path) -> None:
    result = train(Recipe(epochs=6, batch_size=BATCH, learning_rate=0.5), tmp_path)
    accuracies = [record.val_accuracy for record in result.history]
    assert result.best is not None
    assert f"_best-{int(np.argmax(accuracies)) + 1}_5.ckpt" in result.best.name
    assert result.last is not None
    assert result.last.name == "linear-6_5.ckpt"
    assert [is_best(result.history[:count]) for count in range(1, 7)] == [
        accuracies[count] > max(accuracies[:count], default=-1) for count in range(6)]


# --- signals -----------------------------------------------------------------------------------------------

CHILD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from training_setup import data, seeded, Linear
    from mindleak.training.checkpoint import CheckpointFolder
    from mindleak.training.history import EpochPrinter
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingRequest
    from mindleak.training.trainer import Training

    recipe = Recipe(epochs=12, batch_size=8, optimizer="adam", learning_rate=0.01, schedule="plateau",
                    schedule_patience=1)
    Training.train(TrainingRequest(seeded(Linear), data(4000), recipe, 5, printer=EpochPrinter("", 12),
                                   checkpoints=CheckpointFolder(Path(sys.argv[1]), "linear", 500)))
    print("finished", flush=True)
""")
CHILD_RECIPE = Recipe(epochs=12, batch_size=8, optimizer="adam", learning_rate=0.01, schedule="plateau",
                      schedule_patience=1)


@pytest.mark.slow
def test_a_training_that_was_killed_and_interrupted_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole = train(CHILD_RECIPE, samples=4000)
    for number in (signal.SIGKILL, signal.SIGINT):
        folder = tmp_path / number.name
        _train_until(folder, 3, number)
        done = CheckpointFolder(folder, "linear", 500).latest()
        assert done is not None
        assert "-12_" not in done.name
        resumed = train(CHILD_RECIPE, folder, resume=True, samples=4000)
        assert same(weights(resumed.network), weights(whole.network))
        assert not [name for name in os.listdir(folder) if name.startswith(".")]


def _train_until(folder: Path, epoch: int, number: signal.Signals) -> None:
    """Train in a process of its own and send it a signal some time after an epoch's line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch {epoch:3d}/"):
            break
    time.sleep(0.05)
    process.send_signal(number)
    sent = time.perf_counter()
    rest, errors = process.communicate(timeout=300)
    assert "finished" not in rest, "the training was faster than the signal"
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else -signal.SIGINT), errors[-500:]
    assert time.perf_counter() - sent < 20
