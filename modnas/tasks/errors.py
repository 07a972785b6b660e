"""What is wrong with data, in words."""

from __future__ import annotations

import os
from collections.abc import Sequence

from modnas.core.errors import InputError

# How many problems of a data set a message names.
NAMED = 10


class TaskError(InputError):
    """A data set that is not there or cannot be read. One line: what, where, and what to do."""

    code = "task"


class DamagedDataError(TaskError):
    """Several things wrong with a data set, all of them found before any is used.

    The message is one line and names the first ten.

    Args:
        head: what comes before them, with a colon where it needs one.
        problems: all of them, one line each.
        hint: what to do.
    """

    code = "damaged-data"

    def __init__(self, head: str, problems: Sequence[str], hint: str) -> None:
        more = len(problems) - NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        super().__init__(f"{head} {'; '.join(problems[:NAMED])}{rest}: {hint}")
        self.problems = tuple(problems)
        self.details = self.problems if more > 0 else ()


def shown(path: str | os.PathLike[str]) -> str:
    """A path, or a part of one, in one printable line: line ends, foreign bytes and the like are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(path))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is no UTF-8, as `os.fsdecode` has it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
