"""Small files: the kernel's, which may be absent, forbidden, or vanish while being read, and own ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def read_text(path: Path) -> str | None:
    """The stripped content, or None when it cannot be had."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().strip("\0") or None
    except (OSError, ValueError):
        return None


def read_number(path: Path, base: int = 10) -> int | None:
    """The content as a whole number, or None."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def status_mb(field: str, proc_root: Path = Path("/proc")) -> float | None:
    """A size out of this process's `/proc/self/status` (VmRSS, VmHWM, VmData …) in MB of 2**20 bytes."""
    for line in (read_text(proc_root / "self" / "status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == field and value.split():
            return int(value.split()[0]) / 1024.0
    return None


def open_own(path: Path) -> BinaryIO:
    """An own file, emptied, to be written; raises OSError when the name is a link, whatever it leads to."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(str(path), flags, 0o666), "wb")
