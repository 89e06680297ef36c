"""The file formats: what is read right, and what one line a damaged or foreign file earns."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_files import idx_bytes, random_images, write_cifar, write_idx_set
from mindleak.data import catalogue
from mindleak.data.cifar import ROW_BYTES, read_batch
from mindleak.data.custom import read_custom, read_rows
from mindleak.data.idx import IdxFiles, read_idx, read_idx_files
from mindleak.errors import InputError


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# --- IDX -------------------------------------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    packed=st.booleans(),
    members=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_idx_reads_back_what_was_written(tmp_path_factory, shape, packed, members, seed):
    array = random_images(np.random.default_rng(seed), *shape)
    content = idx_bytes(array)
    if packed:  # parallel compressors write several gzip members one after the other
        cut = -(-len(content) // members)
        content = b"".join(gzip.compress(content[i : i + cut]) for i in range(0, len(content), cut))
    path = tmp_path_factory.mktemp("idx") / "images"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_idx(path, (3,)), array)


def test_idx_cut_file_names_expected_and_found_bytes(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((4, 3, 3), np.uint8))[:-5])
    with pytest.raises(InputError) as error:
        read_idx(path, (3,))
    assert "52 bytes expected" in one_line(error)
    assert "47 found" in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keep", [3, 11])
def test_idx_cut_header(tmp_path, keep):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((4, 3, 3), np.uint8))[:keep])
    with pytest.raises(InputError, match="cut|not an IDX"):
        read_idx(path, (3,))


def test_idx_longer_than_its_header(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((4, 3, 3), np.uint8)) + b"x")
    with pytest.raises(InputError, match="longer than its header"):
        read_idx(path, (3,))


def test_idx_cut_gzip(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(random_images(np.random.default_rng(0), 40, 9, 9)))[:-300])
    with pytest.raises(InputError, match="cut gzip"):
        read_idx(path, (3,))


@pytest.mark.parametrize("where", ["body", "checksum"])
def test_idx_corrupted_gzip(tmp_path, where):
    content = bytearray(gzip.compress(idx_bytes(random_images(np.random.default_rng(0), 40, 9, 9))))
    content[-6 if where == "checksum" else len(content) // 2] ^= 0xFF
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_idx(path, (3,))
    assert "gzip" in one_line(error)


def test_idx_unpacks_no_more_than_announced(tmp_path):
    """A gzip bomb behind a small header is refused after one surplus byte, not after 64 MB."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((1, 2, 2), np.uint8)) + bytes(1 << 26)))
    with pytest.raises(InputError, match="longer than its header says: 20 bytes"):
        read_idx(path, (3,))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 a zip archive", "not an IDX file"),
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x03" + bytes(12), "type 0x0d"),
        (b"\0\0\x08\x02" + bytes(8), "2-dimensional"),
    ],
)
def test_idx_wrong_magic(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_idx(path, (3,))
    assert words in one_line(error)
    assert str(path) in str(error.value)


def test_idx_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_idx(tmp_path / "none", (3,))


def test_idx_swapped_images_and_labels(tmp_path):
    write_idx_set(tmp_path)
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    swap = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(swap)
    with pytest.raises(InputError) as error:
        catalogue.load("mnist", tmp_path)
    assert "train-images-idx3-ubyte holds labels" in one_line(error)
    assert "swapped" in str(error.value)


def test_idx_count_mismatch_names_both_files(tmp_path):
    """Training labels beside test images: the usual way to swap two files."""
    write_idx_set(tmp_path)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte")
    files = IdxFiles(*(tmp_path / name for name in names), tmp_path / "train-labels-idx1-ubyte")
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte holds 20 images but .*train-labels.* 30 labels"):
        read_idx_files(files)


def test_idx_label_outside_the_classes(tmp_path):
    arrays = write_idx_set(tmp_path)
    labels = arrays["t10k-labels-idx1-ubyte"].copy()
    labels[7] = 10
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte: label 10 in row 7 \(1 such rows\).* 0\.\.9"):
        catalogue.load("mnist", tmp_path)


def test_idx_other_image_size_is_not_mnist(tmp_path):
    write_idx_set(tmp_path, side=20)
    with pytest.raises(InputError, match="20x20 images; MNIST has 28x28"):
        catalogue.load("mnist", tmp_path)


def test_idx_without_images(tmp_path):
    write_idx_set(tmp_path, rows=(0, 20))
    with pytest.raises(InputError, match="holds no images"):
        catalogue.load("mnist", tmp_path)


# --- CIFAR-10 --------------------------------------------------------------------------------------------


def test_cifar_takes_the_row_count_from_the_size_and_keeps_the_planes(tmp_path):
    batches = write_cifar(tmp_path / "cifar-10-batches-bin")
    data = catalogue.load("cifar10", tmp_path)
    assert data.x_train.shape == (60, 3, 32, 32)
    assert data.class_names[:2] == ("airplane", "automobile")
    last = batches["data_batch_5.bin"][3]
    assert data.y_train[4 * 12 + 3] == last[0]
    np.testing.assert_array_equal(data.x_train[4 * 12 + 3, 1, 5], last[1 + 1024 + 160 :][:32] / np.float32(255))


def test_cifar_names_come_from_the_file(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    names = tmp_path / "cifar-10-batches-bin" / "batches.meta.txt"
    names.write_text("\n".join(f"thing{i}" for i in range(10)) + "\n\n")
    assert catalogue.load("cifar10", tmp_path).class_names[9] == "thing9"
    names.write_text("one\ntwo\n")
    with pytest.raises(InputError, match="names 2 classes; 10 expected"):
        catalogue.load("cifar10", tmp_path)


def test_cifar_missing_batch_is_named(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    with pytest.raises(InputError, match=r"cifar10: data_batch_3\.bin not found beside .*data_batch_1\.bin"):
        catalogue.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(ROW_BYTES * 2 - 100), f"{ROW_BYTES * 2 - 100} bytes found, {ROW_BYTES * 2} expected"),
        (bytes((ROW_BYTES + 1) * 5), "CIFAR-100"),
        (b"", "is empty"),
        (bytes([10]) + bytes(ROW_BYTES - 1), "label 10 in row 0"),
    ],
)
def test_cifar_damaged_batches(tmp_path, content, words):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_batch(path, 10)
    assert words in one_line(error)
    assert str(path) in str(error.value)


