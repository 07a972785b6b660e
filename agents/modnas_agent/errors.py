"""Why a measurement failed, in the words of the protocol."""

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

MAX_MESSAGE = 400
#: What runtimes write when an allocation fails, in lower case.
_MEMORY_SIGNS = ("bad_alloc", "failed to allocate", "cannot allocate memory", "out of memory")


class MeasureError(Exception):
    """A measurement that failed for `reason`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def one_line(text: object) -> str:
    """`text` on one line of bounded length."""
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def speaks_of_memory(text: str) -> bool:
    """Whether an error text tells of a failed allocation."""
    lower = text.lower()
    return any(sign in lower for sign in _MEMORY_SIGNS)
