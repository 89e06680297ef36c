"""Only plain files are read, and nothing is written through a name that somebody else has taken."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mindleak import files
from mindleak.data import cifar, custom, idx, matlab
from mindleak.data.partial import Origin, PartialFile
from mindleak.errors import InputError
from mindleak.jobs.report import run_report
from mindleak.models import registry
from mindleak.runs.atomic import atomic_json, atomic_npz, atomic_write_bytes, atomic_write_text
from mindleak.runs.claim import Claim, remove_abandoned
from mindleak.runs.identity import saved_identity
from mindleak.runs.lock import alone_in
from mindleak.runs.result import DamagedStageError, load_result
from mindleak.runs.stages import Run
from mindleak.training import checkpoint


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    former = os.getcwd()
    os.chdir(path.parent)  # a socket's whole path must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(former)


NO_FILE: dict[str, Callable[[Path], None]] = {"a named pipe": pipe, "a device": link_to_device,
                                              "a socket": bound_socket, "a folder": Path.mkdir}

# Whatever reads a file that a user or somebody else has put there: its name, and how it is read.
READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("images-idx3-ubyte", lambda path: idx.read_idx(path, (3,))),
    ("data_batch_1.bin", lambda path: cifar.read_batch(path, 10)),
    ("batches.meta.txt", lambda path: cifar._read_names(path, ("a", "b"))),
    ("train_32x32.mat", lambda path: matlab.read_byte_arrays(path, {"X": (1,)})),
    ("data.npz", custom.read_custom),
    ("members.npy", custom.read_rows),
    ("lenet5.ckpt", checkpoint.read),
    ("net.py", lambda path: registry.build(f"{path}:Net", (1, 8, 8), 10, 0)),
    ("identity.yaml", lambda path: saved_identity(path.parent)),
    ("report.json", lambda path: run_report(str(path.parent))),
]


@pytest.mark.parametrize("kind", NO_FILE)
@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_what_is_no_file_is_refused_by_name_and_never_waited_for(name, read, kind, tmp_path):
    path = tmp_path / name
    NO_FILE[kind](path)
    if (name, kind) == ("data.npz", "a folder"):
        pytest.skip("a folder of IDX files is data too")
    with pytest.raises(InputError, match=f"{name}' is {kind}; expected a file"):
        read(path)


@pytest.mark.parametrize("kind", NO_FILE)
def test_a_result_that_is_no_file_is_damage(kind, tmp_path):
    NO_FILE[kind](tmp_path / "result.json")
    with pytest.raises(DamagedStageError, match=kind):
        load_result(tmp_path, "key", tmp_path, cached=True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": 1, "a":' + "[" * 900 + "]" * 900 + "}", "{}", "[]", "null",
                                  '{"schema": 1, "checksum": null}', "\udcff"])
def test_a_result_nested_too_deeply_or_of_another_form_is_damage(text, tmp_path):
    (tmp_path / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DamagedStageError):
        load_result(tmp_path, "key", tmp_path, cached=True)


def test_files_are_read_through_links(tmp_path):
    (tmp_path / "real").write_text("ä", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    assert files.read_text(tmp_path / "link") == "ä"


# --- writing -----------------------------------------------------------------------------------------------


def symbolic_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def link_to_nothing(path: Path, victim: Path) -> None:
    victim.unlink()
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    os.link(victim, path)


def pipe_in_place(path: Path, victim: Path) -> None:
    os.mkfifo(path)


PLANTED = {"a symbolic link": symbolic_link, "a symbolic link to nothing": link_to_nothing,
           "another file's second name": hard_link, "a named pipe": pipe_in_place}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_name_that_somebody_else_has_taken_is_not_written_through(kind, tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "own.part"
    victim.write_text("precious")
    PLANTED[kind](path, victim)
    with pytest.raises(InputError, match=f"own.part' is {kind.removesuffix(' to nothing')}.*remove it"):
        os.close(files.open_own(path, os.O_RDWR | os.O_CREAT))
    assert not victim.exists() if kind.endswith("nothing") else victim.read_text() == "precious"


def test_an_own_file_is_made_and_opened_again(tmp_path):
    for _ in range(2):
        os.close(files.open_own(tmp_path / "own", os.O_RDWR | os.O_CREAT))
    with pytest.raises(ValueError, match="O_TRUNC"):
        files.open_own(tmp_path / "own", os.O_RDWR | os.O_TRUNC)


def plant(kind: str, path: Path, victim: Path) -> None:
    victim.write_text("precious")
    path.parent.mkdir(parents=True, exist_ok=True)
    PLANTED[kind](path, victim)


# Whatever writes under a name that can be foretold: that name, and how it is written.
WRITERS: list[tuple[str, Callable[[Path], object]]] = [
    ("images.gz.part", lambda path: PartialFile(path.with_name("images.gz"))),
    ("work/stage.lock", lambda path: Claim(path.with_name("stage"), shared=True)),
    ("run/.lock", lambda path: alone_in([path.parent]).__enter__()),
]


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(("name", "write"), WRITERS, ids=[name for name, _ in WRITERS])
def test_whatever_writes_under_a_name_that_can_be_foretold_refuses_what_was_planted_there(name, write, kind, tmp_path):
    path, victim = tmp_path / name, tmp_path / "victim"
    plant(kind, path, victim)
    with pytest.raises(InputError, match=f"{path.name}' is {kind.removesuffix(' to nothing')}.*remove it"):
        write(path)
    assert not victim.exists() if kind.endswith("nothing") else victim.read_text() == "precious"


@pytest.mark.parametrize("kind", PLANTED)
def test_a_downloads_note_is_not_written_through_what_was_planted(kind, tmp_path):
    path, victim = tmp_path / "images.gz.part.json", tmp_path / "victim"
    plant(kind, path, victim)
    with PartialFile(tmp_path / "images.gz") as partial:
        partial.append(b"some")
        with pytest.raises(InputError, match=r"part\.json' is .*remove it"):
            partial.origin = Origin("http://a", None)
    assert not victim.exists() if kind.endswith("nothing") else victim.read_text() == "precious"


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("write", [
    lambda path: atomic_write_bytes(path, b"new"), lambda path: atomic_write_text(path, "new"),
    lambda path: atomic_json(path, {}), lambda path: atomic_npz(path, a=1),
], ids=["bytes", "text", "json", "npz"])
def test_a_file_that_is_renamed_into_place_replaces_what_was_planted_and_not_its_target(write, kind, tmp_path):
    path, victim = tmp_path / "figure.png", tmp_path / "victim"
    plant(kind, path, victim)
    write(path)
    assert path.is_file() and not path.is_symlink()
    assert not victim.exists() if kind.endswith("nothing") else victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["stages", "partial", "work"])
def test_a_run_directory_whose_folders_lead_elsewhere_is_refused_and_nothing_removed_there(name, tmp_path):
    elsewhere = tmp_path / "projects"
    (elsewhere / "poetry").mkdir(parents=True)
    (elsewhere / "poetry.lock").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(elsewhere)
    with pytest.raises(InputError, match=f"{name}' is a symbolic link; expected a folder; remove it"):
        Run.open(tmp_path / "run", {"seed": 1}, device_target="CPU")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["poetry", "poetry.lock"]


def test_a_stages_working_folder_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "stage").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="stage' is a symbolic link; expected a folder; remove it"):
        Claim(tmp_path / "stage", shared=True)
    assert not remove_abandoned(tmp_path / "stage") and (tmp_path / "elsewhere").is_dir()


# --- sizes that a header announces -------------------------------------------------------------------------

MOST = 2**32 - 1


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(MOST, MOST, MOST), (MOST, 1, 1), (0, MOST, MOST), (MOST, 0, MOST), (MOST, MOST, 0),
                                   (0, 28, 28), (3, 0, 0), (2, 2**31, 2**31)])
def test_idx_headers_may_announce_any_size(shape, packed, tmp_path):
    raw = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + b"x" * 50
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(InputError, match="is cut|holds no images"):
        idx.read_idx(path, (3,))
