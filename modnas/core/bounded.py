"""Files of others read within limits: what they unpack to is known before memory is taken for it.

A compressed file of a few megabytes can hold gigabytes, and one that says it is small can be large.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modnas.core.errors import InputError

# A zip's list of members is read as a whole; what we read have a few thousand at most, of 100 bytes each.
_LARGEST_DIRECTORY = 1 << 20
_ZIP_BEGINS = b"PK\x03\x04"


class TooLargeError(InputError):
    """A file that is, unpacked, larger than anything of its kind."""

    code = "too-large"


def too_large(path: str | os.PathLike[str], what: str, limit: str) -> TooLargeError:
    """The error that names the file, how large it is, and what the limit is."""
    return TooLargeError(f"{os.fspath(path)} is too large: {what}, at most {limit} are read; see what it is")


def check_file(path: Path, largest: int) -> None:
    """Refuse a file of more than `largest` bytes, and what is no file: a device can go on without end.

    Raises TooLargeError, OSError.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no file", os.fspath(path))
    if status.st_size > largest:
        raise too_large(path, f"{status.st_size:,} bytes", f"{largest:,}")


def gunzip(path: Path, largest: int) -> bytes:
    """What a gzip file holds, at most `largest` bytes.

    Raises TooLargeError, and what `gzip` raises for a damaged file.
    """
    check_file(path, largest)
    with gzip.open(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise too_large(path, f"more than {largest:,} bytes unpacked", f"{largest:,}")
    return content


@contextmanager
def open_zip(path: Path, largest: int) -> Iterator[zipfile.ZipFile]:
    """A zip file whose members have at most `largest` bytes together; no member gives more than it says.

    Raises TooLargeError, `zipfile.BadZipFile` for a damaged file, and OSError.
    """
    check_file(path, largest)
    with _BoundedReads(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > largest:
            raise too_large(path, f"{size:,} bytes unpacked", f"{largest:,}")
        # The other kinds unpack a block as a whole, however little of it is asked for.
        if {m.compress_type for m in members} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise zipfile.BadZipFile(f"{path} is packed in a way that nothing of its kind is")
        yield archive


def check_torch_file(path: Path, largest: int) -> None:
    """Refuse a file of `torch.save` that takes more than `largest` bytes, read or unpacked.

    Raises as `open_zip` does.
    """
    check_file(path, largest)
    with path.open("rb") as file:
        begins = file.read(len(_ZIP_BEGINS))
    if begins == _ZIP_BEGINS:
        with open_zip(path, largest):
            pass


class _BoundedReads(io.FileIO):
    """A file to read, from which nothing larger than a zip's list of members may be is read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_DIRECTORY:
            raise zipfile.BadZipFile("it lists more members than any file of its kind has")
        return super().read(size) or b""
