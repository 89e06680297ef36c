"""Feature inversion of many images in one compiled loop against MindArmour's ``ImageInversionAttack.generate``.

LeNet5 (MindArmour's, 32x32), the features after fc1, 100 iterations, loss weights (1, .1, 5), both from the same
starting images. MindArmour runs in GRAPH mode, where it is fastest; it makes and compiles its gradient anew in every
``generate``, ours is compiled at the first attack (``first_attack`` is the time of that one). Beside the times stands
the share of pixels that come out equal (to 1e-5), in how many images nearly all do, and the mean objective of both; and
the same of our images inverted one at a time, as MindArmour does, where sums are taken in the same order too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

import _pairs
import _training

WEIGHTS, LAYER, SEED = (1.0, 0.1, 5.0), "fc1", 0
ALONE = "alone"
# An image is called equal when this share of its pixels is.
NEARLY_ALL = 0.999


def subject_and_images(case: _pairs.Case) -> tuple[Any, np.ndarray]:
    """Return the network, trained for a few epochs where the case says so, and the images to invert."""
    from mindleak import device
    from mindleak.models import registry
    from mindleak.training.history import EpochPrinter
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingData, TrainingRequest
    from mindleak.training.trainer import Training

    device.configure("CPU", threads=case["threads"])
    arrays = _training.load_arrays(case)
    network = registry.build("lenet5", (1, 32, 32), 10, seed=0)
    if case["epochs"]:
        recipe = Recipe(epochs=case["epochs"], batch_size=32, optimizer="momentum", learning_rate=0.02, momentum=0.9)
        data = TrainingData(arrays.x, arrays.y, arrays.x_val, arrays.y_val, digest="benchmark")
        Training.train(TrainingRequest(network, data, recipe, 0, printer=EpochPrinter("", 0, enabled=False)))
    return network, arrays.x[: case["images"]]


def mindarmours_starts(count: int) -> np.ndarray:
    """Return the starts (1, N, 1, 32, 32) that MindArmour draws after ``np.random.seed``; it tries a batch first."""
    generator = np.random.RandomState(SEED)
    generator.random_sample((count, 1, 32, 32))
    return np.stack([generator.random_sample((1, 1, 32, 32)).astype(np.float32) * 0.05 for _ in range(count)], axis=1)


def invert_ours(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """One unit is one attack on all images; the first, which is not counted, also inverts them one at a time."""
    network, images = subject_and_images(case)
    from mindleak.attacks.inversion.batched import BatchedInversion

    attack = BatchedInversion(LAYER, case["iterations"], WEIGHTS, SEED, tv="mindarmour_cpu")
    starts = mindarmours_starts(len(images))
    for turn in range(case["rounds"] + 1):
        begun = time.perf_counter()
        result = attack.attack(network, images, starts)
        seconds = time.perf_counter() - begun
        np.save(Path(case["folder"]) / f"{_pairs.OURS}.npy", result.inversions)
        if case["alone"] and turn == 0:
            alone = [attack.attack(network, images[i:i + 1], starts[:, i:i + 1]).inversions for i in range(len(images))]
            np.save(Path(case["folder"]) / f"{ALONE}.npy", np.concatenate(alone))
        tick({"objective": float(result.objective.mean()), "attack": seconds})


def invert_peer(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """One unit is one call of ``generate`` by one and the same attack, so that it is compiled in the first only."""
    network, images = subject_and_images(case)
    from mindspore import Tensor

    from mindleak import device
    from mindleak.attacks.inversion.objective import objective
    from mindleak.attacks.inversion.result import feature_distance, mean_squares
    from mindleak.quiet import mindarmour_call

    cell = network.until(LAYER)
    targets = cell(Tensor(images)).asnumpy()
    with device.graph_mode():
        with mindarmour_call(SEED):
            from mindarmour.privacy.evaluation import ImageInversionAttack

            attack = ImageInversionAttack(cell, (1, 32, 32), (0, 1), list(WEIGHTS))
        for _ in range(case["rounds"] + 1):
            begun = time.perf_counter()
            with mindarmour_call(SEED):
                found = attack.generate(targets, iters=case["iterations"]).astype(np.float32)
            seconds = time.perf_counter() - begun
            np.save(Path(case["folder"]) / f"{_pairs.PEER}.npy", found)
            distance = feature_distance(cell(Tensor(found)).asnumpy(), targets)
            values = objective(found, distance, mean_squares(targets), "mindarmour_cpu", WEIGHTS)
            tick({"objective": float(values.mean()), "attack": seconds})


def measure(case: _pairs.Case, with_peer: bool) -> dict[str, Any]:
    """Time one case; the seconds of the first attack, with ours' only compilation, are given apart."""
    with tempfile.TemporaryDirectory() as folder:
        units = _pairs.alternate(__file__, {**case, "folder": folder, "alone": with_peer}, with_peer)
        found = {path.stem: np.load(path) for path in Path(folder).glob("*.npy")}
    seconds = {side: [unit.seconds for unit in of_side[1:]] for side, of_side in units.items()}
    others = [unit.others for of_side in units.values() for unit in of_side[1:] if unit.others is not None]
    equal = {name: equality(found[name], found[_pairs.PEER]) for name in (_pairs.OURS, ALONE)} if with_peer else None
    record = _pairs.compare(
        case["name"], seconds[_pairs.OURS], seconds.get(_pairs.PEER, ()), "s/attack", images=case["images"],
        iterations=case["iterations"], data=case["data"], epochs_trained=case["epochs"], equal=equal,
        objective={side: statistics.mean(unit.figures["objective"] for unit in of_side)
                   for side, of_side in units.items()},
        first_attack={side: of_side[0].figures["attack"] for side, of_side in units.items()},
        others_busy=max(others, default=None))
    _pairs.show(record)
    if record["others_busy"] is not None and record["others_busy"] > _training.DISTURBED:
        print(f"    disturbed: other processes kept up to {record['others_busy']:.1f} cores busy", flush=True)
    for name, (pixels, images) in (equal or {}).items():
        how = "one at a time" if name == ALONE else "all at once"
        print(f"    {how}: {100 * pixels:.3f} % of pixels equal, {images} of {case['images']} images equal", flush=True)
    print(f"    objective {record['objective']}", flush=True)
    return record


