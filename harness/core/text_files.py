"""Text files as people have them: with a byte order mark, with any line ends, or no text at all.

A file of another kind is told by its first bytes, never opened as that: a pickle runs what it holds.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import time
from pathlib import Path

from harness.core.errors import UsageError

# A pipe's writer opens it within this time, or there is none.
WRITER_S = 5.0
_PART = 1 << 16
# Longer than the strings of any list of architectures, or of a device's profile.
MAX_BYTES = 64 << 20

# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PICKLE = (
    "a PyTorch file or another pickle, which may run code and is not opened; weights to search with go to "
    "modnas-hw search --devices NAME --weights FILE, networks of your own are measured from Python "
    "(docs/python.md)"
)
_ONNX = "an ONNX model; your own are measured in Python: harness.profile(SOURCE, DEVICE) (docs/python.md)"
_ARRAYS = "NumPy arrays; published tables go to modnas-hw dataset import nasbench201 --from FOLDER"
_WEIGHTS = "safetensors; weights to search with go to modnas-hw search --devices NAME --weights FILE"
_IMAGE = (
    "an image; a folder of images goes to "
    "modnas-hw search --devices NAME --task image-folder --data-dir FOLDER"
)
_STARTS = (
    (b"\x1f\x8b", "compressed; unpack it first: gunzip -k FILE"),
    (b"\xfd7zXZ", "compressed; unpack it first: xz -dk FILE"),
    (b"BZh", "compressed; unpack it first: bzip2 -dk FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed; unpack it first: zstd -d FILE"),
    (b"\x93NUMPY", _ARRAYS),
    (b"\x89HDF", "an HDF5 file; give a text file"),
    (b"SQLite format 3", "a database; give a text file"),
    (b"PAR1", "a Parquet file; give a text file"),
    (b"\x89PNG", _IMAGE),
    (b"\xff\xd8\xff", _IMAGE),
    (b"%PDF-", "a PDF document; give a text file"),
    (b"\x7fELF", "a program; give a text file"),
)
# Fields that may follow the version at the beginning of an ONNX file: producer, domain, graph, opsets, ...
_AFTER_ONNX_VERSION = b"\x12\x1a\x22\x2a\x32\x3a\x42"
_BEGINNING = 4096
_NAME = 30  # where a zip archive's first entry has its name


class TextFileError(UsageError):
    """A file that is to be text cannot be read or is something else."""

    code = "no-text-file"


def read_text(path: Path) -> str:
    """A file's text, in UTF-8 or what its byte order mark says, every line end as a newline.

    Raises:
        TextFileError: it cannot be read, is too large, or is no text; the message says what it is instead.
    """
    try:
        if path.is_fifo():
            content = _from_pipe(path)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TextFileError(f"{path} cannot be read: {_reason(error)}") from error
    if kind := foreign_kind(content):
        raise TextFileError(f"{path} is {kind}")
    if len(content) > MAX_BYTES:
        raise TextFileError(f"{path} has more than {MAX_BYTES >> 20} MB; split it into several files")
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise TextFileError(
            f"{path} cannot be read: byte {error.start + len(mark)} is not {encoding}; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise TextFileError(f"{path} cannot be read: it is binary; give a text file in UTF-8")
    return io.StringIO(text, newline=None).read()


def _from_pipe(path: Path) -> bytes:
    """What is written to a pipe, at most a byte more than is read of a file.

    A writer that is there may take its time. Raises OSError where none comes.
    """
    content, is_written, deadline = b"", False, time.monotonic() + WRITER_S
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while len(content) <= MAX_BYTES:
            part = pipe.read(_PART)
            if part is None:  # nothing yet
                is_written = True
                select.select([pipe], [], [])
            elif part:
                content += part
            elif content or is_written:
                break
            elif time.monotonic() > deadline:
                raise OSError(errno.EPIPE, f"nobody wrote to this pipe for {WRITER_S:g} s", str(path))
            else:
                time.sleep(0.05)
    return content


def check_is_text(path: Path) -> None:
    """Raise TextFileError where a file is of another kind; one that cannot be read is left to its reader."""
    try:
        if not path.is_file():  # what comes through a pipe would be gone
            return
        with path.open("rb") as file:
            kind = foreign_kind(file.read(_BEGINNING))
    except (OSError, ValueError):
        return
    if kind:
        raise TextFileError(f"{path} is {kind}")


def foreign_kind(content: bytes) -> str | None:
    """What a file that is no text is, by how it begins, and what takes such a one; None for any other."""
    if content[:4] == b"PK\x03\x04":
        return _archive_kind(content)
    if content[:1] == b"\x80" and content[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return _PICKLE
    if len(content) > 2 and content[0] == 8 and content[1] < 64 and content[2] in _AFTER_ONNX_VERSION:
        return _ONNX
    if content[8:10] == b'{"' and int.from_bytes(content[:8], "little") < 100 << 20:
        return _WEIGHTS
    return next((kind for start, kind in _STARTS if content.startswith(start)), None)


def _archive_kind(content: bytes) -> str:
    """A zip archive's kind, by its first entry: PyTorch pads every entry in a field of its own, `FB`."""
    end = _NAME + int.from_bytes(content[26:28], "little")
    name = content[_NAME:end]
    if name.endswith(b"/data.pkl") or content[end : end + 2] == b"FB":
        return _PICKLE
    return _ARRAYS if name.endswith(b".npy") else "a zip archive; unpack it first: unzip FILE"


def _reason(error: Exception) -> str:
    """What the system says, without the path, which is named already."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
