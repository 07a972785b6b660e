"""Carries out one job at a time: lock the board, have a zygote ready, run, and account for how it ended.

Nothing here blocks. The server's loop calls in when a zygote reports and when `deadline` has passed; while a
network is being measured the agent sleeps.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping

from modnas_agent import conditions, errors
from modnas_agent.energy import EnergyMeasurement, uses_gpu
from modnas_agent.journal import Journal
from modnas_agent.lock import BoardLock, utc_now
from modnas_agent.placement import allowed_cpus
from modnas_agent.protocol import Frame
from modnas_agent.request import MeasureRequest
from modnas_agent.supervisor import ZygoteHandle
from modnas_agent.trace import energy_warnings

LOCK_RETRY_S = 0.5
#: What a measurement may take beyond its own limits before its agent is taken to hang.
LEASE_MARGIN_S = 60.0
#: Importing a runtime from an SD card under load takes tens of seconds.
IMPORT_LIMIT_S = 180.0
#: A killed process that is not reaped after this long is given up together with its zygote.
KILL_GRACE_S = 5.0

#: What a process is ended with when its own code is at fault; other signals come from outside.
CRASH_SIGNALS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGPIPE")

#: How often it is looked whether a meter's last readings have come.
METER_RETRY_S = 0.1

#: Sends a frame to the host; the flag says that it may be dropped.
Send = Callable[[Mapping[str, Any], bool], None]


@dataclass
class Job:
    """A probe (`request` is None) or a measurement, and what is known about it so far."""

    id: str
    backend: str
    request: MeasureRequest | None = None
    frame: Frame = field(default_factory=dict)
    phase: str = "lock"
    deadline: float = 0.0
    lock_until: float = 0.0
    started_at: str | None = None
    started: float = 0.0
    before: dict[str, Any] | None = None
    cpus: list[int] | None = None
    memory_kills: int | None = None
    killed: bool = False
    outcome: dict[str, Any] | None = None
    stopped_for: str | None = None
    energy: EnergyMeasurement | None = None


class Executor:
    """Runs jobs against one board."""

    def __init__(self, root: Path, journal: Journal, send: Send, host: str = "") -> None:
        self.lock = BoardLock(root / "agent.lock", host)
        self._journal = journal
        self._send = send
        self.job: Job | None = None
        self.zygote: ZygoteHandle | None = None

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is due, on the monotonic clock."""
        return self.job.deadline if self.job else None

    @property
    def begun(self) -> bool:
        """Whether a job is past waiting for the board, and is to be seen to its end."""
        return self.job is not None and self.job.phase != "lock"

    def start(self, job: Job) -> None:
        """Begin a job; none may be under way."""
        self.job = job
        if job.request is None:
            self._prepare(job)
        elif not self._answer_from_journal(job):
            job.lock_until = time.monotonic() + job.request.lock_wait_s
            self._try_lock(job)

    def cancel(self) -> None:
        """End the running job with reason cancelled."""
        if self.job is not None:
            self._stop(self.job, errors.CANCELLED)

    def abandon(self) -> None:
        """Forget a job that nobody waits for any more and that has not begun to measure."""
        if self.job is not None and self.job.energy is not None:
            self.job.energy.stop()
        self.job = None
        self.lock.release()

    def close(self) -> None:
        """End the zygote and give up the lock."""
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None
        self.lock.release()

    def on_deadline(self) -> None:
        """The running job's deadline has passed."""
        job = self.job
        if job is None:
            return
        if job.phase == "lock":
            self._try_lock(job)
        elif job.phase == "import":
            self._drop_zygote()
            self._refuse(job, errors.RUNTIME, f"importing {job.backend} took more than {IMPORT_LIMIT_S:g} s")
        elif job.phase == "idle":
            self._run(job)
        elif job.phase == "meter":
            self._complete(job)
        elif job.stopped_for is None:
            self._stop(job, errors.TIMEOUT)
        else:
            self._drop_zygote()
            self._fail(job, job.stopped_for, "the killed worker did not end")

    def on_reports(self) -> None:
        """The zygote is readable."""
        if self.zygote is None:
            return
        reports = self.zygote.receive()
        if reports is None:
            self._on_lost_zygote(self.zygote.close())
            return
        for report in reports:
            self._on_report(report)

    def _on_lost_zygote(self, ended: str) -> None:
        """It was ended by somebody else: a network can only end the process that it runs in."""
        self.zygote, job = None, self.job
        if job is not None and job.phase == "import":
            self._refuse(job, errors.RUNTIME, f"importing {job.backend} ended with {ended}")
        elif job is not None and job.phase in ("idle", "run"):
            self._fail(job, job.stopped_for or errors.ENVIRONMENT, f"the worker's parent ended: {ended}")

    def _try_lock(self, job: Job) -> None:
        assert job.request is not None
        try:
            taken = self.lock.acquire(job.id, lease_s(job.request))
            if not taken:
                self.lock.evict()
        except OSError as error:
            self._refuse(job, "storage", f"cannot lock the board: {error}")
            return
        now = time.monotonic()
        if taken:
            # Another agent may have held the lock to finish this very request.
            if not self._answer_from_journal(job):
                job.started_at, job.started = utc_now(), now
                self._prepare(job)
        elif now >= job.lock_until:
            holder = self.lock.holder() or {}
            who = f"{holder.get('host') or 'another host'} since {holder.get('since', '?')}"
            what = f"process {holder.get('pid', '?')}, request {holder.get('id', '?')}"
            self._refuse(job, "busy", f"the board is in use by {who} ({what})")
        else:
            job.deadline = min(now + LOCK_RETRY_S, job.lock_until)

    def _answer_from_journal(self, job: Job) -> bool:
        known = self._journal.get(job.id)
        if known is None:
            return False
        self.abandon()
        self._send(known, False)
        return True

    def _prepare(self, job: Job) -> None:
        """Have a zygote of the job's backend; one for another runtime gives its memory back."""
        job.phase, job.deadline = "import", time.monotonic() + IMPORT_LIMIT_S
        if self.zygote is not None and self.zygote.backend != job.backend:
            self._drop_zygote()
        if self.zygote is None:
            try:
                self.zygote = ZygoteHandle(job.backend)
            except OSError as error:
                self._refuse(job, errors.ENVIRONMENT, f"cannot start a process: {error}")
        elif self.zygote.greeting is not None:
            self._on_greeting(job, self.zygote.greeting)

    def _on_greeting(self, job: Job, greeting: Mapping[str, Any]) -> None:
        assert self.zygote is not None
        if greeting["kind"] == "failed":
            self._drop_zygote()
            self._refuse(job, errors.RUNTIME, greeting["message"])
        elif job.request is None:
            self.job = None
            found = {"version": greeting["version"], "providers": greeting["providers"]}
            self._send({"event": "probe", "id": job.id, "backend": job.backend, **found}, False)
        else:
            self._begin(job, job.request)

    def _begin(self, job: Job, request: MeasureRequest) -> None:
        """Everything is ready. The idle power comes first: the board does nothing yet."""
        if request.energy is not None:
            job.energy = EnergyMeasurement(request.energy, uses_gpu(request.options))
            idle_s = job.energy.begin_idle()
            if idle_s > 0:
                job.phase, job.deadline = "idle", time.monotonic() + idle_s
                silent = {"n": 0, "elapsed_s": 0.0, "half_width": None}
                self._send({"event": "progress", "id": job.id, "phase": "idle", **silent}, True)
                return
        self._run(job)

    def _run(self, job: Job) -> None:
        assert job.request is not None and self.zygote is not None
        frame, limit_s = {**job.frame, "window": None}, job.request.timeout_s
        if job.energy is not None:
            job.energy.end_idle()
            if job.energy.lost is not None:
                self._fail(job, errors.ENVIRONMENT, _lost_sensor(job.energy.lost))
                return
            if job.energy.plan is not None:
                frame["window"] = {"lead_s": job.energy.plan.lead_s, "window_s": job.energy.plan.window_s}
                limit_s += job.energy.plan.total_s
        job.phase, job.deadline = "run", time.monotonic() + limit_s
        job.memory_kills = conditions.memory_kills()
        self.zygote.send({"op": "run", "request": frame})

    def _on_report(self, report: Frame) -> None:
        kind, job = report.get("kind"), self.job
        if kind in ("ready", "failed") and self.zygote is not None:
            self.zygote.greeting = report
            if job is not None and job.phase == "import":
                self._on_greeting(job, report)
        elif job is None or job.phase != "run":
            return
        elif kind == "before":
            job.before, job.cpus = report["before"], report["cpus"]
        elif kind == "progress" and job.stopped_for is None:
            fields = {key: report[key] for key in ("phase", "n", "elapsed_s", "half_width")}
            self._send({"event": "progress", "id": job.id, **fields}, True)
        elif kind == "window" and job.energy is not None:
            job.energy.begin_load(job.cpus)
        elif kind == "outcome":
            job.outcome = report["outcome"]
        elif kind == "unstarted":
            self._fail(
                job,
                job.stopped_for or errors.ENVIRONMENT,
                f"cannot start a process to measure in: {report['message']}",
            )
        elif kind == "exited":
            self._on_exit(job, report)

    def _on_exit(self, job: Job, ended: Frame) -> None:
        if ended["stderr"].strip():
            print(ended["stderr"].rstrip(), file=sys.stderr, flush=True)
        if job.outcome is not None:  # also when it was too late to stop it
            self._complete(job)
            return
        if job.stopped_for is not None:
            self._fail(job, job.stopped_for, _stop_message(job))
            return
        kernel_did = job.memory_kills is None or conditions.memory_kills() != job.memory_kills
        if ended["signal"] == "SIGKILL" and not kernel_did and not job.killed:
            # By a person, or by a process that watches memory: the second time it is the network's doing.
            job.killed = True
            self._run(job)
            return
        self._fail(job, *classify_exit(ended, kernel_did))

    def _complete(self, job: Job) -> None:
        """The worker is done; the sensor's last readings may be on their way."""
        assert job.outcome is not None
        window, energy = job.outcome.get("energy_window"), job.energy
        waits = window is not None and energy is not None and not energy.complete(window)
        if waits and job.stopped_for is None:
            job.phase, job.deadline = "meter", time.monotonic() + METER_RETRY_S
            return
        outcome = {name: value for name, value in job.outcome.items() if name != "energy_window"}
        if energy is not None and outcome["status"] == "ok":
            if energy.lost is not None:
                self._fail(job, errors.ENVIRONMENT, _lost_sensor(energy.lost))
                return
            outcome["energy"] = energy.result(window)
            outcome["warnings"] = [*outcome["warnings"], *energy_warnings(outcome["energy"])]
        self._finish(job, outcome)

    def _stop(self, job: Job, reason: str) -> None:
        job.stopped_for = reason
        if job.phase == "run" and self.zygote is not None:
            self.zygote.send({"op": "kill"})
            job.deadline = time.monotonic() + KILL_GRACE_S
        elif job.phase == "meter":
            self._complete(job)
        else:
            self._fail(job, reason, _stop_message(job))

    def _drop_zygote(self) -> None:
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None

    def _refuse(self, job: Job, reason: str, message: str) -> None:
        """Answer with an error that is not a result: nothing was measured, asking again makes sense."""
        self.abandon()
        frame = {"event": "error", "id": job.id, "reason": reason, "message": errors.one_line(message)}
        self._send(frame, False)

    def _fail(self, job: Job, reason: str, message: str) -> None:
        if job.request is None:
            self._refuse(job, reason, message)
        else:
            self._finish(job, {"status": "error", "reason": reason, "message": errors.one_line(message)})

    def _finish(self, job: Job, outcome: dict[str, Any]) -> None:
        """Journal the result, then send it: the host may be gone. What no network can cause is no result."""
        if outcome.get("reason") == errors.ENVIRONMENT:
            self._refuse(job, errors.ENVIRONMENT, outcome["message"])
            return
        frame = {"event": "result", "id": job.id, **outcome}
        if outcome["status"] != "ok":
            frame["before"] = job.before
            frame["after"] = conditions.snapshot(job.cpus or allowed_cpus()) if job.before else None
        greeting = self.zygote.greeting if self.zygote is not None else None
        frame["runtime"] = {"name": job.backend, "version": greeting.get("version") if greeting else None}
        frame["started_at"], frame["ended_at"] = job.started_at, utc_now()
        frame["wall_s"] = time.monotonic() - job.started if job.started_at else None
        frame.setdefault("warnings", [])
        try:
            self._journal.put(frame)
        except OSError as error:
            frame["warnings"] = [*frame["warnings"], f"not journaled: {os.strerror(error.errno or 0)}"]
        self.abandon()
        self._send(frame, False)


