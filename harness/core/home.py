"""The one folder that holds everything the harness keeps: `MODNAS_HOME`, by default `~/.modnas-hw`.

devices/      the user's device profiles (YAML); they shadow the shipped ones
store.sqlite  measurements and evaluations, unless MODNAS_STORE names another database
artifacts/    exported networks, content-addressed
weights/      trained networks, by the evaluation they belong to
looked-at/    which files of data sets were found whole, so that they are not looked at again
agent/        the local agent's root: its archive, journal and lock
hashes.sqlite what files that were looked at contain, so that a second look is short
runs/<name>/  one folder a search
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from harness.core.errors import UsageError
from harness.core.system_errors import naming
from modnas.core.bounded import check_file

_PART = 1 << 20
_LARGEST = 1 << 30  # bytes of what is kept as text


def typed_path(text: str | Path) -> Path:
    """A path as somebody typed it: from the working directory, `~` replaced where such a user is known."""
    path = Path(text)
    with suppress(RuntimeError):
        path = path.expanduser()
    return path.absolute()


def home() -> Path:
    """The home folder, made if it is missing. Raises UsageError when it cannot be written."""
    path = typed_path(os.environ.get("MODNAS_HOME") or Path.home() / ".modnas-hw")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}-{threading.get_native_id()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"home folder {path} cannot be written ({_why(error)}); set MODNAS_HOME to a writable folder"
        ) from error
    return path


def subfolder(name: str) -> Path:
    """A folder below the home folder, made if it is missing. Raises UsageError when it cannot be made."""
    path = home() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be made ({_why(error)}); set MODNAS_HOME to a folder of its own"
        ) from error
    return path


def _why(error: OSError) -> str | None:
    """What the system says; it would say of a file that it exists, where a folder is made."""
    return "it is no folder" if isinstance(error, FileExistsError) else error.strerror


def store_address() -> str | Path:
    """The store's URL as `MODNAS_STORE` has it, or SQLite's file in the home folder."""
    return os.environ.get("MODNAS_STORE") or home() / "store.sqlite"


def file_sha256(path: Path) -> str:
    """Hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()


def has_sha256(path: Path, sha256: str) -> bool:
    """Whether there is a file with this content."""
    try:
        return file_sha256(path) == sha256
    except OSError:
        return False


def read_kept(path: Path) -> str:
    """The text of a file of ours. Raises OSError, also for what is no file: a pipe has no end."""
    check_file(path, _LARGEST)
    return path.read_text(encoding="utf-8")


def is_half_written(found: str, name: str) -> bool:
    """Whether a name is of what a killed `write_atomically` left of a file with another name."""
    return re.fullmatch(rf"\.{re.escape(name)}\.[0-9]+-[0-9]+\.tmp", found) is not None


def write_atomically(path: Path, data: str | bytes, *, durable: bool = True) -> None:
    """Replace a file as a whole: after a kill there is the old content or the new, never half of it.

    `durable`: the same after a power cut, which costs a wait for the disk. Raises OSError naming the file.
    """
    _check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    with naming(path):
        try:
            with _made_anew(temporary) as file:
                file.write(data.encode() if isinstance(data, str) else data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _check_replaceable(path: Path) -> None:
    """Raise OSError for a folder, and for a device or a pipe, which a file would be in the place of."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))


def _made_anew(path: Path) -> BinaryIO:
    """A file of ours to write: in a folder of others, nobody may have put a link in its place."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "wb")
