"""One measurement at a time on a board, whoever asks for it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from modnas_agent.board.turn import Turn
from modnas_agent.folder import WAITING


def utc_now() -> str:
    """The time now in UTC, ISO 8601 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class BoardLock:
    """A lock file whose lock the kernel gives up when its holder dies, with a lease for a holder that hangs.

    Those who do not get it wait in a queue, see `turn`, until they release it. The lease is in seconds of the
    board's own monotonic clock: no host's clock is looked at.
    """

    def __init__(self, path: Path, host: str = "") -> None:
        """`host`: for whom the lock is taken, in words for people."""
        self._path = path
        self._host = host
        self._turn = Turn(path.with_name(WAITING))
        self._fd: int | None = None

    def acquire(self, request_id: str, lease_s: float) -> bool:
        """Take the lock if it is free and nobody has waited longer for it; else wait, and be asked again.

        Who holds it, for which request and how long, is noted. Raises OSError.

        Args:
            lease_s: after so long the holder hangs: all its own time limits have passed.
        """
        first = self._turn.ahead()
        if first is None and self._take(request_id, lease_s):
            return True
        if first is not None:
            self._turn.watch(first, free=self.holder() is None)
        self._turn.join()
        return False

    def _take(self, request_id: str, lease_s: float) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW  # what a link leads to is not ours
        fd = os.open(str(self._path), flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = {"pid": os.getpid(), "host": self._host, "since": utc_now(), "id": request_id}
            holder["expires_s"] = time.monotonic() + lease_s
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(holder).encode(), 0)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def evict(self) -> bool:
        """End a holder whose lease has expired; whether there was one. The lock is free a moment later."""
        holder = self.holder() or {}
        pid, expires_s = holder.get("pid"), holder.get("expires_s")
        if not isinstance(pid, int) or not isinstance(expires_s, float) or time.monotonic() < expires_s:
            return False
        if not self._is_open_in(pid):  # the number of another process by now, or of one in another container
            return False
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        return True

    def _is_open_in(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            own = self._path.stat()
            return any(
                os.path.samestat(own, entry.stat()) for entry in Path("/proc", str(pid), "fd").iterdir()
            )
        return False

    def release(self) -> None:
        """Give the lock back, or wait for it no longer; harmless otherwise. Its place is kept until then."""
        self._turn.leave()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> dict[str, Any] | None:
        """Who holds it ({pid, host, since, id, expires_s}; {} when not yet written), None when it is free."""
        try:
            fd = os.open(str(self._path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            return _parse(os.pread(fd, 4096, 0))
        except OSError:
            return None
        finally:
            os.close(fd)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(data)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