def lease_s(request: MeasureRequest) -> float:
    """Seconds after which whoever measures this hangs."""
    energy_s = 4.0 * request.energy.max_window_s if request.energy is not None else 0.0
    return IMPORT_LIMIT_S + request.timeout_s + energy_s + LEASE_MARGIN_S


def _stop_message(job: Job) -> str:
    if job.stopped_for == errors.TIMEOUT and job.request is not None:
        return f"not finished after {job.request.timeout_s:g} s"
    return "cancelled by the host"


def _lost_sensor(failure: str) -> str:
    return f"the power sensor was lost while it was needed: {failure}; see modnas-hw devices check"


def classify_exit(ended: Mapping[str, Any], kernel_did: bool = True) -> tuple[str, str]:
    """Reason and message for a worker that ended without an outcome and was not stopped by us.

    `kernel_did`: whether it may be the kernel that killed it, for want of memory.
    """
    last = "".join(ended["stderr"].strip().splitlines()[-1:])
    said = f": {last}" if last else ""
    if errors.speaks_of_memory(ended["stderr"]):
        return errors.MEMORY, f"out of memory{said}"
    if ended["signal"] == "SIGKILL":
        whom = "most likely by the kernel" if kernel_did else "twice, not by the kernel: perhaps by a watcher"
        return errors.MEMORY, f"killed with SIGKILL, {whom} for want of memory"
    if ended["signal"] is not None and ended["signal"] not in CRASH_SIGNALS:
        return errors.ENVIRONMENT, f"somebody else ended the measuring process with {ended['signal']}"
    if ended["signal"] is not None:
        return errors.reason_for(last, errors.CRASHED), f"crashed with {ended['signal']}{said}"
    message = f"the worker exited with code {ended['code']} and no result{said}"
    return errors.reason_for(last, errors.WORKER), message
