"""The base of all errors that a person can meet. Each message is one line: what, where, and what to do."""

from __future__ import annotations

from typing import ClassVar


class ModnasError(Exception):
    """Base of the project's typed errors, each with a `code` that programs can tell it by.

    Attributes:
        code: the same from version to version, each class has its own: small letters with hyphens.
        exit_code: what the command line ends with.
        details: lines to be printed before the message, where that names only some of what is wrong.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    details: tuple[str, ...] = ()


class InputError(ModnasError):
    """Something that was given cannot be used: a name, a text, a file of data."""

    code = "input"
    exit_code: ClassVar[int] = 2


class ExportError(ModnasError):
    """A network that cannot be written as the file that is wanted: a layer, an operation, a shape."""

    code = "export"
