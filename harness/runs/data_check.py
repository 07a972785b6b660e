"""A task's data looked at before anything is done with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.home import subfolder, write_atomically
from harness.core.progress import Note, Progress, silent, stage
from harness.runs.run import RunConfig
from modnas.tasks import AnyTask

# With more items than this, a start that shows no bar says what it is doing.
_MANY = 10_000
_STAMP = 16  # bytes of what a task remembers a file by


def check_data(config: RunConfig, task: AnyTask, progress: Progress = silent) -> tuple[str, ...]:
    """Look at all data of a run; what of them is used and what is not, for a person, a line each.

    Files that were looked at before are not opened again.

    Args:
        task: that of `config`.

    Raises:
        TaskError: there are no such data.
        DamagedDataError: some of them cannot be used; it has all of these.
    """
    with _known_files(config) as known, stage(progress, "looking at the data", "item") as looking:

        def on_progress(done: int, total: int) -> None:
            if not looking.done and total > _MANY and len(known) < total:
                text = f"{task.name}: looking at {total:,} files before anything is measured or trained"
                progress(Note(text))
            looking.update(done, total=total)

        task.check(on_progress, known)
    return task.notes


@contextmanager
def _known_files(config: RunConfig) -> Iterator[set[bytes]]:
    """Stamps of files found whole, kept from one start to the next, also where the look is broken off."""
    where = Path(config.data_dir or "").resolve()
    name = hashlib.sha256(f"{config.task} {where}".encode(errors="surrogateescape")).hexdigest()[:16]
    path = subfolder("looked-at") / name
    data = path.read_bytes() if path.is_file() else b""
    known = {data[n : n + _STAMP] for n in range(0, len(data), _STAMP)}
    before = len(known)
    try:
        yield known
    finally:
        if len(known) > before:
            write_atomically(path, b"".join(known))
