"""The host's side of the agent protocol, over any transport.

Whatever an agent sends, every request ends: `silence_limit_s` and `total_limit_s` say when at the latest.
What it sends passes `harness.agent.frames`; `harness.agent.plausibility` compares a result with its request.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from modnas_agent.errors import ENVIRONMENT

from harness.agent.frames import (
    FrameError,
    Pong,
    Probe,
    Progress,
    Refusal,
    Sensor,
    accept,
    parse_hello,
    plain,
)
from harness.agent.plausibility import judged
from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_text
from harness.transport.base import Frame, Transport, TransportTimeoutError

ProgressCallback = Callable[[Frame], None]

# Longest silence between two frames of a running measurement beyond its own time limit.
MARGIN_S = 30.0
# How long the other answers may take. Importing a runtime from a slow disk takes longest.
GREETING_S = 30.0
PROBE_S = 120.0
SENSOR_S = 60.0
PING_S = 10.0
# Signs that an answer will come, which tell nothing else.
_PENDING = "pending"


def silence_limit_s(timeout_s: float) -> float:
    """Longest time without a word on a measurement that may take `timeout_s` itself."""
    return timeout_s + MARGIN_S


def total_limit_s(timeout_s: float) -> float:
    """Longest time from a request to its result, whatever arrives meanwhile.

    One span of silence while the board is waited for and the runtime imported, which tell of no progress, and
    another one for the measurement, which may not take longer than its own limit.
    """
    return 2.0 * silence_limit_s(timeout_s)


class RefusedError(DeviceUnavailableError):
    """The agent's answer is that it cannot do what was asked; `reason` is its word for why."""

    code = "agent-refused"

    def __init__(self, refusal: Refusal) -> None:
        told = "" if refusal.reason == ENVIRONMENT else f"the agent answers {refusal.reason}: "
        super().__init__(f"{told}{refusal.message}")
        self.reason = refusal.reason


class AgentClient:
    """One conversation with one agent. Made by waiting for the agent's greeting.

    Raises:
        DeviceUnavailableError: every method, when the agent is silent, gone, or talks nonsense.
    """

    def __init__(self, transport: Transport, timeout_s: float | None = None) -> None:
        self._transport = transport
        began = time.monotonic()
        end = began + (GREETING_S if timeout_s is None else timeout_s)
        greeting = parse_hello(self._wait_for("", began, end))
        self.agent_version = greeting.agent_version
        self.inventory: dict[str, Any] = plain(greeting.inventory)
        self.identity = greeting.inventory.identity

    def probe(self, backend: str, timeout_s: float | None = None) -> Frame:
        """Import a backend on the device. Raises DeviceUnavailableError with the agent's reason."""
        asked = {"op": "probe", "backend": backend}
        return plain(accept(Probe, self._ask(asked, PROBE_S if timeout_s is None else timeout_s)))

    def sensor(self, energy: Mapping[str, Any], options: Mapping[str, Any]) -> Frame:
        """The power sensor a measurement would use: `sensor` is its name, or None with the `reason`."""
        asked = {"op": "sensor", "energy": energy, "options": options}
        return plain(accept(Sensor, self._ask(asked, SENSOR_S)))

    def ping(self, timeout_s: float | None = None) -> Frame:
        """Ask for a sign of life; answered even while measuring."""
        return plain(accept(Pong, self._ask({"op": "ping"}, PING_S if timeout_s is None else timeout_s)))

    def measure(
        self, request: Mapping[str, Any], timeout_s: float, on_progress: ProgressCallback | None = None
    ) -> Frame:
        """Run one measurement; the result frame, whose status is `ok` or `error`.

        A result that cannot be true has status `error` and reason `implausible`.

        Args:
            request: the frame without `op` and `id`.
            timeout_s: the agent's own limit for this measurement; see `total_limit_s` for what follows.

        Raises:
            DeviceUnavailableError: the agent refuses, is busy, silent or gone.
        """
        began = time.monotonic()
        silence_s, total_s = silence_limit_s(timeout_s), total_limit_s(timeout_s)
        frame = self._ask({"op": "measure", **request}, silence_s, total_s, on_progress)
        if frame["event"] != "result":
            raise FrameError(f"the agent answers a measurement with {clean_text(frame['event'], 40)!r}")
        return judged(frame, request, time.monotonic() - began, self.inventory.get("memory_mb"))

    def close(self) -> None:
        """End the agent."""
        self._transport.close()

    def _ask(
        self,
        frame: Mapping[str, Any],
        silence_s: float,
        total_s: float | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Frame:
        """Send a request and wait for its answer, at most `total_s` (`silence_s` where there is none)."""
        identifier, began = uuid.uuid4().hex, time.monotonic()
        end = began + (silence_s if total_s is None else total_s)
        self._transport.send({**frame, "id": identifier})
        heard = began
        while True:
            answer = self._wait_for(identifier, began, min(heard + silence_s, end))
            if answer["event"] == "error":
                refusal = accept(Refusal, answer)
                raise RefusedError(refusal)
            if answer["event"] == "progress":
                heard = time.monotonic()
                progress = plain(accept(Progress, answer))
                if on_progress:
                    on_progress(progress)
            elif answer["event"] != _PENDING:
                return answer

    def _wait_for(self, identifier: str, began: float, deadline: float) -> Frame:
        """The next frame with that id, as it came."""
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TransportTimeoutError(f"the agent has not answered after {now - began:.0f} s")
            frame = self._transport.receive(deadline - now)
            if frame.get("id") == identifier and isinstance(frame.get("event"), str):
                return frame
