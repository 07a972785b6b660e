"""An agent that answers without measuring, and other things that several test files need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modnas_agent.wire.protocol import PROTOCOL_VERSION

from harness.devices.profile import DeviceProfile
from harness.store import Measurement, Store
from harness.transport.base import Frame, TransportTimeoutError

MakeRow = Callable[..., Measurement]
#: Has every device opened from now on talk to what a function makes of its profile.
OpenWith = Callable[[Callable[[DeviceProfile], Any]], None]
TINY = ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
INVENTORY = {"machine": "m", "board": "b", "cpu": {"model": "c", "logical": 2}, "os": {"distribution": "d"}}


class FakeAgent:
    """A transport with an agent behind it whose latencies depend on nothing but the artifact.

    `failing` holds the sha256 of artifacts whose measurement fails.
    """

    def __init__(self, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> None:
        self.frames: deque[Frame] = deque()
        self.requests: list[Frame] = []
        self.providers = list(providers)
        self.failing: set[str] = set()
        self.energy: Frame = {"net_mj": 1.0, "gross_mj": 2.0, "sensor": "rapl:package-0"}
        self.sensor: Frame = {"sensor": None, "reason": "no power sensor found"}
        self.frames.append(
            {
                "event": "hello",
                "id": "",
                "protocol": PROTOCOL_VERSION,
                "agent_version": "0+fake",
                "inventory": INVENTORY,
            }
        )

    def send(self, frame: Mapping[str, Any]) -> None:
        self.requests.append(dict(frame))
        answer: Frame = {"id": frame["id"]}
        if frame["op"] == "probe":
            answer |= {"event": "probe", "version": "1.0", "providers": self.providers}
        elif frame["op"] == "sensor":
            answer |= {"event": "sensor", **self.sensor}
        elif frame["artifact"]["sha256"] in self.failing:
            answer |= {"event": "result", "status": "error", "reason": "crashed", "message": "it crashed"}
        else:
            size = len(Path(frame["artifact"]["path"]).read_bytes())
            answer |= {"event": "result", "status": "ok", "latency": latency(size / 1e5)}
            if "energy" in frame:
                answer["energy"] = self.energy
            answer |= {"memory_mb": 50 + size / 1e5, "load_time_ms": size / 1e6}
            answer |= {"max_abs_diff": 0.0, "measure_s": 0.0, "warnings": []}
        self.frames.append(answer)

    def receive(self, timeout_s: float) -> Frame:
        if not self.frames:
            raise TransportTimeoutError("nothing to receive")
        return self.frames.popleft()

    def put(self, path: Path) -> str:
        return str(path)

    def close(self) -> None:
        self.frames.clear()


def latency(median: float) -> dict[str, Any]:
    """The latency object of a result: two fast, seven usual and two slow calls."""
    samples = [0.9 * median] * 2 + [median] * 7 + [1.2 * median] * 2
    return {
        "median_ms": median,
        "p10_ms": 0.9 * median,
        "p90_ms": 1.2 * median,
        "ci_low_ms": 0.99 * median,
        "ci_high_ms": 1.01 * median,
        "n": len(samples),
        "samples_ms": samples,
    }


def damaged_store(folder: Path, make_row: MakeRow) -> Path:
    """A database whose middle pages are overwritten."""
    with Store() as store:
        for n in range(200):
            store.add(make_row(key=f"{n:064d}"))
        assert store.check() is None
    path = folder / "store.sqlite"
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 20] = b"\xa5" * 4096 * 18
    path.write_bytes(content)
    return path


def assert_one_line(errors: str) -> None:
    """What a user reads of a failure."""
    assert errors.startswith("error: ") and errors.endswith("\n") and errors.count("\n") == 1, errors
