"""One file from several addresses, resumed: every way in which a server can go on, refuse to, or cheat."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fetch_in_another_process
from loopback import LoopbackServer
from mindleak.data.fetch import Transfer, fetch
from mindleak.data.partial import Origin, PartialFile
from mindleak.data.sources import PublishedFile
from mindleak.errors import InputError

NAME = "digits.mat"
# Half of it is whole blocks of a transfer, so that a hanging server leaves just that half.
BODY = np.random.default_rng(3).integers(0, 256, 8 << 16, dtype=np.uint8).tobytes()
HALF = len(BODY) // 2
FILE = PublishedFile(NAME, len(BODY), hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def other():
    loopback = LoopbackServer()
    yield loopback
    loopback.close()


@pytest.fixture(autouse=True)
def offered(server, other):
    for each in (server, other):
        each.files[NAME] = BODY


def get(
    folder: Path, *addresses: str, lines: list[str] | None = None, file: PublishedFile = FILE, timeout: float = 5.0
) -> bytes:
    said: list[str] = [] if lines is None else lines
    transfer = Transfer(addresses, lambda *numbers: None, said.append, timeout)
    with PartialFile(folder / NAME) as partial:
        fetch(file, partial, transfer)
        return partial.finish().read_bytes()


def leave(folder: Path, content: bytes, origin: Origin | None = None) -> None:
    """What an interrupted process leaves behind."""
    (folder / f"{NAME}.part").write_bytes(content)
    if origin is not None:
        (folder / f"{NAME}.part.json").write_text(json.dumps(vars(origin)))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- resuming --------------------------------------------------------------------------------------------


def test_a_broken_transfer_goes_on_where_it_broke_off(server, tmp_path):
    server.ranges, server.etags[NAME] = True, '"v1"'
    server.faults[NAME] = ["broken"]
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [None, f"bytes={HALF}-"]
    assert server.asked("If-Range") == [None, '"v1"']
    assert server.sent == len(BODY)
    assert names(tmp_path) == {NAME}


def test_the_next_call_goes_on_too(server, tmp_path):
    server.ranges, server.etags[NAME] = True, '"v1"'
    server.faults[NAME] = ["broken", "500", "500"]
    with pytest.raises(InputError, match=r"HTTP 500.*") as error:
        get(tmp_path, server.address)
    assert f"{HALF} of {len(BODY)} bytes are kept in {tmp_path / NAME}.part" in str(error.value)
    server.faults.clear()
    assert get(tmp_path, server.address) == BODY
    assert server.asked("If-Range")[-1] == '"v1"'
    assert server.sent == len(BODY)


def test_a_server_without_ranges_sends_the_whole_again(server, tmp_path):
    server.faults[NAME] = ["broken"]
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [None, f"bytes={HALF}-"]
    assert server.sent == HALF + len(BODY)


def test_a_file_that_has_changed_at_the_server_starts_again(server, tmp_path):
    """If-Range makes the server send all of the new version."""
    server.ranges, server.etags[NAME] = True, '"v2"'
    leave(tmp_path, bytes(HALF), Origin(f"{server.address}{NAME}", '"v1"'))
    assert get(tmp_path, server.address) == BODY
    assert server.asked("If-Range") == ['"v1"']
    assert server.sent == len(BODY)


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag(server, tmp_path, monkeypatch):
    server.ranges, server.etags[NAME] = True, '"v2"'
    leave(tmp_path, bytes(HALF), Origin(f"{server.address}{NAME}", '"v1"'))
    monkeypatch.setattr(server, "_start", lambda request, path: HALF if request.headers.get("Range") else None)
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_a_weak_etag_is_no_validator(server, tmp_path, etag):
    """RFC 9110, 13.1.5: If-Range takes strong ones only; then the checksum alone decides."""
    server.ranges = True
    if etag:
        server.etags[NAME] = etag
    server.faults[NAME] = ["broken"]
    assert get(tmp_path, server.address) == BODY
    assert server.asked("If-Range") == [None, None]
    assert server.sent == len(BODY)


def test_another_range_than_asked_for_is_not_appended(server, tmp_path):
    server.ranges = True
    leave(tmp_path, BODY[:HALF])
    server.faults[NAME] = ["other range"]
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [f"bytes={HALF}-", None]


def test_a_file_begun_at_one_address_is_ended_at_another(server, other, tmp_path):
    server.faults[NAME] = ["broken", "500"]
    server.etags[NAME] = '"v1"'
    other.ranges = True
    lines: list[str] = []
    assert get(tmp_path, server.address, other.address, lines=lines) == BODY
    assert other.asked("Range") == [f"bytes={HALF}-"]
    assert other.asked("If-Range") == [None]  # one server's version says nothing about another's
    (line,) = lines
    assert line == f"{server.address}{NAME}: HTTP 500 Internal Server Error; trying the next address"


def test_bytes_of_another_file_are_dropped_and_fetched_anew_once(server, tmp_path):
    server.ranges = True
    leave(tmp_path, bytes(HALF))
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 5])
def test_a_wrong_file_of_full_size_or_more_is_dropped(server, tmp_path, size):
    server.ranges = True
    leave(tmp_path, bytes(size))
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [None]


def test_a_whole_file_left_behind_needs_no_server(tmp_path):
    leave(tmp_path, BODY)
    assert get(tmp_path, "http://127.0.0.1:9/") == BODY


def test_a_note_that_cannot_be_read_is_no_hindrance(server, tmp_path):
    server.ranges = True
    for note in ("", "[]", '{"url": 1}', "\x00"):
        leave(tmp_path, BODY[:HALF])
        (tmp_path / f"{NAME}.part.json").write_text(note)
        assert get(tmp_path, server.address) == BODY


def test_a_server_whose_file_is_shorter_than_what_has_arrived(server, tmp_path):
    """416: there is no rest; the next attempt asks for all of it, and sees that the size is wrong."""
    server.ranges, server.files[NAME] = True, BODY[: HALF - 1]
    leave(tmp_path, BODY[:HALF])
    with pytest.raises(InputError, match=f"announces {HALF - 1} bytes, {len(BODY)} expected"):
        get(tmp_path, server.address)
    assert server.asked("Range") == [f"bytes={HALF}-", None]


def test_the_rest_of_a_larger_file_is_refused_and_what_has_arrived_stays(server, other, tmp_path):
    server.ranges, server.files[NAME] = True, BODY + b"more"
    other.ranges = True
    leave(tmp_path, BODY[:HALF])
    lines: list[str] = []
    assert get(tmp_path, server.address, other.address, lines=lines) == BODY
    assert f"announces {len(BODY) + 4} bytes" in lines[0]
    assert other.asked("Range") == [f"bytes={HALF}-"]


def test_attempts_that_get_on_do_not_count_as_failed(server, tmp_path):
    """A line that breaks after every few megabytes still delivers."""
    body = bytes(8 << 20)
    server.ranges, server.files[NAME] = True, body
    server.faults[NAME] = ["broken"] * 3  # 4, 2 and 1 MiB further
    assert get(tmp_path, server.address, file=PublishedFile(NAME, len(body), hashlib.sha256(body).hexdigest())) == body
    assert len(server.requests) == 4
    assert server.sent == len(body)


# --- several addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (["404"], "HTTP 404 Not Found"),
        (["503", "503"], "HTTP 503 Service Unavailable"),
        (["wrong", "wrong"], f"wrong checksum: sha256 [0-9a-f]{{64}}, {FILE.sha256} expected"),
        (["broken", "broken"], f"broke off after {HALF} of {len(BODY)} bytes"),
        (["larger"], f"announces {10**12} bytes, {len(BODY)} expected"),
        (["page"], "a web page came instead of the file"),
        (["surplus", "surplus"], f"more than the {len(BODY)} bytes expected"),
    ],
)
def test_a_mirror_that_fails_is_named_in_one_line_and_the_next_is_tried(server, other, tmp_path, faults, words):
    server.faults[NAME] = list(faults)
    lines: list[str] = []
    assert get(tmp_path, server.address, other.address, lines=lines) == BODY
    (line,) = lines
    assert "\n" not in line
    assert line.startswith(f"{server.address}{NAME}: ")
    assert re.search(words, line)
    assert len(server.requests) == len(faults)
    assert names(tmp_path) == {NAME}


def test_all_mirrors_failing_are_all_named_with_their_reasons(server, other, tmp_path):
    server.faults[NAME] = ["404"]
    other.faults[NAME] = ["wrong", "wrong"]
    with pytest.raises(InputError) as error:
        get(tmp_path, "http://127.0.0.1:9", server.address, other.address, "ftp://127.0.0.1/")
    message = str(error.value)
    assert "\n" not in message
    for words in (
        f"http://127.0.0.1:9/{NAME}: no answer", "refused", f"{server.address}{NAME}: HTTP 404",
        f"{other.address}{NAME}: wrong checksum", f"ftp://127.0.0.1/{NAME}: not an http or https address",
        "nothing was kept",
    ):
        assert words in message
    assert names(tmp_path) == set()


@pytest.mark.parametrize("fault", ["page", "larger", "404"])
def test_an_address_without_the_file_costs_nothing_that_has_arrived(server, tmp_path, fault):
    """A captive portal must not wipe out two gigabytes."""
    leave(tmp_path, BODY[:HALF])
    server.faults[NAME] = [fault]
    with pytest.raises(InputError, match="the next try goes on"):
        get(tmp_path, server.address)
    assert (tmp_path / f"{NAME}.part").read_bytes() == BODY[:HALF]


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/digits.mat", "data:,x"])
def test_redirections_lead_to_http_only(server, other, tmp_path, target):
    server.redirects[NAME] = target
    lines: list[str] = []
    assert get(tmp_path, server.address, other.address, lines=lines) == BODY
    assert target.split(":")[0] in lines[0] and "\n" not in lines[0]
    assert len(server.requests) == 1


def test_redirections_within_http_are_followed_and_resumed(server, other, tmp_path):
    server.redirects[NAME] = f"{other.address}{NAME}"
    other.ranges, other.etags[NAME] = True, '"v1"'
    other.faults[NAME] = ["broken"]
    assert get(tmp_path, server.address) == BODY
    assert other.asked("Range") == [None, f"bytes={HALF}-"]
    assert other.asked("If-Range") == [None, '"v1"']


def test_a_redirection_in_circles_is_one_line(server, tmp_path):
    server.redirects[NAME] = f"{server.address}{NAME}"
    with pytest.raises(InputError, match="HTTP 302") as error:
        get(tmp_path, server.address)
    assert "\n" not in str(error.value)


def test_a_server_that_speaks_no_http(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"\x00\x01 no http\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(InputError, match="no answer") as error:
            get(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert "\n" not in str(error.value)


def test_a_hanging_server_times_out_and_the_next_goes_on(server, other, tmp_path):
    server.faults[NAME] = ["hang", "hang"]
    other.ranges = True
    lines: list[str] = []
    assert get(tmp_path, server.address, other.address, lines=lines, timeout=0.3) == BODY
    assert "timed out" in lines[0]


# --- several processes -----------------------------------------------------------------------------------


def started(folder: Path, address: str) -> tuple[multiprocessing.Process, multiprocessing.Queue]:
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    process = context.Process(target=fetch_in_another_process.run, args=(str(folder), address, FILE, events),
                              daemon=True)
    process.start()
    return process, events


def test_two_processes_share_one_transfer(server, tmp_path):
    """The second waits for the first instead of writing into its file, then finds the file there."""
    server.faults[NAME] = ["hang"]
    first, first_events = started(tmp_path, server.address)
    assert first_events.get(timeout=30) == "progress"
    second, second_events = started(tmp_path, server.address)
    assert second_events.get(timeout=30) == "waiting"
    server.stop.set()  # the hanging answer ends; the first process asks again
    assert second_events.get(timeout=30) == "there"
    first.join(30)
    second.join(30)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert (tmp_path / NAME).read_bytes() == BODY
    assert names(tmp_path) == {NAME}


def test_a_file_system_without_locks_is_no_hindrance(server, tmp_path, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("mindleak.data.partial.fcntl.flock", refuse)
    assert get(tmp_path, server.address) == BODY
    assert names(tmp_path) == {NAME}


def test_a_part_that_was_finished_while_waiting_is_not_written_to(tmp_path):
    """The lock that is granted then belongs to the finished file, not to the part."""
    first = PartialFile(tmp_path / NAME)
    first.append(BODY)
    waiting = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(PartialFile, tmp_path / NAME, waiting.set)
        assert waiting.wait(10)
        first.finish()
        first.__exit__()
        with second.result(10) as partial:
            assert partial.size == 0
            partial.append(b"other")
    assert (tmp_path / NAME).read_bytes() == BODY


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_killed_leaves_a_beginning_to_go_on_from(server, tmp_path, end):
    server.ranges = True
    server.faults[NAME] = ["hang"]
    process, events = started(tmp_path, server.address)
    deadline = time.monotonic() + 30
    while not (tmp_path / f"{NAME}.part").exists() or (tmp_path / f"{NAME}.part").stat().st_size < HALF:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, end)
    process.join(30)
    assert process.exitcode != 0
    assert get(tmp_path, server.address) == BODY
    assert server.asked("Range") == [None, f"bytes={HALF}-"]
