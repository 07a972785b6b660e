"""An agent on a board, spoken to over one SSH channel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modnas_agent.folder import ARTIFACTS
from modnas_agent.wire.protocol import ProtocolError, encode

from harness.core.errors import UsageError
from harness.core.foreign import clean_text, last_line
from harness.transport.base import Frame, TransportClosedError, TransportTimeoutError
from harness.transport.greeting import GreetingReader
from harness.transport.ssh_artifacts import BoardArtifacts
from harness.transport.ssh_files import BoardFiles

# After this silence the agent is asked for a sign of life; it answers while it measures, too.
PROBE_AFTER_S = 3.0
# No sign for this long after asking: frozen, or the link is dead. A board that starts up may take longer.
ANSWER_S = 7.0
GREETING_S = 25.0
PROBE_ID = "host-probe"
CHUNK_BYTES = 1 << 16
STDERR_TAIL_BYTES = 2000
# Taken at a time of what an agent says on stderr, so that one that never stops is not listened to for ever.
STDERR_CHUNKS = 8
# What the board keeps of uploaded networks.
ARTIFACTS_LIMIT_BYTES = 512 << 20


class SshTransport:
    """One agent over one connection. `heard_at`: when anything last came from the board (monotonic clock)."""

    def __init__(self, files: BoardFiles, command: str, directory: str) -> None:
        """Start the agent.

        Args:
            files: the board's, over the connection that the agent gets.
            command: what starts it, at home, quoted for `sh`.
            directory: its folder on the board.
        """
        self._connection = connection = files.connection
        self._artifacts = BoardArtifacts(files, f"{directory}/{ARTIFACTS}", ARTIFACTS_LIMIT_BYTES)
        self._reader = GreetingReader()
        self._pending: deque[Frame | ProtocolError] = deque()
        self._asked_at: float | None = None
        self._stderr = bytearray()
        self._channel = connection.start(command, ANSWER_S)
        self.heard_at = time.monotonic()

    def send(self, frame: Mapping[str, Any]) -> None:
        try:
            line = encode(frame)
        except ProtocolError as error:
            raise UsageError(f"the request cannot be sent to the agent: {error}") from error
        try:
            with self._connection.limit(ANSWER_S, "sending"):
                self._channel.settimeout(ANSWER_S)
                self._channel.sendall(line)
        except (TransportClosedError, TransportTimeoutError) as error:
            raise self._closed() from error  # closed, or it takes nothing any more

    def receive(self, timeout_s: float) -> Frame:
        began = time.monotonic()
        while True:
            while self._pending:
                if (frame := self._accept(self._pending.popleft())) is not None:
                    return frame
            remaining = began + timeout_s - time.monotonic()
            if remaining <= 0:
                raise TransportTimeoutError(
                    f"the agent on {self._connection.address} sent nothing for {timeout_s:.0f} s"
                )
            self._read(min(remaining, self._next_check_s(began)))

    def put(self, path: Path) -> str:
        return self._bring(path, anew=False)

    def put_again(self, path: Path) -> str:
        return self._bring(path, anew=True)

    def _bring(self, path: Path, *, anew: bool) -> str:
        name = self._artifacts.bring(path, anew=anew)
        self.heard_at = time.monotonic()
        return f"{ARTIFACTS}/{name}"

    def close(self) -> None:
        with suppress(Exception):
            self._channel.close()
        self._connection.close()

    def _next_check_s(self, began: float) -> float:
        """Seconds until silence means something. Asks for a sign of life, or gives up, when it does now."""
        now = time.monotonic()
        if self._asked_at is not None:
            left = self._asked_at + (ANSWER_S if self._reader.greeted else GREETING_S) - now
            if left > 0:
                return left
            raise TransportClosedError(
                f"{self._connection.address} has been silent for {now - self.heard_at:.0f} s: it is frozen, "
                "switched off, or its link is down"
            )
        left = max(self.heard_at, began) + PROBE_AFTER_S - now
        if left > 0:
            return left
        self._asked_at = now
        self.send({"op": "ping", "id": PROBE_ID})
        return ANSWER_S

    def _read(self, timeout_s: float) -> None:
        self._drain_stderr()
        self._channel.settimeout(max(0.01, timeout_s))
        try:
            chunk = self._channel.recv(CHUNK_BYTES)
        except TimeoutError:
            return
        except (OSError, EOFError) as error:
            raise self._closed() from error
        if not chunk:
            raise self._closed()
        self.heard_at, self._asked_at = time.monotonic(), None
        self._pending.extend(self._reader.feed(chunk))

    def _accept(self, frame: Frame | ProtocolError) -> Frame | None:
        """The frame, unless it is only a sign of life."""
        if isinstance(frame, ProtocolError):
            raise TransportClosedError(
                f"{self._connection.address} sent something that is no frame of the agent: "
                f"{clean_text(str(frame))}"
            )
        return None if frame.get("id") == PROBE_ID else frame

    def _drain_stderr(self) -> None:
        """Nobody reads it, but an agent whose messages are not taken would stop one day."""
        for _ in range(STDERR_CHUNKS):
            if not self._channel.recv_stderr_ready():
                break
            self._stderr += self._channel.recv_stderr(CHUNK_BYTES)
        del self._stderr[:-STDERR_TAIL_BYTES]

    def _closed(self) -> TransportClosedError:
        address = self._connection.address
        deadline = time.monotonic() + 1.0
        while not self._channel.exit_status_ready() and self._connection.active:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)  # the status follows the end of the output
        with suppress(Exception):
            self._drain_stderr()
        if not self._connection.active:
            return TransportClosedError(f"the connection to {address} was lost")
        status = self._channel.recv_exit_status() if self._channel.exit_status_ready() else -1
        said = last_line(self._stderr.decode("utf-8", "replace"))
        how = f"exit status {status}" if status >= 0 else "it was killed"
        return TransportClosedError(f"the agent on {address} ended ({how})" + (f": {said}" if said else ""))
