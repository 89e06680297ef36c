"""Downloads against a server on loopback: sound, broken, wrong, hostile."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from command import call
from data_files import idx_bytes, write_idx_set
from loopback import LoopbackServer
from mindleak.data import catalogue
from mindleak.data.archive import unpack
from mindleak.data.cifar import FILES, FOLDER, ROW_BYTES
from mindleak.data.download import download
from mindleak.data.sources import Archive, PublishedFile, Source
from mindleak.errors import InputError


def declare(monkeypatch, name: str, source: Source) -> None:
    entry = catalogue.entry(name)
    changed = dataclasses.replace(entry, files=dataclasses.replace(entry.files, source=source))
    monkeypatch.setitem(catalogue._CATALOGUE, name, changed)


def published(name: str, packed: bytes, content: bytes | None = None) -> PublishedFile:
    content_sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    return PublishedFile(name, len(packed), hashlib.sha256(packed).hexdigest(), content_sha256)


@pytest.fixture
def tiny_mnist(server, monkeypatch):
    """A small MNIST that the server offers; returns its files by name."""
    rng = np.random.default_rng(0)
    files = []
    for prefix, count in (("train", 40), ("t10k", 20)):
        arrays = {
            f"{prefix}-images-idx3-ubyte.gz": rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            f"{prefix}-labels-idx1-ubyte.gz": (np.arange(count) % 10).astype(np.uint8),
        }
        for name, array in arrays.items():
            packed = gzip.compress(idx_bytes(array))
            server.files[name] = packed
            files.append(published(name, packed, idx_bytes(array)))
    declare(monkeypatch, "mnist", Source(tuple(files), (server.address,)))
    return dict(server.files)


IMAGES = "train-images-idx3-ubyte.gz"
PART = f"{IMAGES}.part"
NOTE = f"{PART}.json"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_download_delivers_a_loadable_data_set(tiny_mnist, server, tmp_path):
    delivered = download("mnist", tmp_path / "data")
    assert [(item.path.name, item.fetched) for item in delivered] == [(name, True) for name in tiny_mnist]
    assert names_in(tmp_path) == set(tiny_mnist)
    assert len(catalogue.load("mnist", tmp_path / "data").x_train) == 40


@pytest.mark.parametrize("present", ["", "data", "data/mnist"])
def test_a_download_that_fails_leaves_no_folder_that_was_not_there(tiny_mnist, server, tmp_path, present):
    server.files.clear()
    (tmp_path / present).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="404"):
        download("mnist", tmp_path / "data")
    assert sorted(tmp_path.rglob("*")) == before


def test_files_keep_the_users_umask(tiny_mnist, tmp_path):
    mask = os.umask(0o022)
    try:
        delivered = download("mnist", tmp_path)
    finally:
        os.umask(mask)
    assert {item.path.stat().st_mode & 0o777 for item in delivered} == {0o644}


def test_progress_counts_up_to_the_whole_of_every_file(tiny_mnist, tmp_path):
    seen: dict[str, list[tuple[int, int]]] = {}
    download("mnist", tmp_path, progress=lambda name, got, total: seen.setdefault(name, []).append((got, total)))
    for name, content in tiny_mnist.items():
        received = [got for got, _ in seen[name]]
        assert received == sorted(received)
        assert seen[name][-1] == (len(content), len(content))


def test_a_second_download_fetches_nothing(tiny_mnist, server, tmp_path):
    download("mnist", tmp_path)
    server.requests.clear()
    assert not any(item.fetched for item in download("mnist", tmp_path))
    assert server.requests == []


def test_files_in_another_layout_or_packing_are_not_fetched_again(tiny_mnist, server, tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in tiny_mnist.items():
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert not any(item.fetched for item in download("mnist", tmp_path))
    assert server.requests == []


def test_only_the_missing_file_is_fetched(tiny_mnist, server, tmp_path):
    download("mnist", tmp_path)
    (tmp_path / "mnist" / IMAGES).unlink()
    server.requests.clear()
    delivered = download("mnist", tmp_path)
    assert server.requests == [IMAGES]
    assert [item.path.name for item in delivered if item.fetched] == [IMAGES]


@pytest.mark.parametrize("complete", [True, False])
def test_the_users_own_files_are_never_overwritten(tiny_mnist, server, tmp_path, complete):
    write_idx_set(tmp_path / "mnist", ending=".gz")
    if not complete:
        (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    before = (tmp_path / "mnist" / IMAGES).read_bytes()
    with pytest.raises(InputError, match=r"is in the way.*30 rows.*move or delete it first"):
        download("mnist", tmp_path)
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == before
    assert server.requests == []


def test_a_namesake_beside_is_not_in_the_way(tiny_mnist, server, tmp_path, monkeypatch):
    """Fashion-MNIST can be fetched into a data directory whose top level holds MNIST's files."""
    for name, content in tiny_mnist.items():
        (tmp_path / name).write_bytes(content)
    files = []
    for file in catalogue.entry("mnist").files.source.files:
        content = gzip.decompress(tiny_mnist[file.name])
        body = gzip.compress(content[:-1] + bytes([(content[-1] + 1) % 10]))
        server.files[file.name] = body
        files.append(published(file.name, body))
    declare(monkeypatch, "fashion_mnist", Source(tuple(files), (server.address,)))
    assert all(item.fetched for item in download("fashion_mnist", tmp_path))
    assert len(catalogue.load("fashion_mnist", tmp_path).x_train) == 40


