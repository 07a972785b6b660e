"""Files of values of architectures: the header `arch,value` and a line for each architecture."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.numerals import read_number
from harness.core.system_errors import told
from harness.core.text_files import check_is_text
from modnas.core.architecture import shown
from modnas.core.bounded import check_file
from modnas.spaces import ArchitectureError, Space

_HEADER = ["arch", "value"]
_LARGEST = 1 << 28  # bytes: a million networks with the longest names there are


def read_values(path: Path, space: Space) -> dict[str, float]:
    """Values by canonical string from a file with the header `arch,value`.

    Values must be positive numbers, and every architecture occurs once. Raises UsageError with file and line.
    """
    return {arch: value for arch, (_, value) in read_rows(path, space).items()}


def read_rows(path: Path, space: Space) -> dict[str, tuple[int, float]]:
    """Line and value by canonical string."""
    check_is_text(path)
    entries: dict[str, tuple[int, float]] = {}
    try:
        check_file(path, _LARGEST)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for row in rows:
                line = rows.line_num
                if line == 1 and [name.strip() for name in row] != _HEADER:
                    raise UsageError(
                        f"{path}, line 1: the header must be arch,value, not {shown(','.join(row))}"
                    )
                if line > 1 and row:
                    arch, value = _entry(f"{path}, line {line}", row, space)
                    if arch in entries:
                        raise UsageError(f"{path}, line {line}: {arch} occurs twice")
                    entries[arch] = line, value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"table {path} cannot be read: {told(error, path)}") from error
    if not entries:
        raise UsageError(
            f"table {path} is empty: give the header arch,value and a line for each architecture"
        )
    return entries


def _entry(where: str, row: list[str], space: Space) -> tuple[str, float]:
    if len(row) != 2:
        raise UsageError(f"{where}: expected an architecture and a value, not {len(row)} fields")
    try:
        arch = space.parse(row[0]).string
    except ArchitectureError as error:
        raise UsageError(f"{where}: {error}") from error
    try:
        value = read_number(row[1])
    except ValueError as error:
        raise UsageError(f"{where}: {error}; write it as in 12.5") from error
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{where}: {row[1].strip()} is not a positive number")
    return arch, value
