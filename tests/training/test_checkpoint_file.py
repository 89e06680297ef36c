"""Checkpoints that others have made or that were damaged: what is taken, what is refused, and that nothing crashes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore.train.checkpoint_pb2 import Checkpoint

from command import assert_refused, call
from mindleak.errors import InputError
from mindleak.training import checkpoint
from mindleak.training.checkpoint_file import read
from training_setup import Linear, same, seeded, weights

NAMES = {"dense.weight": (3, 6), "dense.bias": (3,)}


def linear(seed: int = 0) -> nn.Cell:
    return seeded(Linear, seed)


def saved(path: Path, prefix: str = "", more: dict[str, np.ndarray] | None = None, **options: object) -> Path:
    """The weights of ``linear(1)`` as another program saves them."""
    arrays = {**{prefix + name: value for name, value in weights(linear(1)).items()}, **(more or {})}
    ms.save_checkpoint([{"name": name, "data": Tensor(value)} for name, value in arrays.items()], str(path), **options)
    path.chmod(0o600)
    return path


def altered(path: Path, change: Callable[[Checkpoint], None]) -> Path:
    """A .ckpt whose message was changed, with no checksum to tell."""
    message = Checkpoint()
    message.ParseFromString(saved(path).read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    return path


# --- what MindSpore takes is taken ---------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["network.", "_backbone.", "backbone.", "network._backbone.", "networks.",
                                    "linear."])
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_a_prefix_that_all_weights_share_is_taken_as_mindspore_takes_it(tmp_path: Path, prefix: str, suffix: str,
                                                                        ) -> None:
    moments = {f"{kept}.{prefix}{name}": np.ones(shape, np.float32) for name, shape in NAMES.items()
               for kept in ("moments", "accum")}
    path = saved(tmp_path / f"net.{suffix}", prefix, {**moments, "learning_rate": np.float32(0.1)}, format=suffix)
    network, mindspores = linear(), linear()
    checkpoint.load_weights(network, path)
    assert same(weights(network), weights(linear(1)))
    # In a .safetensors, which is sorted by name, MindSpore itself takes the optimiser's state for the weights.
    if suffix == "ckpt":
        missing, _ = ms.load_param_into_net(mindspores, ms.load_checkpoint(str(path)))
        assert missing == [] and same(weights(mindspores), weights(network))


def test_an_optimisers_state_is_not_taken_for_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.ckpt"
    state = {f"moments.{name}": np.ones(shape, np.float32) for name, shape in NAMES.items()}
    saved(path, "_backbone.", state)
    network = linear()
    checkpoint.load_weights(network, path)
    assert same(weights(network), weights(linear(1)))
    ms.save_checkpoint([{"name": name, "data": Tensor(value)} for name, value in state.items()], str(path))
    with pytest.raises(InputError, match="lacks 'dense.weight'"):
        checkpoint.load_weights(network, path)


def test_two_networks_in_one_file_are_told_apart(tmp_path: Path) -> None:
    student = {f"student.{name}": np.ones(shape, np.float32) for name, shape in NAMES.items()}
    path = saved(tmp_path / "net.ckpt", "teacher.", student)
    with pytest.raises(InputError, match="2 networks of this architecture, under 'teacher.' and 'student.'"):
        checkpoint.load_weights(linear(), path)


@pytest.mark.parametrize("crc_check", [True, False])
def test_what_append_dict_leaves_is_passed_over(tmp_path: Path, crc_check: bool) -> None:
    ms.save_checkpoint(linear(1), str(tmp_path / "net.ckpt"), crc_check=crc_check, append_dict={
        "note": "best", "empty": "", "epoch": 3, "done": True, "rate": 0.5})
    network = linear()
    checkpoint.load_weights(network, tmp_path / "net.ckpt")
    assert same(weights(network), weights(linear(1)))
    assert read(tmp_path / "net.ckpt")["epoch"] == 3


@pytest.mark.parametrize("crc_check", [True, False])
def test_safetensors_are_read(tmp_path: Path, crc_check: bool) -> None:
    ms.save_checkpoint(linear(1), str(tmp_path / "net.safetensors"), format="safetensors", crc_check=crc_check,
                       append_dict={"epoch": 3})
    network = linear()
    checkpoint.load_weights(network, tmp_path / "net.safetensors")
    assert same(weights(network), weights(linear(1)))


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
@pytest.mark.parametrize("kind", [ms.float16, ms.float32, ms.float64, ms.bfloat16])
def test_real_numbers_of_any_width_are_read(tmp_path: Path, suffix: str, kind: object) -> None:
    path = tmp_path / f"net.{suffix}"
    ms.save_checkpoint([{"name": name, "data": Tensor(np.full(shape, 1.5), kind)} for name, shape in NAMES.items()],
                       str(path), format=suffix)
    network = linear()
    checkpoint.load_weights(network, path)
    assert all((value == 1.5).all() for value in weights(network).values())


def test_a_weight_in_slices_is_put_together(tmp_path: Path) -> None:
    def slice_up(message: Checkpoint) -> None:
        whole = [value.tensor for value in message.value]
        pieces = Checkpoint()
        for name, tensor in zip(NAMES, whole):
            for start in range(0, len(tensor.tensor_content), 8):
                piece = pieces.value.add(tag=name)
                piece.tensor.CopyFrom(tensor)
                piece.tensor.tensor_content = tensor.tensor_content[start:start + 8]
        message.CopyFrom(pieces)

    path = altered(tmp_path / "net.ckpt", slice_up)
    assert ms.load_checkpoint(str(path))["dense.weight"].shape == (3, 6)
    network = linear()
    checkpoint.load_weights(network, path)
    assert same(weights(network), weights(linear(1)))


# --- what is no checkpoint, or another's ---------------------------------------------------------------------


def test_other_things_are_refused_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.ckpt").mkdir()
    os.mkfifo(tmp_path / "pipe.ckpt")
    (tmp_path / "net.pth").write_bytes(pickle.dumps({}))
    (tmp_path / "pickled.ckpt").write_bytes(pickle.dumps({}))
    with zipfile.ZipFile(tmp_path / "torch.ckpt", "w") as archive:
        archive.writestr("data.pkl", b"")
    ms.save_checkpoint(linear(), str(tmp_path / "locked.ckpt"), enc_key=b"0123456789ABCDEF")
    cases = {"folder.ckpt": "is a folder; expected a file", "pipe.ckpt": "is a named pipe",
             "net.pth": "does not end in .ckpt or .safetensors", "pickled.ckpt": "is a Python pickle",
             "torch.ckpt": "is an archive (PyTorch's", "locked.ckpt": "is encrypted", "none.ckpt": "does not exist"}
    for name, complaint in cases.items():
        with pytest.raises(InputError) as refusal:
            read(tmp_path / name)
        assert complaint in str(refusal.value) and str(tmp_path / name) in str(refusal.value)
    outcome = call(capfd, "predict", "--ckpt", tmp_path / "folder.ckpt", "--run_dir", tmp_path / "run")
    assert_refused(outcome, "folder.ckpt' is a folder")


# --- damage --------------------------------------------------------------------------------------------------


def _set(number: int, **values: object) -> Callable[[Checkpoint], None]:
    def change(message: Checkpoint) -> None:
        tensor = message.value[number].tensor
        for name, value in values.items():
            if name == "dims":
                tensor.dims[:] = value
            else:
                setattr(tensor, name, value)

    return change


@pytest.mark.parametrize("change, complaint", [
    (_set(0, tensor_content=b"abc"), r"'dense.weight' has 3 bytes, which are not Float32 numbers of shape \(3, 6\)"),
    (_set(0, tensor_content=b""), "'dense.weight' has 0 bytes"),
    (_set(0, dims=[3, 7]), "'dense.weight' has 72 bytes"),
    (_set(0, dims=[3, 6 + 2**40]), "'dense.weight' has 72 bytes"),
    (_set(0, dims=[2**62, 2**62]), "'dense.weight' has 72 bytes"),
    (_set(0, dims=[-3, -6]), "'dense.weight' has 72 bytes"),
    (_set(0, dims=[1] * 100_000), "'dense.weight' has 72 bytes"),
    (_set(0, dims=[6, 3]), r"has shape \(6, 3\), the network needs \(3, 6\)"),
    (_set(0, tensor_type="Float64"), "'dense.weight' has 72 bytes"),
    (_set(0, tensor_type="Int32"), "'dense.weight' holds int32 numbers, the network needs float32"),
    (_set(0, tensor_type="float32"), "'dense.weight' is of type 'float32'; expected one of Bool, Int8"),
    (_set(0, tensor_type="\x1b[2J" * 99), r"is of type '\\x1b\[2J"),
    (_set(0, tensor_type="str"), "lacks 'dense.weight'"),
    (lambda message: message.value.add().CopyFrom(message.value[0]), "'dense.weight' is there twice"),
    (lambda message: setattr(message.value[1], "tag", "dense.weight"), "'dense.weight' is there twice"),
    (lambda message: message.value[0].maptensor.SetInParent(), "'dense.weight' is no tensor"),
    (lambda message: message.ClearField("value"), "is empty"),
    (_set(1, tensor_content=np.array([0, np.nan, 0], np.float32).tobytes()), "not finite in 'dense.bias'"),
    (_set(1, tensor_type="Float64", tensor_content=np.array([0, 1e300, 0]).tobytes()), "not finite in 'dense.bias'"),
])
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, change: Callable[[Checkpoint], None],
                                                   complaint: str) -> None:
    network = linear()
    with pytest.raises(InputError, match=complaint) as refusal:
        checkpoint.load_weights(network, altered(tmp_path / "net.ckpt", change))
    assert len(str(refusal.value)) < 500 and str(refusal.value).isprintable()
    assert same(weights(network), weights(linear()))


FUZZ = """
import os, sys
from pathlib import Path
import numpy as np
from mindleak.errors import InputError
from mindleak.training import checkpoint
from training_setup import Linear, seeded, weights

