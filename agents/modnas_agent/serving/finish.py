"""How a job ended, put into the frame that its host gets and the journal keeps."""

from __future__ import annotations

import os
import time
from typing import Any, Mapping

from modnas_agent import errors, foreign_errors
from modnas_agent.board import conditions
from modnas_agent.board.journal import Journal
from modnas_agent.board.lock import utc_now
from modnas_agent.board.placement import allowed_cpus
from modnas_agent.serving.job import Job
from modnas_agent.wire.protocol import Frame

#: What a process is ended with when its own code is at fault; other signals come from outside.
CRASH_SIGNALS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGPIPE")


def result_frame(job: Job, outcome: Mapping[str, Any], greeting: Mapping[str, Any] | None) -> Frame:
    """The `result` event of a job, from its worker's outcome and its zygote's greeting."""
    frame = {"event": "result", "id": job.id, **outcome}
    if outcome["status"] != "ok":
        frame["before"], frame["after"] = job.before, None
    frame["runtime"] = {"name": job.backend, "version": greeting.get("version") if greeting else None}
    frame["started_at"], frame["ended_at"] = job.started_at, utc_now()
    frame["wall_s"] = time.monotonic() - job.started if job.started_at else None
    frame.setdefault("warnings", [])
    return frame


def keep(journal: Journal, frame: Frame, job: Job) -> Frame:
    """Write a result to the journal; it, with what is added to it. Not for the loop: it waits for files."""
    if frame["status"] != "ok" and job.before:
        frame = {**frame, "after": conditions.snapshot(job.cpus or allowed_cpus())}
    try:
        journal.put(frame)
    except OSError as error:
        return not_journaled(frame, os.strerror(error.errno or 0))
    return frame


def not_journaled(frame: Frame, reason: str) -> Frame:
    """The same result, with a warning that it was not kept."""
    return {**frame, "warnings": [*frame["warnings"], f"not journaled: {reason}"]}


def classify_exit(ended: Mapping[str, Any], kernel_did: bool = True) -> tuple[str, str]:
    """Reason and message for a worker that ended without an outcome and was not stopped by us.

    `kernel_did`: whether it may be the kernel that killed it, for want of memory.
    """
    last = "".join(ended["stderr"].strip().splitlines()[-1:])
    said = f": {last}" if last else ""
    if foreign_errors.speaks_of_memory(ended["stderr"]):
        return errors.MEMORY, f"out of memory{said}"
    if ended["signal"] == "SIGKILL":
        whom = "most likely by the kernel" if kernel_did else "twice, not by the kernel: perhaps by a watcher"
        return errors.MEMORY, f"killed with SIGKILL, {whom} for want of memory"
    if ended["signal"] is not None and ended["signal"] not in CRASH_SIGNALS:
        return errors.ENVIRONMENT, f"somebody else ended the measuring process with {ended['signal']}"
    if ended["signal"] is not None:
        return foreign_errors.reason_for(last, errors.CRASHED), f"crashed with {ended['signal']}{said}"
    message = f"the worker exited with code {ended['code']} and no result{said}"
    return foreign_errors.reason_for(last, errors.WORKER), message
