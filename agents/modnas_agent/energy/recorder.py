"""Reads a sensor in the background, in the agent's process and off the CPUs that are being measured."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Sequence

from modnas_agent.board.placement import allowed_cpus
from modnas_agent.energy.sensors.base import LostSensorError, Sample, Sensor
from modnas_agent.errors import one_line


class Recorder:
    """Samples of one sensor, taken between `start` and `stop`, any number of times."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        #: Why reading ended by itself, or None.
        self.failure: str | None = None
        #: Whether it ended because the sensor answers no more.
        self.lost = False
        self._samples: list[Sample] = []
        self._polling = threading.Lock()
        self._stop: threading.Event | None = None

    @property
    def samples(self) -> Sequence[Sample]:
        """Everything read so far."""
        return list(self._samples)

    def start(self, avoid: Sequence[int] = ()) -> None:
        """Begin to read, on other CPUs than `avoid` where there are any; harmless while it is reading."""
        if self._stop is None and self.failure is None:
            self._stop = threading.Event()
            threading.Thread(target=self._read, args=(self._stop, avoid), daemon=True).start()

    def stop(self) -> None:
        """Cease reading. A reading under way is not waited for; it no longer counts."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def _read(self, stop: threading.Event, avoid: Sequence[int]) -> None:
        _leave(avoid)
        due_s = time.monotonic()
        while not stop.is_set():
            try:
                with self._polling:
                    found = self.sensor.poll()
            except Exception as error:  # whatever a sensor raises: energy is absent, the latency stays
                self.lost = isinstance(error, (LostSensorError, OSError))
                self.failure = one_line(f"{self.sensor.name}: {error}")
                return
            if not stop.is_set():
                self._samples.extend(found)
            # A reading that took longer than a period must not be made up for by reading faster.
            due_s = max(due_s + self.sensor.poll_s, time.monotonic())
            stop.wait(due_s - time.monotonic())


def _leave(cpus: Sequence[int]) -> None:
    """Keep this thread off `cpus`; on a board without others it stays where it is."""
    others = set(allowed_cpus()) - set(cpus)
    if cpus and others and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, others)
