"""Tables in compressed files, `.npz` and `.csv.gz`, read within limits."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from modnas.core.bounded import gunzip, open_zip, too_large

# The largest published tables have 1.5 MB unpacked and 15,625 rows.
LARGEST_TABLE = 1 << 24
_MOST_ROWS = 100_000
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path, largest: int = LARGEST_TABLE) -> dict[str, NDArray[Any]]:
    """All arrays of an `.npz` file by name, which together have at most `largest` bytes; none are pickled.

    Raises TooLargeError, OSError, and what NumPy and `zipfile` raise for a damaged file.
    """
    found = {}
    with open_zip(path, largest) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                _check_array(path, member, file)
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = np.lib.format.read_array(
                    file, allow_pickle=False
                )
    return found


def _check_array(path: Path, member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    """Refuse an array whose header says another size than its file has: NumPy takes memory by the header."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{member.filename} is written in version {version} of the format")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects")
    values, there = math.prod(shape), member.file_size - file.tell()
    if values > there or values * dtype.itemsize > there:
        said = f"{member.filename} says {values:,} values of {dtype.itemsize} bytes"
        raise too_large(path, said, f"the {there:,} bytes that it has")


def read_csv_gz(path: Path) -> list[dict[str, str]]:
    """The rows of a `.csv.gz` file, by the names in its first row.

    Raises TooLargeError, OSError, and what `csv`, `gzip` and the decoder raise for a damaged file.
    """
    text = io.StringIO(gunzip(path, LARGEST_TABLE).decode("utf-8"), newline="")
    rows = list(islice(csv.DictReader(text), _MOST_ROWS + 1))
    if len(rows) > _MOST_ROWS:
        raise too_large(path, f"more than {_MOST_ROWS:,} rows", f"{_MOST_ROWS:,}")
    return rows
