"""Peak memory of a LeNet5 training run through the command line, against torch doing the same on the same data.

Both load the whole data set with the product's loader, train one epoch of batches of 32, measure the test
set, and write a checkpoint. Measured: the largest resident set of the process, as the kernel accounts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import _pairs
import _training
from train_lenet5 import TASK

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "lenet5_mnist.yaml"


def peak_mib(command: list[str], threads: int) -> float:
    """Run a command and return the largest resident set of its process in MiB."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    with tempfile.TemporaryFile(mode="w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **limits})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            lines = [line.strip() for line in output if line.strip()]
            _pairs.refuse(f"'{' '.join(command[:4])} …' exits {process.returncode}: "
                          f"{lines[-1] if lines else 'no message'}")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def our_peak(arguments: Namespace, data: str) -> float:
    """Return the peak of ``mindleak train`` in a run directory that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mindleak", "train", "--config", str(CONFIG), "--dataset", data,
                   "--run_dir", f"{folder}/run", "--ckpt_dir", f"{folder}/ckpt",
                   "--set", "training.epochs=1", "--set", f"device.threads={arguments.threads}"]
        if arguments.data_dir is not None:
            command += ["--data_dir", arguments.data_dir]
        return peak_mib(command, arguments.threads)


def peer_peak(case: _pairs.Case) -> float:
    """Return the peak of the same training in torch."""
    return peak_mib([sys.executable, __file__, "--worker", _pairs.PEER, json.dumps(case)], case["threads"])


def train_peer(case: _pairs.Case, _: _pairs.Tick) -> None:
    """Train one epoch in torch and write the weights."""
    import torch

    network = _training.run_torch(TASK, case, lambda figures: None)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(network.state_dict(), f"{folder}/lenet5.pt")


def main() -> None:
    """Run as the peer's worker, or as the benchmark."""
    _pairs.be_worker({_pairs.PEER: train_peer})
    parser = _pairs.standard_parser(__doc__)
    _training.add_data(parser)
    parser.add_argument("--threads", type=int, default=min(2, len(_pairs.available_cores())), metavar="N",
                        help="threads per side (2)")
    arguments = parser.parse_args()
    with_peer = _pairs.require_peer("torch", arguments.no_peer)
    data = "digits" if arguments.toy else _training.dataset_name(arguments.data_dir)
    floors = {"mindspore": peak_mib([sys.executable, "-c", "import mindspore"], arguments.threads)}
    if with_peer:
        floors["torch"] = peak_mib([sys.executable, "-c", "import torch"], arguments.threads)
    rounds = 1 if arguments.toy or arguments.quick else 3
    case = {"name": "memory_mnist/lenet5", "data": data, "data_dir": arguments.data_dir, "samples": None,
            "validation": None, "image_size": TASK.image_size, "batch_size": 32, "threads": arguments.threads,
            "rounds": 0}
    ours, peer = [], []
    for _ in range(rounds):
        ours.append(our_peak(arguments, data))
        peer += [peer_peak(case)] if with_peer else []
    report(_pairs.compare(case["name"], ours, peer, "MiB", data=data, after_import=floors))


def report(record: dict[str, Any]) -> None:
    """Print the case for people, then as JSON."""
    _pairs.show(record)
    for module, peak in record["after_import"].items():
        print(f"    import {module} alone: {peak:.0f} MiB")
    _pairs.finish([record])


if __name__ == "__main__":
    main()
