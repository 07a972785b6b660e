"""What the harness needs from a channel to an agent, whatever carries it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import DeviceUnavailableError

Frame = dict[str, Any]


def host_name() -> str:
    """Who measures, `user@machine`: told to others who wait for the same board."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


class TransportClosedError(DeviceUnavailableError):
    """The agent or the way to it is gone."""

    code = "connection-lost"


class TransportTimeoutError(DeviceUnavailableError):
    """Nothing arrived in the time allowed."""

    code = "connection-timeout"


class Transport(Protocol):
    """One running agent. Frames in order; every wait has a limit."""

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame. Raises TransportClosedError."""

    def receive(self, timeout_s: float) -> Frame:
        """Next frame. Raises TransportTimeoutError or TransportClosedError."""

    def put(self, path: Path) -> str:
        """Make a file available to the agent; the path under which the agent finds it."""

    def put_again(self, path: Path) -> str:
        """The same for a file that the agent found damaged: it is brought once more."""

    def close(self) -> None:
        """End the agent and free everything. Never raises for an agent that is already gone."""
