"""Calls that may take seconds, off the agent's loop: a thread and a limit each, their ends told in the loop.

A thread that waits for a dead disk or a driver that hangs cannot be ended. Nobody waits for it beyond its
limit, and only so many may be under way at once: whoever asks for one more is told so.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from functools import partial
from typing import Any, Callable, TypeVar

T = TypeVar("T")


class TooSlowError(Exception):
    """A call that did not end within its limit, or that was refused: too many others have not ended."""


class Call:
    """A call under way. Exactly one of its two ends is called, unless it is forgotten before."""

    def __init__(
        self,
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        late: Callable[[Any], None],
        limit_s: float,
    ) -> None:
        self.then, self.failed, self.late = then, failed, late
        self.limit_s = limit_s
        self.until = time.monotonic() + limit_s
        #: Whether somebody waits for it.
        self.awaited = True

    def forget(self) -> None:
        """Nobody waits for it any more. What it gives is late."""
        self.awaited = False


class Background:
    """Runs at most `most` calls at once. A descriptor is readable when one has ended: `turn` tells of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: list[Call] = []
        self._ended: deque[tuple[Call, Callable[[], None]]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Readable when a call has ended."""
        return self._wake_read

    @property
    def deadline(self) -> float | None:
        """When the first limit of a call that is waited for is over, on the monotonic clock."""
        return min((call.until for call in self._calls if call.awaited), default=None)

    def start(
        self,
        work: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
        limit_s: float,
        late: Callable[[T], None] = lambda value: None,
    ) -> Call:
        """Have `work` called on a thread. Everything else is called by `turn`, in the loop.

        Args:
            then: given what it returned.
            failed: given what it raised, or `TooSlowError`.
            late: given what it returned when nobody waited for that any more.
        """
        call = Call(then, failed, late, limit_s)
        busy = len(self._calls)
        self._calls.append(call)
        if busy >= self._most:
            refusal = TooSlowError(f"did not answer: {busy} earlier calls have not ended yet")
            self._end(call, partial(self._fail, call, refusal))
            return call
        try:
            threading.Thread(target=self._work, args=(call, work), daemon=True).start()
        except RuntimeError as error:  # no more threads to be had
            self._end(call, partial(self._fail, call, error))
        return call

    def turn(self) -> None:
        """Tell of the calls that have ended, and of those whose limit is over."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 1 << 12):
                continue
        while self._ended:
            call, tell = self._ended.popleft()
            self._calls.remove(call)
            tell()
        now = time.monotonic()
        for call in [call for call in self._calls if call.awaited and now >= call.until]:
            self._fail(call, TooSlowError(f"did not answer within {call.limit_s:g} s"))

    def _work(self, call: Call, work: Callable[[], Any]) -> None:
        try:
            value = work()
        except Exception as error:
            self._end(call, partial(self._fail, call, error))
        else:
            self._end(call, partial(self._succeed, call, value))

    def _end(self, call: Call, tell: Callable[[], None]) -> None:
        self._ended.append((call, tell))
        with contextlib.suppress(BlockingIOError):  # full: it is readable already
            os.write(self._wake_write, b"\0")

    def _succeed(self, call: Call, value: Any) -> None:
        if call.awaited:
            call.forget()
            call.then(value)
        else:
            call.late(value)

    def _fail(self, call: Call, error: Exception) -> None:
        if call.awaited:
            call.forget()
            call.failed(error)
