"""One deletion from a sharded model against a full retraining: sample-epochs, wall time, and the accuracy it costs.

One unit of ours is one request on the model as it was before any: the shards and slices that hold its samples are
trained again by the product's path, stages and all. One unit of the peer is the whole network trained again without the
samples, by the same path and recipe. ``sample_epochs`` is a full retraining's over ours, both means over the
requests.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import _pairs
import _training

NONE = np.zeros(0, np.int64)
# Of the training split: a full retraining by all of it would take hours, request after request.
SAMPLES, QUICK_SAMPLES = 20_000, 6_000


def opened(case: _pairs.Case, folder: Path, shards: int, slices: int) -> Any:
    """Return the sharded model of a case in a run directory of its own."""
    from mindleak import settings
    from mindleak.audits.deletion.sharded import ShardedModel
    from mindleak.jobs.session import open_session
    from mindleak.subjects.subject import subject_plans

    given = {"data.name": case["data"], "data.dir": case["data_dir"], "data.image_size": case["image_size"],
             "model.name": case["model"], "training.epochs": case["epochs"], "training.batch_size": 32,
             "training.learning_rate": case["learning_rate"], "deletion.shards": shards, "deletion.slices": slices,
             "device.target": "CPU", "device.threads": case["threads"]}
    merged = settings.load(None, [f"{key}={'null' if value is None else value}" for key, value in given.items()])
    plan = subject_plans(open_session(merged, str(folder / "run"), str(folder / "ckpt"), "benchmark"))[0]
    rows = np.arange(len(plan.dataset.y_train) if case["samples"] is None else case["samples"])
    return ShardedModel(plan, rows, tells=False)


def requests(case: _pairs.Case, rows: int) -> list[np.ndarray]:
    """Return the samples of each request, the warm-up's first."""
    generator = np.random.default_rng(7)
    return [generator.choice(rows, case["deleted"], replace=False) for _ in range(case["rounds"] + 1)]


def retrain(case: _pairs.Case, tick: _pairs.Tick, shards: int, slices: int) -> None:
    """Train a model, then meet one request after the other, each from the model as it was."""
    folder = Path(tempfile.mkdtemp(prefix="mindleak-deletion-"))
    try:
        model = opened(case, folder, shards, slices)
        data, sharding = model.plan.dataset, model.sharding
        logits = model.logits(model.run(NONE), "test")
        right = float((logits.argmax(1) == data.y_test).mean())
        for number, deleted in enumerate(requests(case, case["samples"] or len(data.y_train))):
            cost = 0
            for shard, step in sharding.touched(deleted).items():
                model.shard(shard, deleted)
                cost += sharding.cost(shard, step, deleted)
            tick({"sample_epochs": cost, "accuracy": right} if number else {"accuracy": right, "sample_epochs": 0})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ours(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """The sharded model."""
    retrain(case, tick, case["shards"], case["slices"])


def peer(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """One shard of one slice: the whole network, trained again."""
    retrain(case, tick, 1, 1)


def measure(case: _pairs.Case, with_peer: bool) -> dict[str, Any]:
    """Return the record of a case."""
    units = _pairs.alternate(__file__, case, with_peer)
    seconds = {side: [unit.seconds for unit in of_side[1:]] for side, of_side in units.items()}
    costs = {side: float(np.mean([unit.figures["sample_epochs"] for unit in of_side[1:]]))
             for side, of_side in units.items()}
    means = {side: float(np.mean(values)) for side, values in seconds.items()}
    record = _pairs.compare(
        case["name"], seconds["ours"], seconds.get("peer", ()), "s/request", deleted=case["deleted"],
        sample_epochs=costs.get("peer", float("nan")) / costs["ours"] if "peer" in costs else None,
        mean_ratio=means["peer"] / means["ours"] if "peer" in means else None,
        accuracy={side: of_side[-1].figures["accuracy"] for side, of_side in units.items()})
    _pairs.show(record)
    if "peer" in costs:
        print(f"    {record['sample_epochs']:.1f} times fewer sample-epochs, {record['mean_ratio']:.1f} times less "
              f"time, means over {record['runs']} requests; test accuracy {record['accuracy']['ours']:.4f} against "
              f"{record['accuracy']['peer']:.4f}", flush=True)
    return record


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: ours, _pairs.PEER: peer})
    parser = _pairs.standard_parser(__doc__)
    _pairs.add_threads(parser)
    parser.add_argument("--model", default="lstm_rnn", help="which network (lstm_rnn)")
    _training.add_data(parser)
    arguments = parser.parse_args()
    small = arguments.toy or arguments.quick
    # (shards, slices, deleted samples): the goal is the first.
    kinds = [(10, 5, 1)] if small else [
        *((shards, slices, 1) for shards in (10, 1, 5, 20) for slices in (5, 1)),
        *((10, 5, deleted) for deleted in (10, 100, 1000))]
    common = {"data": "digits" if arguments.toy else _training.dataset_name(arguments.data_dir),
              "data_dir": arguments.data_dir, "image_size": 8 if arguments.toy else None, "model": arguments.model,
              "learning_rate": 0.05, "epochs": 3 if arguments.toy else 15,
              "samples": None if arguments.toy else QUICK_SAMPLES if arguments.quick else SAMPLES}
    cases = [{"name": f"deletion/{shards}x{slices}/{deleted}/threads{threads}",
              "shards": 2 if arguments.toy else shards, "slices": slices, "deleted": deleted, "threads": threads,
              "rounds": 1 if arguments.toy else 20 if (shards, slices, deleted) == (10, 5, 1) else 5, **common}
             for threads in arguments.threads for shards, slices, deleted in kinds]
    _pairs.finish([measure(case, not arguments.no_peer) for case in cases[:1 if arguments.toy else None]])


if __name__ == "__main__":
    main()
