"""A process that has imported a runtime and forks a fresh copy of itself for every measurement.

Importing a runtime takes longer than measuring a small network; a fork takes a millisecond and is as fresh,
as long as the parent has neither sessions nor threads. Requests come on stdin, reports leave on stdout: those
of the children, which share it, and this process's own. Its stdin ending means that the agent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from modnas_agent import errors
from modnas_agent.backends import load_backend
from modnas_agent.backends.base import Backend
from modnas_agent.foreign_words import understood
from modnas_agent.timing.worker import be_expendable, measure
from modnas_agent.wire.protocol import FrameReader, ProtocolError, encode
from modnas_agent.wire.request import parse_measure

PR_SET_PDEATHSIG = 1
STDERR_TAIL_BYTES = 2000


def main(backend_name: str) -> int:
    """Serve until stdin ends."""
    report_fd = os.dup(1)
    os.dup2(2, 1)  # what a runtime prints must not land among the reports
    try:
        backend = load_backend(backend_name)
        ready = {"kind": "ready", "version": backend.version(), "providers": backend.providers()}
    except Exception as error:
        _report(report_fd, {"kind": "failed", "message": errors.one_line(understood(str(error)))})
        return 0
    gc.collect()
    gc.freeze()  # else the first collection in every child would copy all pages
    _report(report_fd, ready)
    Zygote(backend, report_fd).serve()
    return 0


def _report(fd: int, frame: dict[str, Any]) -> None:
    data = memoryview(encode(frame))
    while data:
        data = data[os.write(fd, data) :]


class Child:
    """A running measurement: its pid, a pipe that ends when it does, and what it writes to stderr."""

    def __init__(self, pid: int, alive_fd: int, stderr_fd: int) -> None:
        self.pid = pid
        self.alive_fd = alive_fd
        self._stderr_fd = stderr_fd

    def kill(self) -> None:
        """Kill it and what it started. It is not reaped yet, so that the pid is still its own."""
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # before its setpgid there is no group

    def reap(self) -> dict[str, Any]:
        """How it ended."""
        _, status = os.waitpid(self.pid, 0)
        size = os.fstat(self._stderr_fd).st_size
        tail = os.pread(self._stderr_fd, STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
        os.close(self.alive_fd)
        os.close(self._stderr_fd)
        return {
            "kind": "exited",
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": _signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None,
            "stderr": tail.decode("utf-8", "replace"),
        }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


class Zygote:
    """Starts, kills and reaps one child at a time."""

    def __init__(self, backend: Backend, report_fd: int) -> None:
        self._backend = backend
        self._report_fd = report_fd
        self._child: Child | None = None
        self._reader = FrameReader()

    def serve(self) -> None:
        """Wait for requests and for the child's end; nothing wakes up in between."""
        while True:
            watched = [0] if self._child is None else [0, self._child.alive_fd]
            ready, _, _ = select.select(watched, [], [])
            if self._child is not None and self._child.alive_fd in ready:
                self._finish()
            elif 0 in ready and not self._read_requests():
                break
        if self._child is not None:
            self._child.kill()
            self._child.reap()

    def _read_requests(self) -> bool:
        data = os.read(0, 1 << 16)
        for frame in self._reader.feed(data):
            if isinstance(frame, ProtocolError):
                print(f"zygote: {frame}", file=sys.stderr)
            elif frame.get("op") == "kill" and self._child is not None:
                self._child.kill()
            elif frame.get("op") == "run" and self._child is None:
                try:
                    self._child = self._start(frame["request"])
                except OSError as error:  # too many processes or files, no memory
                    _report(self._report_fd, {"kind": "unstarted", "message": str(error)})
        return bool(data)

    def _finish(self) -> None:
        assert self._child is not None
        ended, self._child = self._child.reap(), None
        # The newline closes a line that the child may have left half-written.
        os.write(self._report_fd, b"\n")
        _report(self._report_fd, ended)

    def _start(self, frame: dict[str, Any]) -> Child:
        """Fork a child that measures; raises OSError."""
        with contextlib.ExitStack() as opened:
            alive_read, alive_write = os.pipe()
            opened.callback(os.close, alive_read)
            opened.callback(os.close, alive_write)
            stderr_fd = (
                os.memfd_create("stderr") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
            )
            opened.callback(os.close, stderr_fd)
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                os.close(alive_read)
                self._be_child(frame, stderr_fd, parent)
            opened.pop_all()
        os.close(alive_write)
        return Child(pid, alive_read, stderr_fd)

    def _be_child(self, frame: dict[str, Any], stderr_fd: int, parent: int) -> NoReturn:
        """Measure, report the outcome, and leave without the destructors that belong to the parent."""
        code = 1
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as a KeyboardInterrupt it would look like an error
            _die_with(parent)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(stderr_fd, 1)
            os.dup2(stderr_fd, 2)
            be_expendable()
            outcome = measure(
                self._backend, parse_measure(frame), lambda report: _report(self._report_fd, report)
            )
            _report(self._report_fd, {"kind": "outcome", "outcome": outcome})
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, where it can."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
