"""Errors the user meets. Each message is one line: what, where, and the mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ModnasHwError(Exception):
    """Base of the project's typed errors; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(ModnasHwError):
    """Wrong input: a name, a file, an option."""

    exit_code = 2


class DeviceUnavailableError(ModnasHwError):
    """The device cannot be used now: not there, not answering, or without what measuring on it needs."""

    exit_code = 3


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Where this machine is at fault for `what` not being done, raise DeviceUnavailableError.

    No network has caused a full disk, missing permissions, or a library that cannot be imported.
    """
    try:
        yield
    except (OSError, ImportError, MemoryError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DeviceUnavailableError(f"this machine cannot {what}: {told}") from error
