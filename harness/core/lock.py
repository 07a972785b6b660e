"""One writer at a time in a folder: a lock of the kernel's, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from harness.core.errors import ModnasHwError

LOCK = "lock.json"


class InUseError(ModnasHwError):
    """Another process is writing here."""

    code = "in-use"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder against other writers; `lock.json` in it says who does.

    The file stays, and means nothing when nobody has it locked: whoever held it may have been killed.

    Args:
        what: names the folder in the error's message.

    Raises:
        InUseError: another process, or this one, holds it. Nobody is waited for.
        ModnasHwError: the file system cannot lock, or nothing can be written there.
    """
    path = folder / LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise ModnasHwError(f"{what}: {path} cannot be written ({error.strerror})") from error
    try:
        _take(fd, fcntl.LOCK_EX, path, what)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(_holder(), indent=1).encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def check_free(folder: Path, what: str) -> None:
    """Raise InUseError when another process holds a folder now. One without a lock is free."""
    path = folder / LOCK
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        _take(fd, fcntl.LOCK_SH, path, what)
    finally:
        os.close(fd)


def _take(fd: int, kind: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _described(os.pread(fd, 4096, 0))
        raise InUseError(f"{what} is in use by {holder}; wait for its end, or end it") from error
    except OSError as error:
        raise ModnasHwError(
            f"{what}: {path} cannot be locked ({error.strerror}); put MODNAS_HOME on a file system with locks"
        ) from error


def _holder() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        user = str(os.getuid())
    return {
        "pid": os.getpid(),
        "user": user,
        "host": socket.gethostname(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:1000],
    }


def _described(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return (
            f"process {holder['pid']} of {holder['user']}@{holder['host']} since {holder['since']} "
            f"({holder['command']})"
        )
    except (ValueError, KeyError, TypeError):  # not written yet
        return "another process"
