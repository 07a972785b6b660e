"""The host's side of the agent protocol, over any transport."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from modnas_agent.protocol import PROTOCOL_VERSION

from harness.errors import DeviceUnavailableError
from harness.transport.base import Frame, Transport, TransportTimeoutError

ProgressCallback = Callable[[Frame], None]

# Longest silence between two frames of a running measurement beyond its own time limit.
MARGIN_S = 30.0


class AgentClient:
    """One conversation with one agent. Made by waiting for the agent's greeting."""

    def __init__(self, transport: Transport, timeout_s: float = 30.0) -> None:
        self._transport = transport
        greeting = self._wait_for("", timeout_s)
        if greeting.get("protocol") != PROTOCOL_VERSION:
            raise DeviceUnavailableError(
                f"the agent speaks protocol {greeting.get('protocol')}, this host {PROTOCOL_VERSION}; "
                "install the same version on both"
            )
        self.agent_version = str(greeting.get("agent_version"))
        self.inventory: dict[str, Any] = dict(greeting.get("inventory") or {})

    def probe(self, backend: str, timeout_s: float = 120.0) -> Frame:
        """Import a backend on the device. Raises DeviceUnavailableError with the agent's reason."""
        return self._answer(self._send({"op": "probe", "backend": backend}), timeout_s)

    def sensor(self, energy: Mapping[str, Any], options: Mapping[str, Any], timeout_s: float = 60.0) -> Frame:
        """The power sensor a measurement would use: `sensor` is its name, or None with the `reason`."""
        return self._answer(self._send({"op": "sensor", "energy": energy, "options": options}), timeout_s)

    def ping(self, timeout_s: float = 10.0) -> Frame:
        """Ask for a sign of life; answered even while measuring."""
        return self._answer(self._send({"op": "ping"}), timeout_s)

    def measure(
        self, request: Mapping[str, Any], timeout_s: float, on_progress: ProgressCallback | None = None
    ) -> Frame:
        """Run one measurement; the result frame, whose status is `ok` or `error`.

        Args:
            request: the frame without `op` and `id`.
            timeout_s: the agent's own limit for this measurement; silence beyond it is an error.

        Raises:
            DeviceUnavailableError: the agent refuses, is busy, silent or gone.
        """
        identifier = self._send({"op": "measure", **request})
        return self._answer(identifier, timeout_s + MARGIN_S, on_progress)

    def close(self) -> None:
        """End the agent."""
        self._transport.close()

    def _send(self, frame: Mapping[str, Any]) -> str:
        identifier = uuid.uuid4().hex
        self._transport.send({**frame, "id": identifier})
        return identifier

    def _answer(
        self, identifier: str, timeout_s: float, on_progress: ProgressCallback | None = None
    ) -> Frame:
        while True:
            frame = self._wait_for(identifier, timeout_s)
            if frame["event"] == "progress":
                if on_progress:
                    on_progress(frame)
                continue
            if frame["event"] == "error":
                raise DeviceUnavailableError(
                    f"the agent answers {frame.get('reason')}: {frame.get('message')}"
                )
            return frame

    def _wait_for(self, identifier: str, timeout_s: float) -> Frame:
        deadline = time.monotonic() + timeout_s
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TransportTimeoutError(f"the agent did not answer within {timeout_s:.0f} s")
            frame = self._transport.receive(remaining)
            if frame.get("id") == identifier and isinstance(frame.get("event"), str):
                return frame