# --- the user's own data ---------------------------------------------------------------------------------


def own_arrays(rng: np.random.Generator, layout: str, dtype: str, channels: int = 1, classes: int = 3) -> dict:
    arrays: dict[str, np.ndarray] = {}
    for half, count in (("train", 9), ("test", 6)):
        images = random_images(rng, count, channels, 5, 7)
        if dtype != "uint8":
            images = (images / 255).astype(dtype)
        arrays[f"x_{half}"] = {
            "NHW": lambda x: x[:, 0],
            "NHWC": lambda x: x.transpose(0, 2, 3, 1),
            "NCHW": lambda x: x,
        }[layout](images)
        arrays[f"y_{half}"] = np.arange(count) % classes
    return arrays


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize(("layout", "channels"), [("NHW", 1), ("NHWC", 1), ("NHWC", 3), ("NCHW", 1), ("NCHW", 3)])
def test_custom_layouts_and_types_give_the_same_images(tmp_path, layout, channels, dtype):
    path = tmp_path / "own.npz"
    np.savez(path, **own_arrays(np.random.default_rng(1), layout, dtype, channels))
    data = catalogue.load("custom", path)
    expected = random_images(np.random.default_rng(1), 9, channels, 5, 7) / 255
    assert data.image_shape == (channels, 5, 7)
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == np.int32
    np.testing.assert_allclose(data.x_train, expected, atol=1e-7 if dtype != "float16" else 5e-4)
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize("layout", ["NHW", "NHWC"])
def test_custom_digest_does_not_depend_on_the_layout(tmp_path, layout):
    for name in ("NCHW", layout):
        np.savez_compressed(tmp_path / f"{name}.npz", **own_arrays(np.random.default_rng(1), name, "uint8"))
    digests = {catalogue.load("custom", tmp_path / f"{name}.npz").digest for name in ("NCHW", layout)}
    assert len(digests) == 1


def test_custom_class_names_and_label_columns(tmp_path):
    arrays = own_arrays(np.random.default_rng(1), "NHW", "uint8")
    arrays["y_train"] = arrays["y_train"][:, np.newaxis].astype(np.uint8)
    np.savez(tmp_path / "own.npz", class_names=np.array(["cat", "dog", "emu", "fox"]), **arrays)
    data = catalogue.load("custom", tmp_path / "own.npz")
    assert data.class_names == ("cat", "dog", "emu", "fox")  # an empty class is fine when it has a name
    assert data.y_train.shape == (9,)


def _break(**changes):
    def apply(arrays):
        for name, change in changes.items():
            arrays[name] = change(arrays[name]) if callable(change) else change
        return arrays

    return apply


