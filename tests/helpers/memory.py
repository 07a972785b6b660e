"""How much memory a call takes, in a process of its own that may not take much more than it has."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

_LIMIT_MB = 1500


def taken_mb(call: Callable[[], object]) -> tuple[BaseException | None, float]:
    """What a call raised, and by how many MB of 2^20 bytes the process grew meanwhile."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(call, theirs))
    process.start()
    theirs.close()
    error, grown = ours.recv()
    process.join()
    return error, grown


def _call(call: Callable[[], object], answer: Connection) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    most = (int(status["VmData"].split()[0]) << 10) + (_LIMIT_MB << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    before = _peak_kb()
    error: BaseException | None = None
    try:
        call()
    except BaseException as raised:
        error = raised
    answer.send((error, (_peak_kb() - before) / 1024))


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
