"""A warm process that runs fuzzed inputs one after the other: ``worker.py SEED WORK ASSETS REQUESTS ANSWERS``.

MindSpore is loaded once. A line on the descriptor REQUESTS is an input's number; the answer is a line of JSON. What
aborts the process is noticed by whoever waits for the answer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fuzzed_inputs import Assets, Case, make, settings  # noqa: E402
from fuzzing import IN_EARNEST  # noqa: E402

from mindleak import cli, device  # noqa: E402

# Beyond what the process has when it starts.
MEMORY = 4 << 30
PLANNED = "planned"
# What toy-sized means: configuration keys and their largest values.
AFFORDABLE = {
    "training.epochs": 3,
    "judge.epochs": 3,
    "inversion.images": 10,
    "inversion.iterations": 20,
    "inversion.restarts": 2,
    "membership.shadows": 4,
    "membership.references": 8,
    "membership.attack.epochs": 20,
    "membership.attack.dim_hidden": 200,
    "membership.rnn_tutorial.shadows": 4,
    "membership.rnn_tutorial.epochs": 5,
    "membership.rnn_tutorial.dim_hidden": 200,
    "membership.improved.epochs": 20,
    "sweep.models": 4,
    "model.hidden_size": 200,
    "model.layers": 3,
    "model.width": 2,
    "prune.finetune_epochs": 3,
    "data.image_size": 40,
    "membership.training.epochs": 3,
}


class _PlannedError(BaseException):
    """Everything has been checked; training would begin."""


def main() -> None:
    """Answer until the requests end."""
    seed, work, assets = int(sys.argv[1]), Path(sys.argv[2]), Assets(Path(sys.argv[3]))
    device.configure("CPU")
    _warm_up()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28,) * 2)
    with os.fdopen(int(sys.argv[4])) as requests, os.fdopen(int(sys.argv[5]), "w") as answers:
        answers.write("ready\n")
        answers.flush()
        for line in requests:
            answers.write(json.dumps(answer(int(line), seed, work, assets)) + "\n")
            answers.flush()


def _warm_up() -> None:
    from mindleak.jobs import audit, train  # noqa: F401
    from mindleak.models import registry

    registry.build("lenet5_bias", (1, 12, 12), 6, 0)


def answer(number: int, seed: int, work: Path, assets: Assets) -> dict[str, Any]:
    """Run one input and return what it came to."""
    folder = work / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case = make(number, seed, folder, assets)
    (folder / "command.json").write_text(json.dumps(vars(case)))
    before = listing(folder)
    code = run(case, folder, in_earnest=number % IN_EARNEST == 0)
    return {"number": number, "kind": case.kind, "code": code, "changed": changes(before, listing(folder))}


def listing(folder: Path) -> dict[str, str]:
    """Return every path below a folder with what tells a change: kind, size and time."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            status = os.lstat(path)
            found[os.path.relpath(path, folder)] = f"{status.st_mode} {status.st_size if name in files else 0} " + (
                f"{status.st_mtime_ns}" if name in files else ""
            )
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what was made, changed or removed."""
    return sorted(
        name.encode("utf-8", "backslashreplace").decode()
        for name in {*before, *after}
        if before.get(name) != after.get(name)
    )


def run(case: Case, folder: Path, in_earnest: bool) -> int | str:
    """Run a command in its folder with its output in files; return its exit code or 'planned'."""
    with _surroundings(case, folder), _no_training(in_earnest):
        try:
            return cli.main(case.words)
        except _PlannedError:
            return PLANNED
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
            return 1


@contextlib.contextmanager
def _surroundings(case: Case, folder: Path) -> Iterator[None]:
    """Give a command its working directory, environment and terminal."""
    variables, streams, place = dict(os.environ), (sys.stdout, sys.stderr), os.getcwd()
    saved = [os.dup(1), os.dup(2)]
    files = [os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600) for name in ("stdout.txt", "stderr.txt")]
    # C++ must not find 1 and 2 closed at any time.
    for target, file in zip((1, 2), files):
        os.dup2(file, target)
        os.close(file)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.FileIO(target, "w", closefd=False),
            encoding=case.encoding,
            write_through=True,
            errors="strict" if target == 1 else "backslashreplace",
        )
        for target in (1, 2)
    )
    os.environ.update(case.environment)
    os.chdir(folder)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(place)
        for target, copy in zip((1, 2), saved):
            os.dup2(copy, target)
            os.close(copy)


@contextlib.contextmanager
def _no_training(in_earnest: bool) -> Iterator[None]:
    """Stop where training begins, unless it is meant in earnest and affordable."""
    from mindleak.subjects.task import TrainingTask

    train = TrainingTask._train

    def stop(task: TrainingTask, *arguments: Any) -> Any:
        if in_earnest and _affordable(task.plan.config) and task.epochs <= AFFORDABLE["training.epochs"]:
            return train(task, *arguments)
        raise _PlannedError

    TrainingTask._train = stop
    try:
        yield
    finally:
        TrainingTask._train = train


def _affordable(config: dict[str, Any]) -> bool:
    for key, largest in AFFORDABLE.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and value > largest:
            return False
    return True


def build_assets(folder: Path) -> None:
    """Make what inputs start from: data, a checkpoint, a trained run, a finished audit's report."""
    import numpy as np

    from example_record import build_document
    from mindleak.reporting.html import write_json

    rng = np.random.default_rng(0)
    shapes = rng.random((6, 12, 12))
    arrays = {}
    for half, rows in (("train", 480), ("test", 60)):
        labels = np.arange(rows) % 6
        arrays |= {
            f"x_{half}": np.clip(shapes[labels] + rng.normal(0, 0.2, (rows, 12, 12)), 0, 1).astype("f4"),
            f"y_{half}": labels,
        }
    (folder / "inputs").mkdir(parents=True)
    np.savez(folder / "inputs" / "data.npz", **arrays)
    shutil.copyfile(folder / "inputs" / "data.npz", folder / "data.npz")
    code = run(
        Case("assets", ["train", "--run_dir", "run", "--ckpt_dir", "ckpt", *settings({})]), folder, in_earnest=True
    )
    if code != 0:
        raise RuntimeError((folder / "stderr.txt").read_text())
    shutil.copyfile(next((folder / "ckpt").rglob("*-1_*.ckpt")), folder / "toy.ckpt")
    (folder / "report").mkdir()
    write_json(build_document(folder / "report", images=2, recipes=1), folder / "report")


if __name__ == "__main__":
    faulthandler.enable()
    if len(sys.argv) == 2:
        device.configure("CPU")
        build_assets(Path(sys.argv[1]))
    else:
        main()
