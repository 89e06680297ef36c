"""Suppress training (LeNet5, the tutorial's recipe): the graph engine against MindArmour and ordinary training.

Peers: ``as_is`` runs MindArmour's classes the way the tutorial does, ``frozen`` with the heap exempt from the garbage
collections that they ask for (the engine ``mindarmour``), ``ordinary`` the compiled loop without suppression. All have
blocking dispatch, without which MindArmour's PyNative steps would be several times slower. One unit is an epoch with
as many mask updates per step as the tutorial's whole training has, 1,001 in 18,750, and with the measuring and printing
that the product does after an epoch. ``goal`` is the ratio asked for: 10 times MindArmour's speed, and at most 1.3
times the time of ordinary training. All sides begin with the same weights, those after some epochs of ordinary training
on the same images: with MindArmour's classes, the timed epochs are too few to learn anything from scratch.
"""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import _pairs
import _training

GOALS = {"as_is": 10.0, "frozen": None, "ordinary": 1 / 1.3}
# 18,750 steps of the tutorial have 1,001 updates; updates fall on whole steps.
STEPS_PER_UPDATE = 19
BATCH = 32
# The tutorial's learning rate.
RATE = 0.05
# Ordinary training before the timed epochs, counted with the warm-up: so many steps at this learning rate.
FIRST_STEPS, FIRST_RATE = 3_000, 0.1


def train(engine: str, case: _pairs.Case, tick: _pairs.Tick) -> None:
    """Train by one of the ways; one unit is one epoch."""
    from mindleak import device
    from mindleak.models import registry
    from mindleak.training.history import EpochPrinter, EpochRecord
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingData, TrainingRequest
    from mindleak.training.suppress.graph import SuppressTraining
    from mindleak.training.suppress.settings import SuppressSettings, mask_layers
    from mindleak.training.trainer import Training

    class Ticker(EpochPrinter):
        """Hears of every epoch."""

        def epoch(self, record: EpochRecord) -> None:
            tick({"train_loss": record.train_loss, "train_accuracy": record.train_accuracy,
                  "val_loss": record.val_loss, "val_accuracy": record.val_accuracy})

    device.configure("CPU", threads=case["threads"])
    arrays = _training.load_arrays(case)
    network = registry.build("lenet5", (1, 32, 32), 10, seed=0)
    _training.draw_weights(network, 0)
    data = TrainingData(arrays.x, arrays.y, arrays.x_val, arrays.y_val, digest="benchmark")
    first = Recipe(epochs=case["first_epochs"], batch_size=BATCH, learning_rate=FIRST_RATE)
    Training.train(TrainingRequest(network, data, first, 0, printer=EpochPrinter("", 0, enabled=False)))
    recipe = Recipe(epochs=case["rounds"] + 1, batch_size=BATCH, learning_rate=RATE)
    times = math.ceil(recipe.epochs * recipe.steps_per_epoch(len(arrays.x)) / STEPS_PER_UPDATE)
    settings = SuppressSettings(start_epoch=1, mask_times=times, engine="graph" if engine == "graph" else "mindarmour")
    printer = Ticker("", 0, enabled=False)
    if engine == "ordinary":
        Training.train(TrainingRequest(network, data, recipe, 0, printer=printer))
    elif engine == "as_is":
        train_as_is(network, data, recipe, settings, mask_layers(network, "auto"), printer)
    else:
        SuppressTraining.train(TrainingRequest(network, data, recipe, 0, settings, printer=printer))


def train_as_is(network: Any, data: Any, recipe: Any, settings: Any, layers: Any, printer: Any) -> None:
    """Train by MindArmour's classes without help: no frozen heap, only its prints go nowhere."""
    from mindleak.quiet import import_mindarmour
    from mindleak.training.suppress import mindarmour

    import_mindarmour()
    watcher = mindarmour.EpochWatcher(network, data, recipe, printer, None, "")
    with contextlib.redirect_stdout(io.StringIO()):
        mindarmour.run(network, data, recipe, settings, layers, 0, watcher)


def measure(case: _pairs.Case, with_peer: bool) -> dict[str, Any]:
    """Time the graph engine against one peer and return the record."""
    units = _pairs.alternate(__file__, case, with_peer)
    seconds = {side: [unit.seconds for unit in of_side[1:]] for side, of_side in units.items()}
    others = [unit.others for of_side in units.values() for unit in of_side[1:] if unit.others is not None]
    record = _pairs.compare(
        case["name"], seconds["ours"], seconds.get("peer", ()), "s/epoch", data=case["data"], samples=case["samples"],
        goal=GOALS[case["peer"]], others_busy=max(others, default=None),
        warm_up={side: of_side[0].seconds for side, of_side in units.items()},
        last_epoch={side: of_side[-1].figures for side, of_side in units.items()})
    record["accuracy"] = _training.last_accuracy(record)
    _pairs.show(record)
    if record["others_busy"] is not None and record["others_busy"] > _training.DISTURBED:
        print(f"    disturbed: other processes kept up to {record['others_busy']:.1f} cores busy", flush=True)
    return record


def cases(toy: bool, quick: bool, data_dir: str | None, threads: int) -> list[_pairs.Case]:
    """Return one case per peer; MindArmour's classes get shorter epochs."""
    slow, fast = (640, 640) if toy else (2_400, 12_000) if quick else (6_400, 60_000)
    rounds = {"as_is": 1, "frozen": 1, "ordinary": 1} if toy else {"as_is": 2, "frozen": 3, "ordinary": 6}
    common = {"data": "digits" if toy else _training.dataset_name(data_dir), "data_dir": data_dir, "image_size": 32,
              "threads": threads}
    sizes = {peer: fast if peer == "ordinary" else slow for peer in GOALS}
    # As many images are validated per step as with MNIST's 60,000 and 10,000.
    return [{"name": f"suppress/{peer}", "peer": peer, "samples": samples, "validation": samples // 6,
             "rounds": rounds[peer], "first_epochs": 1 if toy else math.ceil(FIRST_STEPS * BATCH / samples), **common}
            for peer, samples in sizes.items()]


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: lambda case, tick: train("graph", case, tick),
                      _pairs.PEER: lambda case, tick: train(case["peer"], case, tick)})
    parser = _pairs.standard_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores and threads per side (1)")
    _training.add_data(parser)
    arguments = parser.parse_args()
    chosen = cases(arguments.toy, arguments.quick, arguments.data_dir, arguments.threads)
    records = [measure(case, not arguments.no_peer) for case in chosen[: 1 if arguments.toy else None]]
    _pairs.finish(records)
    if not arguments.toy:
        _pairs.require_learnt(records)


if __name__ == "__main__":
    main()
