"""The lines of a text file, with everything that is wrong with them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from modnas.core.bounded import TooLargeError, check_file
from modnas.tasks.errors import NAMED, shown

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Bytes of a file; the largest of WMT'14 has 0.7 thousand million.
_LARGEST = 1 << 32


def read_lines(path: Path, problems: list[str]) -> list[str]:
    """The lines of a UTF-8 text, with or without a byte order mark, ended by LF or CR LF and by nothing else.

    So that line n of a file stays beside line n of another: other characters that end a line in Unicode, and
    single carriage returns, are a part of it.

    Args:
        problems: what is wrong is added to these, a line each. A line that is wrong comes out empty.
    """
    if not path.is_file():  # opening a pipe would wait for its other end
        problems.append(f"{shown(path)} is no file")
        return []
    try:
        check_file(path, _LARGEST)
        data = path.read_bytes()
    except OSError as error:
        problems.append(f"cannot read {shown(path)} ({error.strerror})")
        return []
    except TooLargeError as error:
        problems.append(str(error))
        return []
    if data.startswith(_UTF16):
        problems.append(f"{shown(path)} is UTF-16, not UTF-8")
        return []
    rows = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if not rows[-1]:  # the last line has its end
        rows.pop()
    lines, foreign, null = [], [], []
    for number, row in enumerate(rows, 1):
        try:
            text = row.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            foreign.append(number)
            text = ""
        if "\0" in text:
            null.append(number)
            text = ""
        lines.append(text)
    if foreign:
        problems.append(f"{shown(path)} is not UTF-8 in {_numbered(foreign)}")
    if null:
        problems.append(f"{shown(path)} has bytes of zero in {_numbered(null)}")
    return lines


def _numbered(lines: Sequence[int]) -> str:
    first = ", ".join(f"{number}" for number in lines[:NAMED])
    more = f" and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    return f"line{'s' if len(lines) > 1 else ''} {first}{more}"
