"""Fetching one file over HTTP: from the first of several addresses that delivers, going on where it broke off.

The rest of a file is asked for with ``Range`` and, where the version is known, ``If-Range`` (RFC 9110, sections 13
and 14). A server that answers with the whole file, or with another part than was asked for, makes it start
again. Only the published checksum decides whether the bytes are right, so that a file may be begun at one
address and ended at another.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any

from mindleak.data.partial import Origin, PartialFile
from mindleak.data.sources import PublishedFile
from mindleak.errors import InputError

# Called with (file name, bytes received so far, bytes in all).
Progress = Callable[[str, int, int], None]
# Called with one line for the reader.
Report = Callable[[str], None]

_ATTEMPTS = 2
# An attempt that brought at least so many bytes does not count as failed.
_WORTHWHILE_BYTES = 1 << 20
_BLOCK = 1 << 16
_SCHEMES = ("http://", "https://")
# Those of the status codes 3xx and 4xx after which a second request may succeed.
_PASSING = (408, 416, 429)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Transfer:
    """From which addresses (folders), tried in order, watched by whom, with how much patience (seconds)."""

    addresses: tuple[str, ...]
    progress: Progress
    report: Report
    timeout: float


class _TransferError(Exception):
    """One attempt failed.

    ``final``: a second one at the same address would fail alike. ``spoilt``: the bytes that have arrived are no
    beginning of the file, as far as this address can say.
    """

    def __init__(self, message: str, *, final: bool = False, spoilt: bool = False) -> None:
        super().__init__(message)
        self.final = final
        self.spoilt = spoilt


def fetch(file: PublishedFile, partial: PartialFile, transfer: Transfer) -> None:
    """Fill ``partial`` until it holds what is published.

    Raises:
        InputError: no address delivers that; the message has each one's last reason.
        OSError: the disk refuses.
    """
    reasons = []
    try:
        for number, address in enumerate(transfer.addresses, 1):
            url = f"{address.rstrip('/')}/{file.name}"
            reason = _fetch_from(url, file, partial, transfer)
            if reason is None:
                return
            reasons.append(f"{url}: {reason}")
            if number < len(transfer.addresses):
                transfer.report(f"{url}: {reason}; trying the next address")
    except KeyboardInterrupt:
        transfer.report(f"{file.name}: {_kept(file, partial)}")
        raise
    raise InputError(f"{file.name} could not be fetched, {_kept(file, partial)} ({'; '.join(reasons)})")


def _kept(file: PublishedFile, partial: PartialFile) -> str:
    if partial.size == 0:
        return "nothing was kept"
    return f"{partial.size} of {file.size} bytes are kept in {partial.path}, the next try goes on from there"


def _fetch_from(url: str, file: PublishedFile, partial: PartialFile, transfer: Transfer) -> str | None:
    """Fetch from one address; return None, or why it failed for good."""
    failures = 0
    while True:
        before = partial.size
        try:
            _attempt(url, file, partial, transfer)
            return None
        except _TransferError as error:
            if error.spoilt:
                partial.restart()
            if partial.size - before < _WORTHWHILE_BYTES:
                failures += 1
            if error.final or failures == _ATTEMPTS:
                return str(error)


def _attempt(url: str, file: PublishedFile, partial: PartialFile, transfer: Transfer) -> None:
    """Receive what is missing and check the whole."""
    if partial.size > file.size:
        partial.restart()
    if partial.size < file.size:
        with _Answer(_request(url, partial), transfer.timeout) as answer:
            _receive(answer, file, partial, transfer)
    algorithm, expected = file.checksum
    found = partial.checksum(algorithm)
    if found != expected:
        raise _TransferError(f"wrong checksum: {algorithm} {found}, {expected} expected", spoilt=True)


def _request(url: str, partial: PartialFile) -> urllib.request.Request:
    """Return the request for what is missing."""
    if not url.startswith(_SCHEMES):
        raise _TransferError("not an http or https address", final=True)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "mindleak"})
    except ValueError as error:
        raise _TransferError(f"not an address ({error})", final=True) from error
    if partial.size:
        request.add_header("Range", f"bytes={partial.size}-")
        origin = partial.origin
        if origin is not None and origin.url == url and origin.validator is not None:
            request.add_header("If-Range", origin.validator)
    return request


def _receive(answer: _Answer, file: PublishedFile, partial: PartialFile, transfer: Transfer) -> None:
    """Append the body to ``partial``, after dropping what is there where the server sends all of it again."""
    if answer.status == http.client.PARTIAL_CONTENT:
        partial.origin = _check_continuation(answer, file, partial)
    else:
        _check_whole(answer, file)
        partial.restart()
        partial.origin = Origin(answer.url, _validator(answer.headers))
    while block := answer.read():
        if partial.size + len(block) > file.size:
            raise _TransferError(f"more than the {file.size} bytes expected", spoilt=True)
        partial.append(block)
        transfer.progress(file.name, partial.size, file.size)
    if partial.size < file.size:
        raise _TransferError(f"the transfer broke off after {partial.size} of {file.size} bytes")


def _check_continuation(answer: _Answer, file: PublishedFile, partial: PartialFile) -> Origin:
    """Return where the rest comes from; refuse a part of another version, or another part than was asked for."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found and found[2] != "*":
        _check_size(int(found[2]), file)
    if found is None or int(found[1]) != partial.size:
        raise _TransferError("another part came than was asked for", spoilt=True)
    validator = _validator(answer.headers)
    known = partial.origin
    if known is None or known.url != answer.url or known.validator is None:
        return Origin(answer.url, validator)
    if validator not in (None, known.validator):  # An answer 206 need not repeat it.
        raise _TransferError("the server's file has changed meanwhile", spoilt=True)
    return known


