"""The only place that knows device_target, execution mode, seeds, rank and world size.

The whole product runs in PyNative mode with its hot loops compiled by ``mindspore.jit``: MindArmour's
suppress classes accept nothing else, and a loop compiled once runs equally fast from either mode.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mindleak.errors import InputError
from mindleak.quiet import numpy_state, quiet_stderr, uninterrupted
from mindleak.settings.device import KERNELS, TARGETS

# What a target needs, and the shared libraries by which that is told.
_NEEDS = {
    "GPU": ("CUDA 11.1 or 11.6 and cuDNN 8", ("libcuda", "libcudart", "libcudnn")),
    "Ascend": ("the CANN libraries", ("libge_runner", "libascendcl")),
}


@dataclass(frozen=True)
class Device:
    """Where this process runs: ``target`` without 'auto', and its place among the processes of the job.

    ``kernels`` says what networks made from now on compute with (``mindleak.kernels``); ``data_parallel`` that
    the processes train one network together, each on its part of every batch.
    """

    target: str
    device_id: int
    rank: int
    world_size: int
    kernels: str = "auto"
    data_parallel: bool = False

    @property
    def shards(self) -> int:
        """Among how many processes every batch of a training is divided."""
        return self.world_size if self.data_parallel else 1

    @property
    def is_main(self) -> bool:
        """True for the one process that prints and writes what all share."""
        return self.rank == 0


_current: Device | None = None


def available_targets() -> list[str]:
    """Return the device targets on which this MindSpore build can run on this machine."""
    with uninterrupted(), quiet_stderr():
        import mindspore as ms

        return [name for name in ("Ascend", "GPU", "CPU") if ms.hal.is_available(name)]


def configure(target: str = "CPU", device_id: int = 0, threads: int = 0, kernels: str = "auto",
              data_parallel: bool = False) -> Device:
    """Select the device for this process; call once, before any network is made.

    A later call changes nothing but ``kernels`` and ``data_parallel``.

    Args:
        target: CPU, GPU, Ascend, or auto (the first of Ascend, GPU, CPU that works).
        device_id: number of the card; ignored on CPU and under ``msrun``.
        threads: CPU threads for operators; 0 leaves MindSpore's choice. On CPU, 1 means one core.
        kernels: ``mindspore``: MindSpore's operators only; ``native``: this project's kernels for CPU; ``auto``:
            these where they can be had.
        data_parallel: every batch of a training is divided among the processes of the job.

    Raises:
        InputError: target or kernels are unknown, or this build or machine lacks it or the card, another target is in
            use, ``threads`` is negative, or there is one process only to divide batches among.
    """
    global _current
    if threads < 0:
        raise InputError(f"device.threads is {threads}; expected 0 (MindSpore's choice) or more")
    if kernels not in KERNELS:
        raise InputError(f"device.kernels '{kernels}' is unknown; one of {', '.join(KERNELS)}")
    chosen = require_usable(target)
    if _current is not None and _current.target != chosen:
        raise InputError(f"this process already runs on {_current.target}; start another for {chosen}")
    _check_device_id(chosen, device_id)
    _refuse_compile_cache(chosen)
    if _current is not None:
        wanted = replace(_current, kernels=kernels, data_parallel=_divisible(data_parallel, _current.world_size))
        _current = _current if wanted == _current else wanted
        return _current
    import mindspore as ms

    _select(chosen, device_id)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    if threads:
        ms.set_context(runtime_num_threads=threads)
    if chosen == "CPU":
        # Asynchronous dispatch costs PyNative on CPU a factor of 5 to 25 (docs/architecture.md).
        ms.runtime.launch_blocking()
    rank, world = _join_job(chosen)
    if chosen == "CPU" and threads == 1:
        _start_operator_threads_on_one_core(rank)
    _current = Device(chosen, device_id, rank, world, kernels, _divisible(data_parallel, world))
    return _current


def require_usable(target: str) -> str:
    """Return a device target that can be used here, 'auto' resolved; arguments and errors are ``configure``'s."""
    if target not in TARGETS:
        raise InputError(f"device_target '{target}' is unknown; one of {', '.join(TARGETS)}")
    usable = available_targets()
    chosen = usable[0] if target == "auto" else target
    if chosen not in usable:
        raise InputError(
            f"device_target {chosen} cannot be used here: available {', '.join(usable)}; "
            f"missing: {missing_for(chosen)}"
        )
    return chosen


