"""Errors of the harness. Each message is one line: what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from harness.core.system_errors import told
from modnas.core.errors import InputError, ModnasError

AnyError = TypeVar("AnyError", bound=ModnasError)


class ModnasHwError(ModnasError):
    """Base of the harness's typed errors."""

    code = "failed"


class UsageError(ModnasHwError, InputError):
    """Wrong input: a name, a file, an option."""

    code = "usage"


class DeviceUnavailableError(ModnasHwError):
    """The device cannot be used now: not there, not answering, or without what measuring on it needs."""

    code = "device-unavailable"
    exit_code: ClassVar[int] = 3


def reworded(error: AnyError, message: str) -> AnyError:
    """The same error with another message: its type, its code and what else it carries stay."""
    found = type(error).__new__(type(error), message)
    found.__dict__.update(error.__dict__)
    return found


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Where this machine is at fault for `what` not being done, raise DeviceUnavailableError.

    No network has caused a full disk, missing permissions, or a library that cannot be imported.
    """
    try:
        yield
    except (OSError, ImportError, MemoryError) as error:
        raise DeviceUnavailableError(f"this machine cannot {what}: {told(error)}") from error
