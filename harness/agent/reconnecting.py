"""A transport that outlives its link: reconnects, and asks again for what was under way.

Asking again is safe, whatever was asked, because requests have ids. An agent that already finished a
measurement answers from its journal; one that lost its host finishes what it began and journals it while the
new one waits for the board. So nothing is lost and nothing is measured twice. Every other request only asks
what there is, and is answered anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.agent.frames import Hello, parse_hello
from harness.core.errors import DeviceUnavailableError
from harness.transport.base import Frame, TransportClosedError, TransportTimeoutError
from harness.transport.ssh import SshTransport

Result = TypeVar("Result")

# A request whose agent goes away this often is what kills it.
MAX_LOSSES = 3
RETRY_PAUSE_S = 1.0
# The first connection fails fast: a person is waiting, and nothing is under way.
FIRST_ATTEMPT_S = 15.0
# Even when the patience is used up, one attempt with this much time is made.
LEAST_ATTEMPT_S = 3.0
# How long a resent measurement waits for an agent that still holds the board, beyond its own time limit.
LOCK_MARGIN_S = 10.0


class ReconnectingTransport:
    """Wraps transports that `open_transport` makes, one after another, as if they were one.

    Its client asks one thing at a time: who sends another request, or a file, waits for no earlier answer.
    """

    def __init__(self, open_transport: Callable[[float], SshTransport], patience_s: float) -> None:
        """Open the first one.

        Args:
            open_transport: starts an agent, given the seconds that it may take.
            patience_s: how long after its last sign of life the board is given up.
        """
        self._open = open_transport
        self._patience_s = patience_s
        self._under_way: Frame | None = None
        self._lost: DeviceUnavailableError | None = None
        self._greeting: Hello | None = None
        self._losses = 0
        self._current = open_transport(FIRST_ATTEMPT_S)

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send a request. Never waits for a lost link: `receive` does, within the request's time."""
        self._under_way = dict(frame)
        if self._lost is None:
            try:
                self._current.send(frame)
            except (TransportClosedError, TransportTimeoutError) as error:
                self._lost = error

    def receive(self, timeout_s: float) -> Frame:
        deadline = time.monotonic() + timeout_s
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TransportTimeoutError(f"the agent sent no answer for {timeout_s:.0f} s")
            if self._lost is not None:
                self._recover(self._lost, deadline)
                continue
            try:
                frame = self._current.receive(remaining)
            except TransportClosedError as error:
                if self._greeting is None:
                    raise  # it never worked: the cause is not the link
                self._lost = error
                continue
            if frame.get("event") == "hello" and self._greeting is None:
                self._greeting = parse_hello(frame)
            if frame.get("event") == "pending":
                continue  # it will come
            asked = self._under_way
            if asked is not None and frame.get("id") == asked.get("id") and frame.get("event") != "progress":
                self._under_way, self._losses = None, 0
            return frame

    def put(self, path: Path) -> str:
        return self._bring(lambda: self._current.put(path))

    def put_again(self, path: Path) -> str:
        return self._bring(lambda: self._current.put_again(path))

    def _bring(self, put: Callable[[], str]) -> str:
        self._under_way = None
        while True:
            if self._lost is not None:
                self._recover(self._lost)
            try:
                return put()
            except (TransportClosedError, TransportTimeoutError) as error:
                self._lost = error

    def close(self) -> None:
        self._current.close()

    def _recover(self, cause: DeviceUnavailableError, until: float = math.inf) -> None:
        """Find the board again and repeat what was under way.

        Args:
            cause: how the link was lost.
            until: when whoever waits for an answer waits no longer, on the monotonic clock.

        Raises:
            TransportClosedError: it stays away.
            TransportTimeoutError: it was not found before `until`.
        """
        deadline = self._current.heard_at + self._patience_s
        self._current.close()
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise TransportClosedError(f"lost {self._losses} times in a row: {cause}") from cause
        last: DeviceUnavailableError = cause
        while True:
            now = time.monotonic()
            reason = f"; last attempt: {last}" if str(last) != str(cause) else ""
            if deadline - now < LEAST_ATTEMPT_S and last is not cause:
                raise TransportClosedError(
                    f"{cause}; not reached again within {self._patience_s:.0f} s{reason}"
                ) from last
            if now >= until:
                raise TransportTimeoutError(
                    f"{cause}; not reached again before the request's time was over{reason}"
                )
            try:
                self._current = self._reopen(min(max(deadline - now, LEAST_ATTEMPT_S), until - now))
                self._lost = None
                return
            except DeviceUnavailableError as error:
                last = error
            time.sleep(RETRY_PAUSE_S)

    def _reopen(self, timeout_s: float) -> SshTransport:
        """A new agent on the same board, with what is under way asked for again."""
        transport = self._open(timeout_s)
        try:
            self._check_same(parse_hello(_greeting(transport, timeout_s)))
            if self._under_way is not None:
                transport.send(_patient(self._under_way))
        except BaseException:
            transport.close()
            raise
        return transport

    def _check_same(self, found: Hello) -> None:
        if self._greeting is None or self._greeting.inventory.identity != found.inventory.identity:
            raise DeviceUnavailableError("another machine, or another agent, answers in its place")


def _greeting(transport: SshTransport, timeout_s: float) -> Frame:
    """The first greeting of a new agent. Raises TransportTimeoutError."""
    deadline = time.monotonic() + timeout_s
    while (remaining := deadline - time.monotonic()) > 0:
        frame = transport.receive(remaining)
        if frame.get("event") == "hello":
            return frame
    raise TransportTimeoutError(f"the agent did not greet within {timeout_s:.0f} s")


def _patient(frame: Frame) -> Frame:
    """The request, willing to wait until an agent that lost its host is through with it."""
    if frame.get("op") != "measure":
        return frame
    limit_s = float((frame.get("protocol") or {}).get("timeout_s", 60.0))
    return {**frame, "lock_wait_s": limit_s + LOCK_MARGIN_S}
