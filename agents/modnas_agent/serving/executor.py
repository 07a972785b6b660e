"""Carries out one job at a time: lock the board, have a zygote ready, run, and account for how it ended.

Nothing here blocks: files, drivers and processes that may keep one waiting are seen to on threads, see
`background`. The server's loop calls in when a zygote reports, when a thread has ended and when `deadline`
has passed; while a network is being measured the agent sleeps.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, TypeVar

from modnas_agent import errors
from modnas_agent.background import Background
from modnas_agent.board import conditions
from modnas_agent.board.claim import Claim, claim
from modnas_agent.board.journal import Journal
from modnas_agent.board.lock import BoardLock, utc_now
from modnas_agent.energy.measurement import EnergyMeasurement, OpenedSensor, Opening, uses_gpu
from modnas_agent.energy.trace import energy_warnings
from modnas_agent.foreign_words import understood
from modnas_agent.serving.finish import CRASH_SIGNALS, classify_exit, keep, not_journaled, result_frame
from modnas_agent.serving.job import DISK_LIMIT_S, IMPORT_LIMIT_S, SENSOR_LIMIT_S, Job, lease_s
from modnas_agent.serving.supervisor import ZygoteHandle
from modnas_agent.wire.output import tell
from modnas_agent.wire.protocol import Frame
from modnas_agent.wire.request import MeasureRequest

LOCK_RETRY_S = 0.5
#: A killed process that is not reaped after this long is given up together with its zygote.
KILL_GRACE_S = 5.0
#: Threads for sensors, for files and processes. Those of a sensor or a disk that hangs never end.
MOST_SENSORS, MOST_OTHERS = 4, 8

#: How often it is looked whether a meter's last readings have come.
METER_RETRY_S = 0.1
#: How often the host is told that the sensor has not answered yet.
NEWS_S = 1.0

T = TypeVar("T")

#: Sends a frame to the host; the flag says that it may be dropped.
Send = Callable[[Mapping[str, Any], bool], None]


class Executor:
    """Runs jobs against one board."""

    def __init__(self, root: Path, journal: Journal, send: Send, host: str = "") -> None:
        self._lock_path, self._host = root / "agent.lock", host
        self._journal = journal
        self._send = send
        self.job: Job | None = None
        self.zygote: ZygoteHandle | None = None
        self.sensors = Background(MOST_SENSORS)
        self.others = Background(MOST_OTHERS)

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
        else:
            job.lock_until = time.monotonic() + job.request.lock_wait_s
            job.lock = BoardLock(self._lock_path, self._host)
            self._try_lock(job)

    def cancel(self) -> None:
        """End the running job with reason cancelled."""
        if self.job is not None:
            self._stop(self.job, errors.CANCELLED)

    def abandon(self) -> None:
        """Forget a job that nobody waits for any more and that has not begun to measure."""
        if self.job is not None:
            self.job.let_go()
        self.job = None

    def close(self) -> None:
        """End the zygote and give up the lock."""
        if self.zygote is not None:
            self.zygote.close()
            self.zygote = None
        self.abandon()

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
        elif job.phase == "sensor":
            self._tell_of_sensor(job)
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
            self._on_lost_zygote(self.zygote)
            return
        for report in reports:
            self._on_report(report)

    def _on_lost_zygote(self, zygote: ZygoteHandle) -> None:
        """It was ended by somebody else: a network can only end the process that it runs in."""
        self.zygote, job = None, self.job
        if job is None or job.phase not in ("import", "sensor", "idle", "run"):
            self._end_zygote(zygote)
            return
        importing, job.phase = job.phase == "import", "lost"

        def tell_how(ended: object) -> None:
            if importing:
                reason = errors.CRASHED if ended in CRASH_SIGNALS else errors.RUNTIME
                self._refuse(job, reason, understood(f"importing {job.backend} ended with {ended}"))
            else:
                what = f"the worker's parent ended: {ended}"
                self._fail(job, job.stopped_for or errors.ENVIRONMENT, what)

        self._await(job, zygote.close, tell_how, tell_how, limit_s=KILL_GRACE_S)

    def _await(
        self,
        job: Job,
        work: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Exception], None],
        *,
        limit_s: float,
        late: Callable[[T], None] = lambda value: None,
    ) -> None:
        """Go on with the job when `work`, on a thread, has ended or has taken too long."""
        if job.call is not None:
            job.call.forget()
        job.deadline = None
        job.call = self.others.start(work, then, failed, limit_s, late)

    def _try_lock(self, job: Job) -> None:
        request, lock = job.request, job.lock
        assert request is not None and lock is not None

        def failed(error: Exception) -> None:
            self._refuse(job, "storage", f"cannot lock the board: {_said(error, self._lock_path)}")

        self._await(
            job,
            lambda: claim(lock, self._journal, request.id, lease_s(request)),
            partial(self._on_claim, job),
            failed,
            limit_s=DISK_LIMIT_S,
            late=lambda found: lock.release(),
        )

    def _on_claim(self, job: Job, found: Claim) -> None:
        now = time.monotonic()
        if found.known is not None:
            self.abandon()
            self._send(found.known, False)
        elif found.taken:
            job.started_at, job.started = utc_now(), now
            self._prepare(job)
        elif now >= job.lock_until:
            self._refuse(job, "busy", found.refusal)
        else:
            job.deadline = min(now + LOCK_RETRY_S, job.lock_until)

    def _prepare(self, job: Job) -> None:
        """Have a zygote of the job's backend; one for another runtime gives its memory back first."""
        job.phase, job.deadline = "import", time.monotonic() + IMPORT_LIMIT_S
        old, backend = self.zygote, job.backend
        if old is not None and old.backend == backend:
            if old.greeting is not None:
                self._on_greeting(job, old.greeting)
            return
        self.zygote = None

        def renew() -> ZygoteHandle:
            if old is not None:
                old.close()
            return ZygoteHandle(backend)

        def failed(error: Exception) -> None:
            self._refuse(job, errors.ENVIRONMENT, f"cannot start a process: {error}")

        self._await(
            job, renew, partial(self._on_zygote, job), failed, limit_s=IMPORT_LIMIT_S, late=self._end_zygote
        )

    def _on_zygote(self, job: Job, zygote: ZygoteHandle) -> None:
        """It has begun to import."""
        self.zygote = zygote
        job.deadline = time.monotonic() + IMPORT_LIMIT_S

    def _on_greeting(self, job: Job, greeting: Mapping[str, Any]) -> None:
        assert self.zygote is not None
        if greeting["kind"] == "failed":
            self._drop_zygote()
            self._refuse(job, errors.RUNTIME, greeting["message"])
        elif job.request is None:
            self.abandon()
            found = {"version": greeting["version"], "providers": greeting["providers"]}
            self._send({"event": "probe", "id": job.id, "backend": job.backend, **found}, False)
        else:
            self._begin(job, job.request)

    def _begin(self, job: Job, request: MeasureRequest) -> None:
        """Everything is ready. The idle power comes first: the board does nothing yet."""
        if request.energy is None:
            self._run(job)
            return
        opening = Opening(request.energy, uses_gpu(request.options))
        job.phase, job.sensor_asked = "sensor", time.monotonic()
        job.deadline = job.sensor_asked + NEWS_S
        job.call = self.sensors.start(
            opening.open,
            partial(self._on_sensor, job),
            lambda error: self._on_sensor(job, opening.given_up(error)),
            SENSOR_LIMIT_S,
        )

    def _tell_of_sensor(self, job: Job) -> None:
        """It is waited for: the host shall not take that for silence."""
        now = time.monotonic()
        job.deadline = now + NEWS_S
        self._send_progress(job, now - job.sensor_asked)

    def _on_sensor(self, job: Job, opened: OpenedSensor) -> None:
        job.energy = EnergyMeasurement(opened)
        idle_s = job.energy.begin_idle()
        if idle_s > 0:
            job.phase, job.deadline = "idle", time.monotonic() + idle_s
            self._send_progress(job, 0.0)
        else:
            self._run(job)

    def _send_progress(self, job: Job, elapsed_s: float) -> None:
        """Of a phase in which nothing is inferred."""
        silent = {"n": 0, "elapsed_s": elapsed_s, "half_width": None}
        self._send({"event": "progress", "id": job.id, "phase": job.phase, **silent}, True)

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
            tell(ended["stderr"].rstrip())
        if job.outcome is not None:  # also when it was too late to stop it
            self._complete(job)
            return
        if job.stopped_for is not None:
            self._fail(job, job.stopped_for, job.stop_message)
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
        if job.phase == "finish":
            return  # too late
        job.stopped_for = reason
        if job.phase == "run" and self.zygote is not None:
            self.zygote.send({"op": "kill"})
            job.deadline = time.monotonic() + KILL_GRACE_S
        elif job.phase == "meter":
            self._complete(job)
        else:
            self._fail(job, reason, job.stop_message)

    def _drop_zygote(self) -> None:
        if self.zygote is not None:
            self._end_zygote(self.zygote)
            self.zygote = None

    def _end_zygote(self, zygote: ZygoteHandle) -> None:
        self.others.start(zygote.close, lambda ended: None, lambda error: None, KILL_GRACE_S)

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
        frame = result_frame(job, outcome, self.zygote.greeting if self.zygote is not None else None)
        job.phase = "finish"
        self._await(
            job,
            lambda: keep(self._journal, frame, job),
            self._deliver,
            lambda error: self._deliver(not_journaled(frame, str(error))),
            limit_s=DISK_LIMIT_S,
        )

    def _deliver(self, frame: Frame) -> None:
        self.abandon()
        self._send(frame, False)


def _said(error: Exception, path: Path) -> str:
    return str(error) if isinstance(error, OSError) else f"{path} {error}"


def _lost_sensor(failure: str) -> str:
    return f"the power sensor was lost while it was needed: {failure}; see modnas-hw devices check"