for path in map(Path, sys.argv[2:]):
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    network, counts = seeded(Linear), dict(refused=0, loaded=0)
    checkpoint.load_weights(network, path)
    right = b"".join(value.tobytes() for value in weights(network).values())
    for number in range(int(sys.argv[1])):
        content = bytearray(whole)
        if number % 10 == 0:
            content = content[:generator.integers(len(content))]
        else:
            content[generator.integers(len(content))] ^= 1 << generator.integers(8)
        path.write_bytes(content)
        os.write(2, b"%d\\r" % number)
        try:
            checkpoint.load_weights(network, path)
        except InputError as error:
            counts["refused"] += 1
            assert len(str(error)) <= 500 and str(error).isprintable(), error
            continue
        # A bit inside a weight cannot be seen in a file without a checksum; anything else must be as it was.
        counts["loaded"] += 1
        found = b"".join(value.tobytes() for value in weights(network).values())
        assert sum(one != other for one, other in zip(found, right)) <= 1, number
    print(counts["refused"], counts["loaded"])
"""


FORMATS = [("ckpt", False), ("ckpt", True), ("safetensors", False), ("safetensors", True)]


@pytest.fixture(scope="module")
def altered_files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], tuple[int, int]]:
    """Of 500 altered files of every format, how many were refused and loaded; in a process that may crash."""
    folder = tmp_path_factory.mktemp("altered")
    paths = [saved(folder / f"net{number}.{suffix}", format=suffix, crc_check=crc_check)
             for number, (suffix, crc_check) in enumerate(FORMATS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FUZZ, "500", *map(str, paths)], env=environment, capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {form: (int(refused), int(loaded)) for form, (refused, loaded) in zip(FORMATS, lines)}


@pytest.mark.parametrize("suffix, crc_check", FORMATS)
def test_no_flipped_bit_and_no_cut_crashes_or_passes_as_other_weights(
        altered_files: dict[tuple[str, bool], tuple[int, int]], suffix: str, crc_check: bool) -> None:
    refused, loaded = altered_files[suffix, crc_check]
    assert refused + loaded == 500
    assert refused > 450 if crc_check else refused > 100