@pytest.mark.parametrize(
    ("fault", "words", "kept"),
    [
        ("broken", "the transfer broke off after", True),
        ("short", "the transfer broke off after", True),
        ("surplus", "more than the", False),
        ("wrong", "wrong checksum", False),
        ("500", "HTTP 500", False),
    ],
)
def test_a_fault_is_retried_once_then_reported(tiny_mnist, server, tmp_path, fault, words, kept):
    """What may be the beginning of the file is kept, and nothing else."""
    server.faults[IMAGES] = [fault, fault]
    with pytest.raises(InputError) as error:
        download("mnist", tmp_path)
    message = str(error.value)
    assert words in message
    assert ("the next try goes on" if kept else "nothing was kept") in message
    assert "\n" not in message
    assert server.requests.count(IMAGES) == 2
    assert names_in(tmp_path) == ({PART, NOTE} if kept else set())

    server.faults[IMAGES] = [fault]
    download("mnist", tmp_path)
    assert names_in(tmp_path) == set(tiny_mnist)
    assert (tmp_path / "mnist" / IMAGES).read_bytes() == tiny_mnist[IMAGES]


def test_not_found_is_not_asked_for_twice(tiny_mnist, server, tmp_path):
    del server.files[IMAGES]
    with pytest.raises(InputError, match="HTTP 404"):
        download("mnist", tmp_path)
    assert server.requests == [IMAGES]
    assert names_in(tmp_path) == set()


def test_a_hanging_server_times_out(tiny_mnist, server, tmp_path):
    server.faults[IMAGES] = ["hang", "hang"]
    with pytest.raises(InputError, match="timed out"):
        download("mnist", tmp_path, timeout=0.2)


def test_no_server_at_all(tiny_mnist, tmp_path):
    with pytest.raises(InputError, match="refused"):
        download("mnist", tmp_path, mirrors=["http://127.0.0.1:9/"])


def test_the_next_mirror_steps_in(tiny_mnist, server, tmp_path):
    download("mnist", tmp_path, mirrors=[f"{server.address}elsewhere", server.address])
    assert names_in(tmp_path) == set(tiny_mnist)
    assert server.requests[:2] == [f"elsewhere/{IMAGES}", IMAGES]


def test_the_command_line_tells_which_address_failed_and_goes_on(tiny_mnist, server, tmp_path, capfd):
    dead = "http://127.0.0.1:9"
    mirrors = ("--mirror", dead, "--mirror", server.address)
    outcome = call(capfd, "data", "download", "mnist", "--data_dir", tmp_path, *mirrors)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [f"fetched: {tmp_path / 'mnist' / name}" for name in tiny_mnist]
    assert outcome.err.splitlines() == [
        f"{dead}/{name}: no answer (Connection refused); trying the next address" for name in tiny_mnist
    ]


def test_the_command_line_names_every_address_that_failed(tiny_mnist, server, tmp_path, capfd):
    server.faults[IMAGES] = ["broken", "broken"]
    mirrors = ("--mirror", "http://127.0.0.1:9", "--mirror", server.address)
    outcome = call(capfd, "data", "download", "mnist", "--data_dir", tmp_path, *mirrors)
    assert outcome.code == 2
    told, refused = outcome.err.splitlines()
    assert "trying the next address" in told
    for words in ("Connection refused", "broke off after", f"bytes are kept in {tmp_path / 'mnist' / PART}"):
        assert words in refused