def _with(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("dtype", "damage", "words"),
    [
        ("float32", _break(x_train=_with((4, 2, 3), np.nan)), "x_train: pixel value nan in row 4 is not finite"),
        ("float32", _break(x_test=_with((1, 0, 0), np.inf)), "x_test: pixel value inf in row 1 is not finite"),
        ("float32", _break(x_train=_with((2, 0, 0), -0.5)), "x_train: pixel value -0.5 in row 2 is outside"),
        ("float32", _break(x_train=_with((2, 0, 0), 200)), "divide by 255"),
        ("uint8", _break(y_train=_with(3, -1)), "y_train: label -1 is negative"),
        ("uint8", _break(y_test=_with(3, 7)), "y_test: label 7 in row 3"),
        ("uint8", _break(y_train=lambda y: y + 1), "y_train: label 0 never occurs"),
        ("uint8", _break(y_train=lambda y: y.astype(float)), "y_train: labels of type float64"),
        ("uint8", _break(y_train=lambda y: np.eye(3)[y]), "y_train: shape (9, 3)"),
        ("uint8", _break(y_train=lambda y: y[:-1]), "9 images but"),
        ("uint8", _break(x_train=lambda x: x[:0], y_train=lambda y: y[:0]), "x_train holds no images"),
        ("uint8", _break(x_test=lambda x: x[:, :, :-1]), "x_test: images of (channels, height, width)"),
        ("uint8", _break(x_test=lambda x: (x / 255).astype(np.float32)), "x_test: float32 pixels, but x_train"),
        ("uint8", _break(x_train=lambda x: x.astype(np.int64)), "x_train: int64 pixels"),
        ("uint8", _break(x_train=lambda x: x.reshape(9, -1)), "x_train: shape (9, 35)"),
        ("uint8", _break(x_train=lambda x: np.zeros((9, 5, 7, 2), np.uint8)), "neither 1 nor 3 channels"),
        ("uint8", _break(x_train=lambda x: np.zeros((9, 3, 7, 3), np.uint8)), "can be read as"),
        ("uint8", _break(x_train=lambda x: x.astype(object)), "x_train is an object array (a pickle)"),
        ("uint8", _break(class_names=np.array(["a", "a", "b"])), "holds a name twice"),
        ("uint8", _break(class_names=np.array([1, 2, 3])), "class_names must be"),
        ("uint8", _break(class_names=np.array(["a", "b"])), "label 2 in row 2"),
    ],
)
def test_custom_bad_arrays(tmp_path, dtype, damage, words):
    path = tmp_path / "own.npz"
    arrays = own_arrays(np.random.default_rng(1), "NHW", dtype)
    arrays.setdefault("class_names", None)
    arrays = {name: array for name, array in damage(arrays).items() if array is not None}
    np.savez(path, **arrays)
    with pytest.raises(InputError) as error:
        read_custom(path)
    assert words in one_line(error)
    assert str(path) in str(error.value)


def test_custom_missing_array_and_missing_file(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.zeros((1, 2, 2), np.uint8), other=np.zeros(1))
    with pytest.raises(InputError, match="lacks y_train, x_test, y_test; it holds other, x_train"):
        read_custom(path)
    with pytest.raises(InputError, match=r"none\.npz: no such"):
        read_custom(tmp_path / "none.npz")


@pytest.mark.parametrize("kind", ["cut", "flipped", "npy", "pickle", "text"])
def test_custom_damaged_files(tmp_path, kind):
    path = tmp_path / "own.npz"
    np.savez(path, **own_arrays(np.random.default_rng(1), "NHW", "uint8"))
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[200] ^= 0xFF  # inside x_train's pixels: the archive's own checksum tells
    elif kind == "npy":
        np.save(tmp_path / "plain.npy", np.zeros(3))
        content = bytearray((tmp_path / "plain.npy").read_bytes())
    elif kind == "pickle":
        content = bytearray(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.")
    path.write_bytes({"cut": bytes(content[: len(content) // 2]), "text": b"hello"}.get(kind, bytes(content)))
    with pytest.raises(InputError) as error:
        read_custom(path)
    assert str(path) in one_line(error)


def test_custom_idx_folder_with_any_size_and_number_of_classes(tmp_path):
    arrays = write_idx_set(tmp_path, side=11, ending=".gz")
    data = catalogue.load("custom", tmp_path)
    assert data.image_shape == (1, 11, 11)
    assert data.num_classes == 10
    np.testing.assert_array_equal(data.y_test, arrays["t10k-labels-idx1-ubyte"])


def test_custom_idx_folder_in_colour(tmp_path):
    write_idx_set(tmp_path)
    rng = np.random.default_rng(3)
    for name, count in (("train", 30), ("t10k", 20)):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(random_images(rng, count, 3, 6, 8)))
    assert catalogue.load("custom", tmp_path).image_shape == (3, 6, 8)


def test_custom_empty_folder(tmp_path):
    with pytest.raises(InputError) as error:
        catalogue.load("custom", tmp_path)
    assert "train-images-idx3-ubyte[.gz]" in one_line(error)
    assert "download" not in str(error.value)


def test_rows_file_reads_numbers_and_refuses_the_rest(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([3, 1]))
    np.testing.assert_array_equal(read_rows(tmp_path / "rows.npy"), [3, 1])
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "rows.npz", rows=np.array([3, 1]))
    for name, words in (("none", "no such file"), ("objects", "not a readable"), ("rows.npz", "archive")):
        path = tmp_path / (name if "." in name else f"{name}.npy")
        with pytest.raises(InputError, match=words):
            read_rows(path)
