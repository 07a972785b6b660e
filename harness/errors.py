"""Errors of the harness. Each message is one line: what, where, and the mend."""

from __future__ import annotations

from typing import ClassVar

from modnas.core.errors import InputError, ModnasError


class ModnasHwError(ModnasError):
    """Base of the harness's typed errors; `exit_code` is what the command line ends with."""


class UsageError(ModnasHwError, InputError):
    """Wrong input: a name, a file, an option."""


class DeviceUnavailableError(ModnasHwError):
    """The device cannot be used now: not there, not answering, or without the runtime asked for."""

    exit_code: ClassVar[int] = 3