def test_only_http_addresses_are_read(tiny_mnist, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / IMAGES).write_bytes(tiny_mnist[IMAGES])
    with pytest.raises(InputError, match="not an http or https address"):
        download("mnist", tmp_path / "data", mirrors=[f"file://{source}"])


def test_nothing_to_download_and_nowhere_to_put_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    with pytest.raises(InputError, match="'digits' has nothing to download"):
        download("digits", tmp_path)
    with pytest.raises(InputError, match="no data directory"):
        download("mnist")


def test_an_unwritable_directory(tiny_mnist, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to"):
        download("mnist", tmp_path / "file" / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to"):
        download("mnist", tmp_path / "data")


def test_a_full_disk(tiny_mnist, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    words = rf"cannot write to .*mnist: No space left on device \(\d+ MiB free\); {PART} stays for the next try"
    with pytest.raises(InputError, match=words):
        download("mnist", tmp_path)
    assert names_in(tmp_path) == {PART, NOTE}
    monkeypatch.undo()


def test_an_interrupt_keeps_what_has_arrived_and_says_so(tiny_mnist, tmp_path):
    def interrupt(name: str, received: int, total: int) -> None:
        raise KeyboardInterrupt

    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        download("mnist", tmp_path, progress=interrupt, report=lines.append)
    assert names_in(tmp_path) == {PART, NOTE}
    (line,) = lines
    assert line.startswith(f"{IMAGES}: ") and "the next try goes on from there" in line


# --- archives --------------------------------------------------------------------------------------------


def cifar_members(rows: int = 10) -> dict[str, bytes]:
    batch = np.zeros((rows, ROW_BYTES), np.uint8)
    batch[:, 0] = np.arange(rows) % 10
    batch[:, 1] = np.arange(rows)
    members = {name: batch.tobytes() for name in FILES}
    return {**members, "batches.meta.txt": b"".join(b"name%d\n" % number for number in range(10))}


def cifar_archive() -> Archive:
    wanted = tuple(published(name, content) for name, content in cifar_members().items() if name in FILES)
    return Archive(FOLDER, wanted, extras=("batches.meta.txt",))


def archive_of(members: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return stream.getvalue()


def offer_cifar(server: LoopbackServer, monkeypatch, packed: bytes) -> None:
    server.files["cifar-10-binary.tar.gz"] = packed
    source = Source((published("cifar-10-binary.tar.gz", packed),), (server.address,), cifar_archive())
    declare(monkeypatch, "cifar10", source)


def test_an_archive_is_fetched_unpacked_and_removed(server, monkeypatch, tmp_path):
    offer_cifar(server, monkeypatch, archive_of(cifar_members()))
    delivered = download("cifar10", tmp_path)
    assert all(item.fetched and item.path.is_file() for item in delivered)
    assert names_in(tmp_path) == set(cifar_members())
    data = catalogue.load("cifar10", tmp_path)
    assert (len(data.x_train), data.class_names[3]) == (50, "name3")
    server.requests.clear()
    assert not any(item.fetched for item in download("cifar10", tmp_path))
    assert server.requests == []


def test_an_incomplete_folder_is_refused_before_fetching(server, monkeypatch, tmp_path):
    offer_cifar(server, monkeypatch, archive_of(cifar_members()))
    download("cifar10", tmp_path)
    (tmp_path / "cifar10" / FOLDER / FILES[2]).unlink()
    server.requests.clear()
    with pytest.raises(InputError, match=r"cifar-10-batches-bin lacks data_batch_3\.bin; move or delete it"):
        download("cifar10", tmp_path)
    assert server.requests == []


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "../../../evil.txt"
    return info


@pytest.mark.parametrize("name", [f"{FOLDER}/../../evil.txt", "/tmp/evil.txt", f"{FOLDER}\\..\\..\\evil.txt"])
def test_an_archive_that_reaches_outside_its_folder_is_refused(tmp_path, name):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive_of(cifar_members(), member(name, size=4)))
    with pytest.raises(InputError, match=r"leads outside.*nothing was unpacked"):
        unpack(path, tmp_path, cifar_archive())
    assert names_in(tmp_path) == {"a.tar.gz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_wanted_member_must_be_a_plain_file(tmp_path, kind):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive_of(cifar_members(), member(f"{FOLDER}/{FILES[0]}", kind)))
    with pytest.raises(InputError, match=rf"{FILES[0]}' is not a plain file"):
        unpack(path, tmp_path, cifar_archive())
    assert names_in(tmp_path) == {"a.tar.gz"}


def test_a_member_of_another_size_than_published_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    for name in (FILES[0], "batches.meta.txt"):
        path.write_bytes(archive_of({**cifar_members(), name: bytes(1 << 21)}))
        with pytest.raises(InputError, match=r"is not a plain file of \d+ bytes"):
            unpack(path, tmp_path, cifar_archive())
    assert names_in(tmp_path) == {"a.tar.gz"}


def test_members_that_are_not_wanted_stay_in_the_archive(tmp_path):
    unwanted = [
        member(f"{FOLDER}/unlabelled.bin", size=1 << 20), member("elsewhere/data_batch_1.bin", size=4),
        member("top.txt"),
        member(f"{FOLDER}/link", tarfile.SYMTYPE), member(f"{FOLDER}/deep/test_batch.bin", size=4),
        member(f"{FOLDER}/device", tarfile.CHRTYPE), member(f"./{FOLDER}", tarfile.DIRTYPE),
    ]
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive_of(cifar_members(), *unwanted))
    (tmp_path / "data").mkdir()
    unpack(path, tmp_path / "data", cifar_archive())
    assert names_in(tmp_path / "data") == set(cifar_members())
    assert [path.name for path in (tmp_path / "data").iterdir()] == [FOLDER]


def test_an_archive_without_the_wanted_files(tmp_path):
    path = tmp_path / "a.tar.gz"
    members = cifar_members()
    del members["test_batch.bin"]
    path.write_bytes(archive_of(members))
    with pytest.raises(InputError, match=r"lacks test_batch\.bin; nothing was unpacked"):
        unpack(path, tmp_path, cifar_archive())
    assert names_in(tmp_path) == {"a.tar.gz"}


def test_a_damaged_archive(tmp_path):
    path = tmp_path / "a.tar.gz"
    for content in (archive_of(cifar_members())[:-40], b"not an archive"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="damaged archive"):
            unpack(path, tmp_path, cifar_archive())
    assert names_in(tmp_path) == {"a.tar.gz"}


def test_a_disk_that_fills_up_while_unpacking_costs_no_second_transfer(server, monkeypatch, tmp_path):
    offer_cifar(server, monkeypatch, archive_of(cifar_members()))
    synced = []

    def fill_up(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3:  # two of the files were still written
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mindleak.data.archive.os.fsync", fill_up)
        with pytest.raises(InputError, match=r"No space left on device.*cifar-10-binary\.tar\.gz\.part stays"):
            download("cifar10", tmp_path)
    assert len(synced) == 3
    part = "cifar-10-binary.tar.gz.part"
    assert names_in(tmp_path) == {part, f"{part}.json"}

    server.requests.clear()
    assert all(item.fetched for item in download("cifar10", tmp_path))
    assert server.requests == []
    assert names_in(tmp_path) == set(cifar_members())


def test_two_downloads_at_once_share_one_transfer(server, monkeypatch, tmp_path):
    offer_cifar(server, monkeypatch, archive_of(cifar_members()))
    server.faults["cifar-10-binary.tar.gz"] = ["hang"]
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            server.stop.set()  # the hanging answer ends, the first of the two asks again

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(download, "cifar10", tmp_path, report=tell) for _ in range(2)]
        outcomes = [{item.fetched for item in each.result(30)} for each in both]
    assert sorted(outcomes, key=str) == [{False}, {True}]
    assert lines == ["another process is fetching cifar-10-binary.tar.gz; waiting for it",
                     "unpacking cifar-10-binary.tar.gz"]
    assert names_in(tmp_path) == set(cifar_members())


def test_a_folder_in_the_way_is_found_before_anything_is_fetched(server, monkeypatch, tmp_path):
    offer_cifar(server, monkeypatch, archive_of(cifar_members()))
    (tmp_path / "cifar10" / FOLDER).mkdir(parents=True)
    with pytest.raises(InputError, match="exists already and is incomplete; move or delete it first"):
        download("cifar10", tmp_path)
    assert server.requests == []
