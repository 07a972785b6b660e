"""Why a measurement failed, in the words of the protocol.

All reasons but one are answers about a network. `ENVIRONMENT` is none: what it stands for no network can have
caused, so it is sent as an error and not as a result, and nothing is journaled.
"""

from __future__ import annotations

CRASHED = "crashed"
TIMEOUT = "timeout"
MEMORY = "memory"
NAN = "nan"
MISMATCH = "mismatch"
ARTIFACT = "artifact"
RUNTIME = "runtime"
CANCELLED = "cancelled"
WORKER = "worker"
ENVIRONMENT = "environment"

MAX_MESSAGE = 400


class MeasureError(Exception):
    """A measurement that failed for `reason`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def one_line(text: object) -> str:
    """`text` on one line of bounded length."""
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
