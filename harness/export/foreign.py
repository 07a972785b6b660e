"""Failures of the libraries that make a network's file: the network's fault, or this machine's."""

from __future__ import annotations

from modnas_agent.foreign_errors import speaks_of_environment

from harness.core.errors import DeviceUnavailableError
from modnas.core.errors import ModnasError


def at_fault(failure: ModnasError, said: str = "") -> ModnasError:
    """The failure itself, or a DeviceUnavailableError where no network can have caused it.

    Compilers and quantisers tell of a full disk in words alone, so that these are looked at here, where their
    errors enter.

    Args:
        failure: an ExportError or a CompileError with what the library said in its message.
        said: what else it wrote.
    """
    if speaks_of_environment(f"{failure} {said}"):
        return DeviceUnavailableError(f"this machine cannot make the network's file: {failure}")
    return failure
