"""A runtime of known latency, and of known failures: what the instrument itself is tested with.

The artifact is a small JSON file: `{"kind": "spin", "latency_ms": 0.5, "jitter": 0.02, "seed": 1,
"tail": {"probability": 0.02, "factor": 10}}` keeps the CPU busy with a median of exactly `latency_ms`; the
kinds segfault, hang, allocate, nan and exit really do what they are called.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import time
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from modnas_agent.backends.base import Backend, Runner, UnavailableError

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec

CHUNK_BYTES = 16 << 20
EXIT_CODE = 3
#: Durations drawn before the first run and reused in turn, so that drawing them takes no time while measured.
DURATIONS = 8192


def backend() -> Backend:
    """The synthetic runtime needs nothing imported."""
    return Synthetic()


class Synthetic:
    """See `modnas_agent.backends.base.Backend`."""

    def version(self) -> str:
        return "1"

    def providers(self) -> list[str]:
        return []

    def uses_device_memory(self, options: Mapping[str, Any]) -> bool:
        return False

    def load(self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]) -> Runner:
        model = json.loads(path.read_text(encoding="utf-8"))
        kind = model.get("kind")
        if kind in ("spin", "nan"):
            return Spin(model)
        if kind in FAILURES:
            return Failing(FAILURES[kind])
        raise UnavailableError(f"no synthetic kind {kind!r}; there are spin, nan, {', '.join(FAILURES)}")


class Spin:
    """Busy for drawn durations: normal jitter around the latency, a tail of calls `factor` times as long."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._durations_ns = draw_durations_ns(model)
        self._next = 0
        self._value = float("nan") if model["kind"] == "nan" else 1.0
        self._overhead_ns = 0
        self._overhead_ns = self._measure_overhead_ns()

    def _measure_overhead_ns(self) -> int:
        """What a run takes beyond its duration: the call, reading clocks, and half a turn of the loop."""
        clock = time.perf_counter_ns
        wanted, self._durations_ns = self._durations_ns, [20_000]
        excess = []
        for _ in range(201):
            start = clock()
            self.run()
            excess.append(clock() - start - 20_000)
        self._durations_ns, self._next = wanted, 0
        return sorted(excess)[100]

    def run(self) -> object:
        clock = time.perf_counter_ns
        end = clock() + self._durations_ns[self._next] - self._overhead_ns
        self._next = (self._next + 1) % len(self._durations_ns)
        while clock() < end:
            pass
        return None

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        import numpy as np

        return [np.full((1,), self._value, dtype=np.float32)]

    def close(self) -> None:
        self._durations_ns = []


def draw_durations_ns(model: Mapping[str, Any], count: int = DURATIONS) -> list[int]:
    """Durations whose distribution has the median `latency_ms`.

    A tail above pushes the median of the mixture up the body, to the body's quantile 0.5 / (1 - probability);
    the body is scaled down for that.
    """
    tail: dict[str, float] = model.get("tail") or {}
    probability, factor = tail.get("probability", 0.0), tail.get("factor", 1.0)
    jitter = model.get("jitter", 0.0)
    shift = 1.0
    if probability and jitter:
        shift += jitter * NormalDist().inv_cdf(0.5 / (1.0 - probability))
    generator = random.Random(model.get("seed", 0))
    base_ns = model.get("latency_ms", 1.0) * 1e6
    durations = []
    for _ in range(count):
        duration_ns = base_ns * (1.0 + jitter * generator.gauss(0.0, 1.0)) / shift
        if generator.random() < probability:
            duration_ns *= factor
        durations.append(max(0, round(duration_ns)))
    return durations


class Failing:
    """Fails in the way it is given when it runs."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail

    def run(self) -> object:
        self._fail()
        return None

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        return []

    def close(self) -> None:
        pass


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    while True:
        time.sleep(3600)


def _allocate() -> None:
    held = []
    while True:
        held.append(b"\1" * CHUNK_BYTES)  # written to, so that the pages are really taken


def _exit() -> None:
    os._exit(EXIT_CODE)


FAILURES: dict[str, Callable[[], None]] = {
    "segfault": _segfault,
    "hang": _hang,
    "allocate": _allocate,
    "exit": _exit,
}
