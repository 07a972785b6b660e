"""The harness's end of the process that has TVM."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from harness.core.errors import DeviceUnavailableError, needed
from harness.core.foreign import clean_lines, clean_text, last_line
from harness.export.foreign import at_fault
from harness.export.tvm.errors import CompileError, CompilerKilledError, CompilerMissingError

Frame = dict[str, Any]
Answer = Callable[[Frame], Frame]

# Importing TVM from a cold disk, and compiling a network of some hundred operators, take this long at most.
LIMIT_S = 300.0
LOG_TAIL_BYTES = 4000
# Signals that a process gets from others: the kernel that wants memory, or people.
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TVM_NUM_THREADS": "1", "TVM_BIND_THREADS": "0"}


class Compiler:
    """Starts the process when it is first asked, and again after a crash. Use as a context manager.

    While it is not asked anything it sleeps: whoever measures on this machine asks before, not meanwhile.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def host(self) -> tuple[dict[str, Any], str]:
        """This machine's target and TVM's version.

        Raises:
            CompilerMissingError: there is no TVM.
            DeviceUnavailableError: there is, but it does not work.
        """
        try:
            found = self.ask({"op": "host"})
        except CompileError as error:  # no network was involved
            raise DeviceUnavailableError(f"TVM does not work on this machine: {error}") from error
        return found["target"], found["version"]

    def compile(
        self, model: Path, output: Path, target: Mapping[str, Any], database: Path | None
    ) -> dict[str, Any]:
        """Compile an ONNX file into a shared library; what there is to tell about the build.

        Raises:
            CompileError: TVM refuses the network, crashes, or takes too long.
            DeviceUnavailableError: this machine lacks what TVM needs, such as a linker or space on the disk.
            CompilerMissingError: there is no TVM.
        """
        start = time.perf_counter()
        request = {
            "op": "compile",
            "model": str(model),
            "output": str(output),
            "target": dict(target),
            "database": None if database is None else str(database),
        }
        answer = self.ask(request)
        tuned = answer["tuned_operators"] > 0
        return {**answer, "tuned": tuned, "seconds": time.perf_counter() - start, "log": self.log()}

    def ask(self, request: Mapping[str, Any], answer: Answer | None = None) -> Frame:
        """Send a request and wait; `answer` serves the measurements that it asks for in turn.

        Raises:
            CompileError, CompilerMissingError, DeviceUnavailableError: as for `compile`.
        """
        process = self._started()
        assert process.stdin is not None and self._log is not None
        self._log.seek(0)
        self._log.truncate()
        reply = self._exchange(process, request)
        while "measure" in reply and answer is not None:
            reply = self._exchange(process, answer(reply["measure"]))
        if "unable" in reply:
            raise DeviceUnavailableError(f"this machine cannot compile: {clean_text(str(reply['unable']))}")
        if "error" in reply:
            raise at_fault(CompileError(clean_text(str(reply["error"])), self.log()), self.log())
        return reply

    def log(self) -> str:
        """The end of what TVM printed about the last request, in printable lines."""
        if self._log is None:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES))
        return clean_lines(tail.decode("utf-8", "replace"))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):  # a request may be waiting in its buffer
                    pipe.close()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
        self._buffer = b""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            require_tvm()
            with needed("start the compiler"):
                self._log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "harness.export.tvm.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    env={**os.environ, **_ENVIRONMENT},
                )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], frame: Mapping[str, Any]) -> Frame:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # that it is gone shows when reading
            process.stdin.write(json.dumps(frame).encode() + b"\n")
            process.stdin.flush()
        line = self._read_line(process)
        if line is None:
            ended, log = process.wait(), self.log()
            self.close()
            last = last_line(log)
            how = f"signal {-ended}" if ended < 0 else f"exit status {ended}"
            kind = CompilerKilledError if -ended in _KILLS else CompileError
            raise at_fault(kind(f"the compiler ended with {how}{': ' if last else ''}{last}", log), log)
        reply: Frame = json.loads(line)
        return reply

    def _read_line(self, process: subprocess.Popen[bytes]) -> bytes | None:
        """The next line of the process's output, None when it has ended."""
        assert process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    log = self.log()
                    self.close()
                    raise CompileError(f"the compiler was stopped after {LIMIT_S:g} s", log)
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def require_tvm() -> None:
    """Raise CompilerMissingError unless TVM is installed. It is not imported."""
    if importlib.util.find_spec("tvm") is None or importlib.util.find_spec("tvm_ffi") is None:
        raise CompilerMissingError(
            "TVM is not installed on this machine, which compiles for the backend tvm; "
            "pip install 'apache-tvm>=0.27' 'apache-tvm-ffi==0.1.14.post1'"
        )
