"""Whose turn it is at a board: those who wait have a place each, first come, first served."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from modnas_agent.folder import TICKET

#: Whoever is first and lets a free board pass for this long hangs, and loses its place. It is ten tries.
HESITATION_S = 5.0


class Turn:
    """A place among those who wait: a file named by when it was made, on the board's monotonic clock.

    The file is locked by who waits, so that the kernel tells when that process has died.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._fd: int | None = None
        #: Who was first when this one last looked, and since when the board has been free for it.
        self._first, self._free_since = "", 0.0

    def ahead(self) -> str | None:
        """Of those who came earlier and still wait the first; raises OSError. What dead ones left goes."""
        if self._folder.is_symlink():  # what a link leads to is not ours
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._folder))
        try:
            names = sorted(path.name for path in self._folder.iterdir() if TICKET.fullmatch(path.name))
        except FileNotFoundError:
            return None
        for name in names:
            if name == self._name:
                return None
            if _waits(self._folder / name):
                return name
        return None

    def watch(self, first: str, *, free: bool) -> None:
        """Take its place from one who is first and has let the board, which is `free` now, pass too long."""
        now = time.monotonic()
        if first != self._first or not free:
            self._first, self._free_since = first, now
        elif now - self._free_since >= HESITATION_S:
            with contextlib.suppress(FileNotFoundError):  # another one was quicker
                (self._folder / first).unlink()

    def join(self) -> None:
        """Wait behind all others, unless this one waits already; raises OSError."""
        if self._fd is not None:
            return
        self._folder.mkdir(exist_ok=True)
        name = f"{time.monotonic_ns():020d}-{os.urandom(4).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(str(self._folder / name), flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lost = os.fstat(fd).st_nlink == 0
        except BlockingIOError:
            lost = True
        except OSError:
            os.close(fd)
            raise
        if lost:  # taken for a dead one's before it was locked: the next try joins
            os.close(fd)
        else:
            self._name, self._fd = name, fd

    def leave(self) -> None:
        """Wait no longer; harmless when it does not.

        The next one that looks removes the file: here no disk is waited for.
        """
        if self._fd is not None:
            os.close(self._fd)
            self._fd, self._name = None, ""


def _waits(path: Path) -> bool:
    """Whether the one whose place this is lives. What another left is removed, if it is a file."""
    try:
        fd = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # it had its turn meanwhile, or it is nobody's place
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            path.unlink()
    except BlockingIOError:
        return True
    except OSError:  # another one removed it
        return False
    finally:
        os.close(fd)
    return False