def _start_operator_threads_on_one_core(rank: int) -> None:
    """Have MindSpore start the threads of its CPU operators now, and share one core.

    Told to use one thread it starts two all the same, one that dispatches an operator and one that helps it, and
    they halve the work of convolutions, matrix products and recurrent layers between them (MindSpore 2.8.0). Threads
    inherit the core of the thread that starts them; the calling one gets its own cores back. Where the system has no
    such thing as a thread's cores, nothing happens.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    import mindspore as ms

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_core(rank, sorted(cores))})
    try:
        # Shorter loops are not shared out, and start no threads.
        ms.ops.exp(ms.Tensor(np.zeros((512, 512), np.float32))).asnumpy()
    finally:
        os.sched_setaffinity(0, cores)


def _core(rank: int, cores: list[int]) -> int:
    """Return one of the cores: for processes of one job another for each, else the one in use, which has been free."""
    if launched_by_msrun():
        return cores[rank % len(cores)]
    try:
        running = ctypes.CDLL(None).sched_getcpu()
    except (AttributeError, OSError):
        return cores[0]
    return running if running in cores else cores[0]


def current() -> Device:
    """Return the configured device; the CPU where nobody has chosen yet."""
    return _current if _current is not None else configure("CPU")


def cpu_threads() -> int:
    """Return how many threads MindSpore's operators use at most: no more than the process has cores."""
    import mindspore as ms

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(int(ms.get_context("runtime_num_threads")), cores))


def _divisible(data_parallel: bool, world_size: int) -> bool:
    """Return ``data_parallel``, refusing one process alone."""
    if data_parallel and world_size == 1:
        raise InputError("device.data_parallel divides batches among several processes, and there is one; start them "
                         "with DEVICE_NUM=2 (or more) bash run_ascend.sh, or msrun")
    return data_parallel


def missing_for(target: str) -> str:
    """Say what GPU or Ascend needs, with the libraries that were looked for and not found."""
    needs, libraries = _NEEDS[target]
    absent = [f"{name}.so" for name in libraries if ctypes.util.find_library(name.removeprefix("lib")) is None]
    if absent:
        return f"{needs} ({', '.join(absent)} not found)"
    return f"a MindSpore build that works with them: it needs {needs}, and other versions seem to be installed"


def _refuse_compile_cache(target: str) -> None:
    """Refuse MindSpore's cache of compiled graphs on CPU, from which MindSpore 2.8.0 reads back graphs that answer NaN.

    Raises:
        InputError: the environment switches it on.
    """
    if target == "CPU" and os.environ.get("MS_COMPILER_CACHE_ENABLE", "0") not in ("", "0"):
        raise InputError("MS_COMPILER_CACHE_ENABLE is set, and on CPU networks answer NaN where MindSpore takes their "
                         "graphs from that cache; unset it")


def _select(target: str, device_id: int) -> None:
    """Select the device; in a process that has computed already, accept it only where it is that one anyway.

    Raises:
        InputError: MindSpore already runs on another device, and cannot change.
    """
    import mindspore as ms

    try:
        # Given a number, every process of an msrun job would take the same card; without, they are dealt out.
        ms.set_device(target, None if target == "CPU" or launched_by_msrun() else device_id)
    except RuntimeError as error:
        running = ms.get_context("device_target")
        if running != target:
            raise InputError(f"MindSpore already runs on {running} in this process and cannot change to {target}; "
                             "choose the device before anything is computed") from error


def _check_device_id(target: str, device_id: int) -> None:
    """Refuse a card number that the machine does not have; the CPU has no numbers."""
    import mindspore as ms

    count = ms.hal.device_count(target) if target != "CPU" else None
    if device_id < 0 or (count is not None and device_id >= count):
        numbers = "from 0 on" if count is None else f"0 to {count - 1}"
        raise InputError(f"device_id {device_id} does not exist: {target} devices have the numbers {numbers}")


def launched_by_msrun() -> bool:
    """True where msrun started this process, as one of several workers or as the scheduler between them.

    The scheduler runs the same command; it never leaves ``communication.init`` with work to do.
    """
    if os.environ.get("MS_ROLE") not in ("MS_WORKER", "MS_SCHED"):
        return False
    workers = os.environ.get("MS_WORKER_NUM", "1")
    if not (workers.isascii() and workers.isdigit()):
        raise InputError(f"MS_WORKER_NUM is '{workers}'; expected the number of workers, as msrun sets it")
    return int(workers) > 1


def job_name() -> str | None:
    """Return what the processes of one msrun job have in common and no other job has; None without one."""
    if not launched_by_msrun():
        return None
    host = os.environ.get("MS_SCHED_HOST", "")
    if host in ("", "localhost") or host.startswith("127."):
        host = socket.gethostname()
    return f"{host}:{os.environ.get('MS_SCHED_PORT', '')}"


def _join_job(target: str) -> tuple[int, int]:
    """Join the other processes of an msrun job; (0, 1) without one."""
    if not launched_by_msrun():
        return 0, 1
    from mindspore import communication

    communication.init({"CPU": "mccl", "GPU": "nccl", "Ascend": "hccl"}[target])
    return communication.get_rank(), communication.get_group_size()


@contextlib.contextmanager
def graph_mode() -> Iterator[None]:
    """Compile whole Cells inside the block: for code of others that calls Cells in a loop and is not jitted."""
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make everything random inside the block follow from ``seed``.

    MindSpore's initialisers draw from its global seed and, for recurrent cells, from NumPy's global state;
    the latter is restored when the block ends.
    """
    import mindspore as ms

    with numpy_state(seed):
        ms.set_seed(seed % 2**31)
        yield
