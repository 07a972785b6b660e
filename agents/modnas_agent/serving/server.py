"""The agent's loop: frames in on stdin, frames out on stdout, one job at a time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable, Mapping

from modnas_agent import errors
from modnas_agent.board.journal import Journal
from modnas_agent.energy.measurement import OpenedSensor, Opening, uses_gpu
from modnas_agent.serving.executor import Executor
from modnas_agent.serving.hello import hello
from modnas_agent.serving.job import SENSOR_LIMIT_S, Job
from modnas_agent.wire.output import Output
from modnas_agent.wire.protocol import Frame, FrameReader, ProtocolError
from modnas_agent.wire.request import EnergyRequest, RequestError, parse_energy, parse_measure, request_id

#: Jobs waiting behind the running one; a host has little reason for more than one or two.
MAX_QUEUE = 64
#: How long the last frames may take to leave once everything is done.
FLUSH_S = 5.0


def serve(root: Path, idle_s: float | None = None, host: str = "") -> int:
    """Serve until stdin ends, `bye`, or `idle_s` without a frame. What is measured is finished first.

    `host`: who asks, for others who wait for the board.
    """
    root = root.absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # measuring will say so to the host
        print(f"modnas_agent: {error}", file=sys.stderr)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost link does not end a measurement
    # The frames' stdout is ours alone: a stray print goes to stderr.
    output = Output(os.dup(1))
    os.dup2(2, 1)
    server = Server(root, 0, output, idle_s, host)
    try:
        server.run()
    except KeyboardInterrupt:
        return 130
    finally:
        server.executor.close()
    return 0


class Server:
    """State of a session with a host."""

    def __init__(
        self, root: Path, input_fd: int, output: Output, idle_s: float | None = None, host: str = ""
    ) -> None:
        self._root = root
        self._input_fd = input_fd
        self._output = output
        self._journal = Journal(root / "journal")
        self.executor = Executor(root, self._journal, output.put, host)
        self._queue: deque[Job] = deque()
        self._reader = FrameReader()
        self._ending = False
        self._idle_s = idle_s
        self._heard = time.monotonic()
        self._operations: dict[str, Callable[[Frame], None]] = {
            "ping": self._ping,
            "measure": self._measure,
            "probe": self._probe,
            "sensor": self._sensor,
            "cancel": self._cancel,
        }

    def run(self) -> None:
        """Greet, then serve until the host is done with us or gone."""
        self._send(hello(""))
        while not (self._ending and self.executor.job is None):
            self._turn()
        flush_until = time.monotonic() + FLUSH_S
        while self._output.waiting and time.monotonic() < flush_until:
            if select.select([], [self._output], [], FLUSH_S)[1]:
                self._output.write_ready()

    def _turn(self) -> None:
        """Sleep until something happens, and see to it."""
        executor, zygote = self.executor, self.executor.zygote
        inputs: Any = [executor.sensors, executor.others]
        if not self._ending:
            inputs.append(self._input_fd)
        if zygote is not None:
            inputs.append(zygote)
        writing = [self._output] if zygote is None else [self._output, zygote.requests]
        outputs = [output for output in writing if output.waiting]
        deadline = self._next_deadline()
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, writable, _ = select.select(inputs, outputs, [], wait_s)
        for output in writable:
            output.write_ready()
        if zygote is not None and zygote in readable:
            executor.on_reports()
        if self._input_fd in readable:
            self._read()
        if self._idle_s is not None and time.monotonic() - self._heard >= self._idle_s:
            self._end()
        executor.sensors.turn()
        executor.others.turn()
        if executor.deadline is not None and time.monotonic() >= executor.deadline:
            executor.on_deadline()
        while self._queue and executor.job is None:
            executor.start(self._queue.popleft())

    def _next_deadline(self) -> float | None:
        """When there is something to do that no descriptor tells of."""
        executor = self.executor
        due = (executor.deadline, executor.sensors.deadline, executor.others.deadline)
        known = [deadline for deadline in due if deadline is not None]
        if self._idle_s is not None and not self._ending:
            known.append(self._heard + self._idle_s)
        return min(known, default=None)

    def _read(self) -> None:
        self._heard = time.monotonic()
        data = b""
        with contextlib.suppress(ConnectionError):
            data = os.read(self._input_fd, 1 << 16)
        for frame in self._reader.feed(data):
            self._handle(frame)
        if not data:
            self._end()

    def _handle(self, frame: Frame | ProtocolError) -> None:
        """Act on one frame. Whatever is wrong with it is answered; the loop goes on."""
        if isinstance(frame, ProtocolError):
            self._error("", "bad_request", frame)
            return
        given = frame.get("id")
        try:
            operation = self._operations.get(str(frame.get("op")))
            if operation is None:
                raise RequestError(f"op: one of {', '.join(self._operations)} is needed")
            operation(frame)
        except RequestError as error:
            self._error(given if isinstance(given, str) else "", "bad_request", error)

    def _send(self, frame: Mapping[str, Any]) -> None:
        self._output.put(frame)

    def _error(self, id_: str, reason: str, message: object) -> None:
        self._send({"event": "error", "id": id_, "reason": reason, "message": errors.one_line(message)})

    def _ping(self, frame: Frame) -> None:
        job = self.executor.job
        self._send({"event": "pong", "id": request_id(frame), "busy_with": job.id if job else None})

    def _measure(self, frame: Frame) -> None:
        request = parse_measure(frame)
        if self._known(request.id) is not None:
            self._send({"event": "pending", "id": request.id})
            return
        artifact = {**frame["artifact"], "path": str(self._root / request.artifact_path)}
        self._enqueue(Job(request.id, request.backend, request, {**frame, "artifact": artifact}))

    def _probe(self, frame: Frame) -> None:
        backend = frame.get("backend")
        if not isinstance(backend, str):
            raise RequestError("backend: a string is needed")
        self._enqueue(Job(request_id(frame), backend))

    def _sensor(self, frame: Frame) -> None:
        """Which power sensor a measurement with this `energy` and these backend `options` would use."""
        id_, energy, options = request_id(frame), parse_energy(frame) or EnergyRequest(), frame.get("options")
        opening = Opening(energy, uses_gpu(options if isinstance(options, dict) else {}))

        def answer(opened: OpenedSensor) -> None:
            name = None if opened.sensor is None else opened.sensor.name
            self._send({"event": "sensor", "id": id_, "sensor": name, "reason": opened.failure})

        self.executor.sensors.start(
            opening.open, answer, lambda error: answer(opening.given_up(error)), SENSOR_LIMIT_S
        )

    def _enqueue(self, job: Job) -> None:
        if len(self._queue) >= MAX_QUEUE:
            self._error(job.id, "busy", f"{MAX_QUEUE} requests are waiting already")
        elif not self._ending:
            self._queue.append(job)

    def _known(self, id_: str) -> Job | None:
        """The running or waiting job with this id."""
        jobs = [self.executor.job] if self.executor.job else []
        return next((job for job in [*jobs, *self._queue] if job.id == id_), None)

    def _cancel(self, frame: Frame) -> None:
        id_, target = request_id(frame), request_id(frame, "target")
        job = self._known(target)
        if job is None:
            self._error(id_, "unknown_request", f"no request {target} is running or waiting")
            return
        self._send({"event": "cancelled", "id": id_, "target": target})
        if job is self.executor.job:
            self.executor.cancel()
        else:
            self._queue.remove(job)
            self._error(target, errors.CANCELLED, "cancelled by the host before it began")

    def _end(self) -> None:
        """No more requests. What has not begun is dropped; what is being measured is finished."""
        self._ending = True
        for job in self._queue:
            self._error(job.id, errors.CANCELLED, "the session ended before it began")
        self._queue.clear()
        if self.executor.job is not None and not self.executor.begun:
            self._error(self.executor.job.id, errors.CANCELLED, "the session ended before it began")
            self.executor.abandon()
