"""Errors of runtimes, compilers and systems, turned into reasons of the protocol where they enter.

What has a type or a number is told by it. Runtimes raise the same `RuntimeError` for everything, and a
process that crashed leaves only what it wrote: for those the words decide, here and nowhere else.
"""

from __future__ import annotations

import errno

from modnas_agent.errors import ENVIRONMENT, MEMORY

#: Of a board that is at fault, and not the network.
_ENVIRONMENT_NUMBERS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
)
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


def reason_of(error: BaseException, otherwise: str) -> str:
    """The reason that an exception of a runtime stands for; `otherwise` where it is not one of the known."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return MEMORY
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT_NUMBERS:
        return ENVIRONMENT
    return reason_for(f"{type(error).__name__}: {error}", otherwise)


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
