"""Turns of tests in several processes: ordinary ones side by side, one that measures the machine alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Wait until no one who shares `folder` is in a block `alone`; for one `alone`, until no one is in any.

    Whoever comes while one `alone` waits queues behind it, so that it does not wait for ever.
    """
    with (folder / "door.lock").open("w") as door, (folder / "room.lock").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Not left to the closing: a process that the block left behind may have the file open too.
            fcntl.flock(room, fcntl.LOCK_UN)
