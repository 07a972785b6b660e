"""Writing to somebody who may be slow, frozen or gone, without ever waiting: a host, a zygote, a person."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any, Mapping

from modnas_agent.wire.protocol import encode

#: A descriptor that select calls writable takes this many bytes without blocking. Making it non-blocking
#: instead would do so for everyone else who has it open.
PIECE_BYTES = select.PIPE_BUF
#: Past this, progress is dropped; results are kept.
MAX_WAITING_BYTES = 4 << 20
STDERR = 2


class Output:
    """Frames on their way out. After the first error the reader is taken for gone and frames are dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        self.gone = False

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._fd

    @property
    def waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def put(self, frame: Mapping[str, Any], droppable: bool = False) -> None:
        """Queue a frame."""
        if not self.gone and not (droppable and len(self._waiting) > MAX_WAITING_BYTES):
            self._waiting += encode(frame)

    def write_ready(self) -> None:
        """Write a piece; to be called when the descriptor is writable."""
        try:
            written = os.write(self._fd, self._waiting[:PIECE_BYTES])
        except OSError:
            self.gone = True
            self._waiting.clear()
        else:
            del self._waiting[:written]


def tell(text: str) -> None:
    """Write lines for a person to standard error, or drop them when nobody takes them."""
    with contextlib.suppress(OSError):
        if select.select([], [STDERR], [], 0)[1]:
            os.write(STDERR, f"{text}\n".encode("utf-8", "replace")[-PIECE_BYTES:])
