"""A server on this machine that stands for the public addresses, with the faults that a test asks for."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class Upstream:
    """A server of files by path. `faults`: for a path, what goes wrong, once for each entry.

    `cut`: the connection ends after half of what is left; an integer is sent as the status;
    `silent`: nothing is sent; `dripping headers`, `dripping`, `slow`: they, or the content, come bit by bit.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str | int]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.etags = True
        self.closed = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.answer(self)

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, asked = unquote(request.path), request.headers.get("Range")
        self.requests.append((path, asked))
        faults = self.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        content = self.files.get(path)
        if isinstance(fault, int) or content is None:
            request.send_error(fault if isinstance(fault, int) else 404)
            return
        if fault == "silent":
            self.closed.wait()
            return
        if fault == "dripping headers":
            request.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            self.drip(request, b"x" * 10_000, 1, 0.05)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and request.headers.get("If-Range") not in (None, tag):
            start, asked = 0, None
        if asked and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = content[start:]
        request.send_response(206 if asked else 200)
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.etags:
            request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if fault in ("dripping", "slow"):
            self.drip(request, body, 1 if fault == "dripping" else 1 << 14, 0.05)
        else:
            request.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def drip(self, request: BaseHTTPRequestHandler, content: bytes, size: int, pause_s: float) -> None:
        """Send content in small parts until it is sent, nobody reads it any more, or the server closes."""
        with suppress(OSError):
            for start in range(0, len(content), size):
                request.wfile.write(content[start : start + size])
                if self.closed.wait(pause_s):
                    return

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()
