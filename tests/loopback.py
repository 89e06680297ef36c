"""A server on loopback for the download tests: sound, broken, wrong, hostile, with and without ranges."""

from __future__ import annotations

import http.server
import re
import threading


class LoopbackServer:
    """Serves ``files``; ``faults`` maps a path to what goes wrong, one entry per request, in order.

    With ``ranges`` it answers Range and If-Range as RFC 9110 has it, with ``etags`` (by path) as validators.
    ``headers`` keeps, for every request, what was asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.redirects: dict[str, str] = {}
        self.etags: dict[str, str] = {}
        self.ranges = False
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.sent = 0
        self.stop = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *details: None  # clients that hang up are part of the tests
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def asked(self, header: str) -> list[str | None]:
        """The value of one header in every request so far."""
        return [headers.get(header) for headers in self.headers]

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/")
        self.requests.append(path)
        self.headers.append(dict(request.headers))
        faults = self.faults.get(path, [])
        fault = faults.pop(0) if faults else ""
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.end_headers()
            return
        body = self.files.get(path)
        if body is None or fault.isdigit():
            request.send_error(int(fault or 404))
            return
        start = self._start(request, path)
        if start is not None and start >= len(body):
            request.send_error(416)
            return
        self._send(request, path, body, start, fault)

    def _start(self, request: http.server.BaseHTTPRequestHandler, path: str) -> int | None:
        """The first byte that is asked for, None where the whole file has to be sent."""
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if not self.ranges or wanted is None:
            return None
        if request.headers.get("If-Range", self.etags.get(path)) != self.etags.get(path):
            return None
        return int(wanted[1])

    def _send(
        self, request: http.server.BaseHTTPRequestHandler, path: str, body: bytes, start: int | None, fault: str
    ) -> None:
        total = len(body)
        if fault == "other range":
            start = max(0, (start or 0) - 3)
        if fault == "wrong":
            body = body[:-1] + bytes([body[-1] ^ 1])
        part = body[start or 0 :]
        request.send_response(200 if start is None else 206)
        if start is not None:
            request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if fault == "larger":
            request.send_header("Content-Length", str(10**12))
        elif fault not in ("short", "surplus"):
            request.send_header("Content-Length", str(len(part)))
        if fault == "page":
            request.send_header("Content-Type", "text/html; charset=utf-8")
        if path in self.etags:
            request.send_header("ETag", self.etags[path])
        request.end_headers()
        if fault == "surplus":
            part += b"x" * 10
        if fault in ("broken", "short", "hang"):
            part = part[: len(part) // 2]
        self.sent += len(part)
        request.wfile.write(part)
        request.wfile.flush()
        if fault == "hang":
            self.stop.wait(10)

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
