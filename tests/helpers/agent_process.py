"""A host's end of a real agent process, for the tests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import modnas_agent

from harness.agent.frames import Failed, Measured, Pong, Probe, Progress, Refusal, Sensor, parse, parse_hello
from harness.agent.plausibility import judged

PACKAGE_PARENT = Path(modnas_agent.__file__).resolve().parent.parent
QUICK = {"precision": 0.05, "max_time_s": 0.2, "min_time_s": 0.02, "warmup_s": 0.05, "timeout_s": 20}
Frame = dict[str, Any]
HOST_MODELS = {"probe": Probe, "sensor": Sensor, "pong": Pong, "progress": Progress, "error": Refusal}
#: A request that was sent before is answered from the journal: how long ago that may have been in a test.
EARLIER_S = 60.0


class AgentProcess:
    """Starts `serve` and exchanges frames with it; a frame that does not come is an error, not a hang."""

    def __init__(self, root: Path, command: list[str] | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
        self.process = subprocess.Popen(
            [*(command or [sys.executable, "-m", "modnas_agent"]), "serve", "--root", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._frames: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.greeting = self.receive()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._frames.put(line)

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, **frame: Any) -> None:
        self.send_line(json.dumps(frame).encode())

    def receive(self, timeout_s: float = 30.0) -> Frame:
        frame = json.loads(self._frames.get(timeout=timeout_s))
        assert isinstance(frame, dict)
        check_for_host(frame)
        return frame

    def wait_for(self, *events: str, timeout_s: float = 30.0) -> Frame:
        """The next frame of one of these kinds; others are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            frame = self.receive(max(0.01, deadline - time.monotonic()))
            if frame["event"] in events:
                return frame

    def measure(self, request: Frame) -> Frame:
        began = time.monotonic()
        self.send(**request)
        frame = self.wait_for("result", "error", "pending")
        if frame["event"] == "result":
            memory_mb = self.greeting["inventory"]["memory_mb"]
            kept = judged(frame, request, time.monotonic() - began + EARLIER_S, memory_mb)
            assert kept == frame, "a host would store what was sent"
        return frame

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def stop(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:  # a measurement is still under way
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self.process.stdout.close()


def check_for_host(frame: Frame) -> None:
    """What a real agent says is what a host expects of one."""
    if frame["event"] == "hello":
        parse_hello(frame)
    elif frame["event"] == "result":
        parse(Measured if frame["status"] == "ok" else Failed, frame)
    elif frame["event"] in HOST_MODELS:
        parse(HOST_MODELS[frame["event"]], frame)


def descendants(pid: int) -> list[int]:
    """Children first, then theirs."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def write_artifact(folder: Path, content: bytes, name: str = "") -> Frame:
    """Write `content` and give the request's `artifact` object for it."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / (name or sha256)
    path.write_bytes(content)
    return {"path": str(path), "sha256": sha256}


def synthetic_request(folder: Path, id_: str, model: Frame, **protocol: Any) -> Frame:
    """A `measure` request for the synthetic runtime."""
    return {
        "op": "measure",
        "id": id_,
        "artifact": write_artifact(folder, json.dumps(model).encode()),
        "backend": {"name": "synthetic", "options": {"threads": 1, "affinity": "auto"}},
        "inputs": [],
        "expected": None,
        "tolerance": 1e-3,
        "protocol": {**QUICK, **protocol},
    }
