"""All image files decoded once, before any is used."""

from __future__ import annotations

import hashlib
from collections.abc import MutableSet, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL

from modnas.core.task import Progress
from modnas.tasks.errors import shown
from modnas.tasks.image_decoding import flaw

# Files that are decoded between two reports of progress: enough for all threads.
_PART = 256
_STAMP = 16  # bytes


def flaws(
    paths: Sequence[str],
    workers: int,
    on_progress: Progress | None = None,
    known: MutableSet[bytes] | None = None,
) -> list[str]:
    """What cannot be decoded and why, a line each, in the order of `paths`.

    Args:
        workers: threads that decode.
        known: stamps of files that were found whole before, which are not opened again if they have not
            changed since; those of files found whole now are added.
    """
    known = set() if known is None else known
    found: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), _PART):
            part = paths[start : start + _PART]
            # The stamp from before: a file that is changed while it is read has another one later.
            stamps = [_stamp(path) for path in part]
            fresh = [(p, s) for p, s in zip(part, stamps, strict=True) if s is None or s not in known]
            for (path, stamp), reason in zip(fresh, pool.map(flaw, [p for p, _ in fresh]), strict=True):
                if reason is not None:
                    found.append(f"{shown(path)}: {reason}")
                elif stamp is not None:
                    known.add(stamp)
            if on_progress is not None:
                on_progress(start + len(part), len(paths))
    return found


def _stamp(path: str) -> bytes | None:
    """What changes when a file does, or when another Pillow reads it; None for a file that is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    parts = str(Path(path).absolute()), status.st_size, *times, PIL.__version__
    return hashlib.blake2b(repr(parts).encode(), digest_size=_STAMP).digest()
