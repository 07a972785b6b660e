"""Errors the user meets. Each message is one line: what, where, and the mend."""

from __future__ import annotations


class ModnasHwError(Exception):
    """Base of the project's typed errors; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(ModnasHwError):
    """Wrong input: a name, a file, an option."""

    exit_code = 2


class DeviceUnavailableError(ModnasHwError):
    """The device cannot be used now: not there, not answering, or without the runtime asked for."""

    exit_code = 3
