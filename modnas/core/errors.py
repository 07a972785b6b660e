"""The base of all errors that a person can meet. Each message is one line: what, where, and the mend."""

from __future__ import annotations

from typing import ClassVar


class ModnasError(Exception):
    """Base of the project's typed errors; `exit_code` is what the command line ends with.

    `details`: lines to be printed before the message, where that names only some of what is wrong.
    """

    exit_code: ClassVar[int] = 1
    details: tuple[str, ...] = ()


class InputError(ModnasError):
    """Something that was given cannot be used: a name, a text, a file of data."""

    exit_code: ClassVar[int] = 2


class ExportError(ModnasError):
    """A network that cannot be written as the file that is wanted: a layer, an operation, a shape."""
