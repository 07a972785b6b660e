"""The local agent: a child process that speaks the protocol on its standard input and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modnas_agent.files import open_own
from modnas_agent.wire.protocol import FrameReader, ProtocolError, encode

from harness.core.errors import DeviceUnavailableError, UsageError
from harness.core.foreign import clean_text, last_line
from harness.transport.base import Frame, TransportClosedError, TransportTimeoutError, host_name

# How long an agent may take to end after its input is closed before it is killed.
GRACE_S = 5.0
# How long it may leave a request unread: its loop never waits for anything else.
SEND_S = 30.0
LOG_TAIL_BYTES = 2000


class ChildTransport:
    """An agent started from its archive on this machine.

    Its messages for people go to `agent.log` in its root: a pipe nobody reads would fill up and stop it.
    """

    def __init__(self, archive: Path, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._log = root / "agent.log"
        try:
            opened = open_own(self._log)
        except OSError as error:
            raise DeviceUnavailableError(
                f"{self._log} cannot be written ({error.strerror}); move it away"
            ) from error
        with opened as log:
            self._process = subprocess.Popen(
                [sys.executable, str(archive), "serve", "--root", str(root), "--host", host_name()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                # In any locale: runtimes take the bytes of a path from a text in UTF-8.
                env={**os.environ, "PYTHONUTF8": "1"},
            )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._input.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._reader = FrameReader()
        self._pending: deque[Frame | ProtocolError] = deque()

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        return self._process.pid

    def send(self, frame: Mapping[str, Any]) -> None:
        try:
            line = encode(frame)
        except ProtocolError as error:
            raise UsageError(f"the request cannot be sent to the agent: {error}") from error
        try:
            self._write(memoryview(line))
        except (BrokenPipeError, ValueError) as error:
            raise self._closed() from error

    def _write(self, data: memoryview) -> None:
        deadline = time.monotonic() + SEND_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._input, selectors.EVENT_WRITE)
            while data:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise TransportClosedError(f"the local agent left a request unread for {SEND_S:.0f} s")
                if selector.select(remaining):
                    data = data[os.write(self._input.fileno(), data) :]

    def receive(self, timeout_s: float) -> Frame:
        deadline = time.monotonic() + timeout_s
        while not self._pending:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._selector.select(remaining):
                raise TransportTimeoutError(f"the local agent sent nothing for {timeout_s:.0f} s")
            chunk = os.read(self._output.fileno(), 1 << 16)
            if not chunk:
                raise self._closed()
            self._pending.extend(self._reader.feed(chunk))
        frame = self._pending.popleft()
        if isinstance(frame, ProtocolError):
            said = clean_text(str(frame))
            raise TransportClosedError(f"the local agent sent something that is no frame: {said}")
        return frame

    def put(self, path: Path) -> str:
        return os.fsencode(path).decode("utf-8", "surrogateescape")

    def put_again(self, path: Path) -> str:
        return self.put(path)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._output.close()

    def _closed(self) -> TransportClosedError:
        with contextlib.suppress(subprocess.TimeoutExpired):  # its pipes close a moment before it ends
            self._process.wait(timeout=GRACE_S)
        code = self._process.poll()
        said = last_line(self._log_tail())
        return TransportClosedError(
            f"the local agent ended (exit status {code})" + (f": {said}" if said else "")
        )

    def _log_tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
