"""Reading small kernel files, which may be absent, forbidden, or vanish while being read."""

from __future__ import annotations

from pathlib import Path


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
