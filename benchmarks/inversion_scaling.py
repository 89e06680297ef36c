"""What feature inversion costs against the number of images and their size, as a plot and as figures.

LeNet5 with random weights, the features after fc1, 100 iterations of the sign step: the time does not depend on the
weights. Ours alone: MindArmour goes image by image, so its cost is a straight line (benchmarks/inversion.py).
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

import _pairs

COUNTS, SIZES = (1, 4, 16, 64, 256, 1024, 4096), (16, 24, 32, 48, 64, 96)
SIZE_OF_COUNTS, COUNT_OF_SIZES = 32, 64


def invert(case: _pairs.Case, tick: _pairs.Tick) -> None:
    """One unit is one attack on all images; the first compiles."""
    from mindleak import device
    from mindleak.attacks.inversion.batched import BatchedInversion
    from mindleak.models import registry

    device.configure("CPU", threads=case["threads"])
    shape = (1, case["size"], case["size"])
    network = registry.build("lenet5", shape, 10, seed=0)
    images = np.random.default_rng(0).random((case["images"], *shape)).astype(np.float32)
    attack = BatchedInversion("fc1", case["iterations"])
    for _ in range(case["rounds"] + 1):
        tick({"objective": float(attack.attack(network, images).objective.mean())})


def measure(case: _pairs.Case) -> dict[str, Any]:
    """Time one case and return its record."""
    units = _pairs.alternate(__file__, case, with_peer=False)[_pairs.OURS]
    others = [unit.others for unit in units[1:] if unit.others is not None]
    record = _pairs.compare(case["name"], [unit.seconds for unit in units[1:]], (), "s/attack", images=case["images"],
                            size=case["size"], iterations=case["iterations"], warm_up=units[0].seconds,
                            others_busy=max(others, default=None))
    _pairs.show(record)
    return record


def plot(records: list[dict[str, Any]], folder: Path) -> Path:
    """Draw seconds against images and milliseconds per image against size, both logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    from mindleak.reporting.canvas import house_style, png_bytes

    by_count = [record for record in records if "/images" in record["name"]]
    by_size = [record for record in records if "/size" in record["name"]]
    with house_style():
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.loglog([record["images"] for record in by_count], [record["ours"] for record in by_count], marker="o")
        left.set_xticks([record["images"] for record in by_count], [f"{record['images']:,}" for record in by_count])
        left.set(xlabel=f"images of {SIZE_OF_COUNTS}x{SIZE_OF_COUNTS}", ylabel="seconds",
                 title=f"{records[0]['iterations']} iterations")
        right.loglog([record["size"] for record in by_size],
                     [1e3 * record["ours"] / record["images"] for record in by_size], marker="o")
        right.set(xlabel="pixels per side", ylabel="milliseconds per image", title=f"{by_size[0]['images']} images")
        right.set_xticks([record["size"] for record in by_size], [str(record["size"]) for record in by_size])
        for axes in (left, right):
            axes.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "inversion_scaling.png"
    path.write_bytes(png_bytes(figure))
    return path


def cases(arguments: Namespace) -> list[_pairs.Case]:
    """Return the cases: counts at one size, then sizes at one count."""
    common = {"iterations": 3 if arguments.toy else 100, "rounds": 1 if arguments.quick or arguments.toy else 3,
              "threads": arguments.threads}
    counts = (1, 4) if arguments.toy else COUNTS
    sizes = (16, 24) if arguments.toy else SIZES
    of_sizes = 2 if arguments.toy else COUNT_OF_SIZES
    return [{**common, "name": f"inversion_scaling/images{count}", "images": count, "size": SIZE_OF_COUNTS}
            for count in counts] + [
        {**common, "name": f"inversion_scaling/size{size}", "images": of_sizes, "size": size} for size in sizes]


def main() -> None:
    """Run as a worker, or as the benchmark."""
    _pairs.be_worker({_pairs.OURS: invert})
    parser = _pairs.standard_parser(__doc__)
    parser.add_argument("--threads", type=int, default=min(2, len(_pairs.available_cores())), metavar="N",
                        help="threads (2)")
    parser.add_argument("--output_dir", metavar="DIR", help="where the plot goes (a temporary folder)")
    arguments = parser.parse_args()
    records = [measure(case) for case in cases(arguments)]
    folder = Path(arguments.output_dir or tempfile.mkdtemp(prefix="inversion_scaling-"))
    print(f"plot: {plot(records, folder)}", flush=True)
    _pairs.finish(records)


if __name__ == "__main__":
    main()
