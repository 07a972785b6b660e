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
#: What runtimes write when an allocation fails, in lower case.
_MEMORY_SIGNS = ("bad_alloc", "failed to allocate", "cannot allocate memory", "out of memory")
#: What systems and runtimes write when the board is at fault and not the network, in lower case.
_ENVIRONMENT_SIGNS = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "read-only file system",
    "permission denied",
    "operation not permitted",
    "too many open files",
    "resource temporarily unavailable",
    "can't start new thread",
    "input/output error",
    "stale file handle",
    "no such device",
    "no cuda-capable device",
    "invalid device ordinal",
    "cuda driver version is insufficient",
    "cannot open shared object file",
    "failed to map segment",
)


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


def speaks_of_environment(text: str) -> bool:
    """Whether an error text tells of something that no network can have caused."""
    lower = text.lower()
    return any(sign in lower for sign in _ENVIRONMENT_SIGNS)


def reason_for(text: str, otherwise: str) -> str:
    """The reason an error text tells of: a failed allocation, the board's state, or else `otherwise`."""
    if speaks_of_memory(text):
        return MEMORY
    return ENVIRONMENT if speaks_of_environment(text) else otherwise
