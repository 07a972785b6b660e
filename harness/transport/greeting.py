"""Where an agent's frames begin, after whatever the board's login shell says before it starts the agent."""

from __future__ import annotations

import re

from modnas_agent.wire.protocol import MAX_FRAME_BYTES, FrameReader, ProtocolError, decode

from harness.transport.base import Frame

# More than this, the greeting included, is not a shell saying hello.
MAX_BEFORE_BYTES = MAX_FRAME_BYTES
_GREETING = re.compile(rb'\{\s*"event"\s*:\s*"hello"')


class GreetingReader:
    """Cuts a byte stream into frames, once the agent has greeted.

    Before that, lines that are no frames are skipped; the greeting may stand at the end of one, behind
    something that had no newline: the title of a terminal, say. At most `MAX_BEFORE_BYTES` are kept.
    """

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._line = bytearray()
        self._heard_bytes = 0
        self.greeted = False

    def feed(self, data: bytes) -> list[Frame | ProtocolError]:
        """Frames and errors that `data` completes, in order; one error when the greeting does not come."""
        if self.greeted:
            return self._reader.feed(data)
        found: list[Frame | ProtocolError] = []
        *ended, rest = data.split(b"\n")
        for index, piece in enumerate(ended):
            line = bytes(self._line) + piece
            self._line.clear()
            frame = _frame_in(line) if b"{" in line else None
            if frame is not None:
                found.append(frame)
                self.greeted = frame.get("event") == "hello"
            if self.greeted:
                return found + self._reader.feed(b"\n".join([*ended[index + 1 :], rest]))
        self._line += rest
        self._heard_bytes += len(data)
        if self._heard_bytes > MAX_BEFORE_BYTES:
            said = bytes((ended or [rest])[-1][:80]).decode("utf-8", "replace")
            found.append(ProtocolError(f"not JSON, and no greeting in {self._heard_bytes >> 10} kB: {said}"))
            self._line.clear()
        return found


def _frame_in(line: bytes) -> Frame | None:
    """The frame that a line is, or the greeting that it ends with."""
    try:
        return decode(line)
    except ProtocolError:
        begins = [match.start() for match in _GREETING.finditer(line)]
    try:
        return decode(line[begins[-1] :]) if begins else None
    except ProtocolError:
        return None
