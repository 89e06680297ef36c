"""Models trained one after the other in the same graphs are those that a process of their own would give."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

from cases import slow_but
from mindleak import device
from mindleak import settings as config
from mindleak.jobs.session import open_session
from mindleak.models import registry
from mindleak.subjects.asked import AskedTask, asked_aside
from mindleak.subjects.session import Session
from mindleak.subjects.subject import subject_plans
from mindleak.subjects.task import TrainingTask
from mindleak.training import dp, loop
from mindleak.training.compiled import CompiledTrainings
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.trainer import Training
from training_setup import same, weights

SIZES = {"lenet5": 16, "lenet5_bias": 12, "lstm_rnn": 8}
SAMPLES = 96


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def noise(size: int) -> TrainingData:
    generator = np.random.default_rng(0)
    images = generator.random((SAMPLES, 1, size, size), dtype=np.float32)
    labels = generator.integers(0, 10, SAMPLES).astype(np.int32)
    for array in (images, labels):
        array.setflags(write=False)
    return TrainingData(images, labels, images[:20], labels[:20], "noise")


@pytest.mark.parametrize("name, optimizer", slow_but(
    [("lenet5", "sgd"), ("lstm_rnn", "adam"), ("lenet5_bias", "nesterov")], ("lstm_rnn", "adam")))
def test_a_model_does_not_depend_on_those_trained_before_it(name: str, optimizer: str) -> None:
    size = SIZES[name]
    whole = noise(size)
    recipe = Recipe(epochs=2, batch_size=8, optimizer=optimizer, learning_rate=0.01, schedule="cosine")
    shelf = CompiledTrainings()
    parts = [dataclasses.replace(whole, rows=np.random.default_rng(seed).permutation(SAMPLES)[:48], digest=str(seed))
             for seed in range(2)]
    for seed, data in enumerate(parts):
        shared = Training.train(TrainingRequest(registry.build(name, (1, size, size), 10, seed), data, recipe, seed,
                                                shared=(shelf, name)))
        found, answers = weights(shared.network), shared.predict(whole.x)
        x, y = data.own()
        alone = Training.train(TrainingRequest(registry.build(name, (1, size, size), 10, seed),
                                               TrainingData(x, y, whole.x_val, whole.y_val, str(seed)), recipe,
                                               seed))
        assert same(found, weights(alone.network))
        np.testing.assert_array_equal(answers, alone.predict(whole.x))
        assert [(record.train_loss, record.val_loss) for record in shared.history] == [
            (record.train_loss, record.val_loss) for record in alone.history]


def test_private_trainings_share_their_graphs_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    original = dp._compile_steps
    monkeypatch.setattr(dp, "_compile_steps", lambda *given: compiled.append(given) or original(*given))
    whole, recipe, shelf = noise(8), Recipe(method="dp_sgd", epochs=2, batch_size=16), CompiledTrainings()
    settings = dp.DPSettings(noise_multiplier=1.0, delta=1e-3)
    widths = [dp.PoissonBatches(SAMPLES, 16 / SAMPLES, SAMPLES // 16, 2, seed).width for seed in range(5)]
    alike = [seed for seed, width in enumerate(widths) if width == max(widths, key=widths.count)]
    for seed in alike[:2]:
        def request(number: int = seed) -> TrainingRequest:
            return TrainingRequest(registry.build("lstm_rnn", (1, 8, 8), 10, number), whole, recipe, number, settings)

        shared = dp.PrivateTraining.train(dataclasses.replace(request(), shared=(shelf, "lstm_rnn")))
        found, seen, record = weights(shared.network), shared.history, shared.record
        alone = dp.PrivateTraining.train(request())
        assert same(found, weights(alone.network)) and record == alone.record
        assert [each.train_loss for each in seen] == [each.train_loss for each in alone.history]
    assert len(alike) > 1 and len(compiled) == 3, "one for both, and one for each alone"


def task(session: Session, seed_role: int, rows: np.ndarray) -> AskedTask:
    [plan] = subject_plans(session)
    alike = TrainingTask(plan, "any", plan.recipe(), None)
    return asked_aside(alike, f"reference{seed_role}", rows[:100], rows[100:200])


def test_references_share_one_network_and_one_copy_of_the_data(tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled, and nothing stays on the device, per model: memory does not grow with their number."""
    compiled: list[object] = []
    for name in ("_compile_steps", "_compile_forward"):
        original = getattr(loop, name)
        monkeypatch.setattr(loop, name, lambda *given, original=original: compiled.append(given) or original(*given))
    settings = ["data.image_size=12", "model.name=lenet5_bias", "training.epochs=1", "training.batch_size=20"]
    session = open_session(config.load(None, settings), str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")
    results = [task(session, number, np.random.default_rng(number).permutation(1000)).run() for number in range(4)]
    assert len(compiled) == 3, "one training loop, one forward pass to watch it and one to ask"
    logits = [result.arrays["logits"] for result in results]
    assert all(not np.array_equal(logits[0], others) for others in logits[1:])
    again = open_session(config.load(None, settings), str(tmp_path / "again"), str(tmp_path / "ckpt2"), "test")
    fresh = task(again, 3, np.random.default_rng(3).permutation(1000)).run()
    np.testing.assert_array_equal(fresh.arrays["logits"], logits[3])


def test_only_the_last_few_are_kept() -> None:
    data, shelf = noise(8), CompiledTrainings(most=2)
    recipe = Recipe(batch_size=8)

    def make_loop(network: nn.Cell, optimizer: nn.Cell) -> loop.TrainingLoop:
        return loop.TrainingLoop(network, optimizer, data.x, data.y)

    def begin(name: str) -> object:
        return shelf.begin(name, registry.build("lstm_rnn", (1, 8, 8), 10, 0), recipe, data.x, data.y, make_loop)

    first, second = begin("a"), begin("b")
    assert begin("a") is first and begin("b") is second
    begin("c")
    assert begin("b") is second, "the one not used for longest has made room"
    assert begin("a") is not first
    other = shelf.begin("a", registry.build("lstm_rnn", (1, 8, 8), 10, 0), Recipe(batch_size=8, weight_decay=0.1),
                        data.x, data.y, make_loop)
    assert other is not begin("a"), "another recipe, another graph"
    wider = shelf.begin("a", registry.build("lstm_rnn", (1, 8, 8), 10, 0), recipe, data.x, data.y, make_loop, 7)
    assert wider is not begin("a"), "another loop, another graph"


def test_read_only_arrays_lie_on_the_device_once() -> None:
    data = noise(8)
    first = loop.on_device(data.x, "images")
    assert loop.on_device(data.x, "images") is first
    own = data.x.copy()
    assert loop.on_device(own, "images") is not loop.on_device(own, "images"), "who may write may have written"
    key = (id(data.x), "images")
    del first
    gc.collect()
    assert key not in loop._resident, "it does not outlive its loops"
