"""What the operating system refuses, in words for people: where, what, and what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modnas_agent.permissions import permission_hint


def told(error: BaseException, named: object = None) -> str:
    """One line of what an error says. Of the system's: the path, the reason, and the way out if one is known.

    Args:
        named: a path that the sentence around it names already.
    """
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not {error.encoding}; save it as UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if type(error) is KeyError:
        return f"there is no {error}"
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split()) or type(error).__name__
    path = None if error.filename is None else Path(os.fsdecode(error.filename))
    where = "" if path is None or str(path) == str(named) else f"{path}: "
    reason = error.strerror or os.strerror(error.errno)
    remedy = _REMEDIES.get(error.errno)
    place = path or (Path(str(named)) if named is not None else None)
    way_out = remedy(place) if remedy else ""
    return " ".join(f"{where}{reason}{f'; {way_out}' if way_out else ''}".split())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system be about this file: a full disk names none, and others name a part of ours."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise


def _room(path: Path | None) -> str:
    place = _existing(path)
    if place is None:
        return "make room on that disk"
    free_mb = shutil.disk_usage(place).free >> 20
    return f"make room on the disk of {place}, which has {free_mb} MB free, or use another"


def _allowed(path: Path | None) -> str:
    return "" if path is None else permission_hint(path)


def _existing(path: Path | None) -> Path | None:
    """The file or the nearest folder above it that there is."""
    while path is not None and not os.path.lexists(path):
        path = None if path == path.parent else path.parent
    return path


def _says(text: str) -> Callable[[Path | None], str]:
    return lambda _path: text


_REMEDIES: dict[int, Callable[[Path | None], str]] = {
    errno.ENOSPC: _room,
    errno.EDQUOT: _says("your quota there is used up: delete files, or use another disk"),
    errno.EROFS: _says("name a place that can be written"),
    errno.EACCES: _allowed,
    errno.EPERM: _allowed,
    errno.EMFILE: _says("allow more open files with: ulimit -n 4096"),
    errno.ENFILE: _says("this machine has too many open files: end other programs"),
    errno.ENAMETOOLONG: _says("give a shorter name"),
    errno.EISDIR: _says("it is a folder: name a file"),
    errno.ENOTDIR: _says("a part of that path is a file, not a folder"),
    errno.ELOOP: _says("links there lead in a circle"),
    errno.EIO: _says("the disk has failed: see dmesg"),
    errno.ENOMEM: _says("this machine is out of memory: end other programs"),
}