def equality(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, int]:
    """Return the share of equal pixels, and how many images are equal."""
    shares = (np.abs(ours - theirs) < 1e-5).reshape(len(ours), -1).mean(axis=1)
    return float(shares.mean()), int((shares >= NEARLY_ALL).sum())


def cases(arguments: Namespace) -> list[tuple[_pairs.Case, bool]]:
    """Return each case with whether the peer takes part: at 1,000 images it would take ten minutes."""
    data = "digits" if arguments.toy else _training.dataset_name(arguments.data_dir)
    common = {"data": data, "data_dir": arguments.data_dir, "image_size": 32, "validation": 64, "iterations": 100,
              "samples": 6_000, "epochs": 3, "threads": arguments.threads[0]}
    if arguments.toy:
        return [({**common, "name": "inversion/images4", "images": 4, "iterations": 3, "samples": 64, "epochs": 0,
                  "rounds": 1}, True)]
    rounds = 1 if arguments.quick else 3
    return [({**common, "name": "inversion/images30", "images": 30, "rounds": rounds}, True),
            ({**common, "name": "inversion/images1000", "images": 1_000, "rounds": rounds}, False)]


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: invert_ours, _pairs.PEER: invert_peer})
    parser = _pairs.standard_parser(__doc__)
    parser.add_argument("--threads", type=int, nargs=1, default=[min(2, len(_pairs.available_cores()))], metavar="N",
                        help="threads per side (2)")
    _training.add_data(parser)
    arguments = parser.parse_args()
    with_peer = _pairs.require_peer("mindarmour", arguments.no_peer)
    _pairs.finish([measure(case, with_peer and peer) for case, peer in cases(arguments)])


if __name__ == "__main__":
    main()