def _check_whole(answer: _Answer, file: PublishedFile) -> None:
    """Refuse, before anything is dropped for it, what cannot be the file."""
    if answer.status != http.client.OK:
        raise _TransferError(f"HTTP {answer.status} where the file was expected", final=True)
    if answer.headers.get_content_type() == "text/html":
        raise _TransferError("a web page came instead of the file", final=True)
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit():
        _check_size(int(announced), file)


def _check_size(announced: int, file: PublishedFile) -> None:
    if announced != file.size:
        raise _TransferError(f"the server announces {announced} bytes, {file.size} expected", final=True)


def _validator(headers: Message) -> str | None:
    """Return what identifies the version of a file byte by byte, None where the server does not say."""
    etag = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return str(etag)
    modified = headers.get("Last-Modified")
    return None if modified is None else str(modified)


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """See the base class, which also allows ftp."""
        if not newurl.lower().startswith(_SCHEMES):
            raise _TransferError(f"it redirects to {newurl}, which is no http or https address", final=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Answer:
    """A server's answer; every failure of the network or the server is a _TransferError."""

    def __init__(self, request: urllib.request.Request, timeout: float) -> None:
        self.url = request.full_url
        try:
            self._response = urllib.request.build_opener(_HttpRedirects).open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            error.close()
            raise _TransferError(
                f"HTTP {error.code} {_reason(error)}",
                final=error.code < 500 and error.code not in _PASSING,
                spoilt=error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE,
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _TransferError(f"no answer ({_reason(error)})") from error
        self.status: int = self._response.status
        self.headers: Message = self._response.headers

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *details: object) -> None:
        self._response.close()

    def read(self) -> bytes:
        """Return the next bytes of the body, none at its end."""
        try:
            block: bytes = self._response.read(_BLOCK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _TransferError(f"the transfer broke off ({_reason(error)})") from error
        return block


def _reason(error: Exception) -> str:
    """Return the cause in one line, without the numbers and wrappers around it."""
    cause = getattr(error, "reason", None) or error
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(words.split())
