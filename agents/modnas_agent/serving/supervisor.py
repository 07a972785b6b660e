"""The agent's end of a zygote: starting it, talking to it, and being rid of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

import modnas_agent
from modnas_agent.wire.output import Output
from modnas_agent.wire.protocol import Frame, FrameReader, ProtocolError

#: Runtimes must not start threads of their own beside the ones asked for, and must not call home.
WORKER_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
GRACE_S = 2.0


def own_command() -> list[str]:
    """The command that starts this program again, from the archive it came in or as a module."""
    loader = getattr(modnas_agent.__spec__, "loader", None)
    archive = getattr(loader, "archive", None)
    return [sys.executable, os.path.abspath(archive)] if archive else [sys.executable, "-m", "modnas_agent"]  # noqa: PTH100


def _environment() -> dict[str, str]:
    environment = {**os.environ, **WORKER_ENVIRONMENT}
    if "-m" in own_command():
        parent = str(Path(next(iter(modnas_agent.__path__))).resolve().parent)
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{parent}{os.pathsep}{known}" if known else parent
    return environment


class ZygoteHandle:
    """A zygote process for one backend."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        #: Its first report, {"kind": "ready"|"failed", ...}, once it came.
        self.greeting: Mapping[str, Any] | None = None
        self._reader = FrameReader()
        self._process = subprocess.Popen(
            [*own_command(), "zygote", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # the terminal's and the link's signals are the agent's business
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        #: Requests on their way to it: one that is stopped or swapped out does not keep the agent waiting.
        self.requests = Output(self._process.stdin.fileno())
        self._stdout_fd = self._process.stdout.fileno()

    def fileno(self) -> int:
        """Readable when there are reports or the zygote died."""
        return self._stdout_fd

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send a request. A zygote that is gone is noticed by `receive`, not here."""
        self.requests.put(frame)

    def receive(self) -> list[Frame] | None:
        """Reports that arrived, or None when the zygote is gone. A torn line tells nothing and is dropped."""
        data = os.read(self._stdout_fd, 1 << 16)
        if not data:
            return None
        return [frame for frame in self._reader.feed(data) if not isinstance(frame, ProtocolError)]

    def close(self) -> str:
        """End it, at once if it must be, and say how it ended. Not for the loop: it waits for the end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk
                self._process.wait(GRACE_S)
        self._process.stdout.close()
        code = self._process.returncode
        if code is None:
            return "no end, although it was killed"
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
