"""The base of all errors that a person can meet. Each message is one line: what, where, and the mend."""

from __future__ import annotations

from typing import ClassVar


class ModnasError(Exception):
    """Base of the project's typed errors; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class InputError(ModnasError):
    """Something that was given cannot be used: a name, a text, a file of data."""

    exit_code: ClassVar[int] = 2
