"""Many devices side by side: one job at a time on each, and no device's trouble stops another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from harness.core.errors import DeviceUnavailableError, ModnasHwError
from harness.devices.profile import DeviceProfile
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Measurement, Store
from harness.store.metrics import HardwareMetric
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture

State = Literal["starting", "measuring", "waiting", "done", "quarantined"]
ProfileDevice = Callable[..., ProfileReport]

# Failures in a row, without a single result in between, after which a device is left alone.
MAX_FAILURES = 3
# Pauses between them; a board needs about a minute to start again.
BACKOFF_S = (5.0, 20.0)
POLL_S = 0.2


@dataclass
class DeviceStatus:
    """Where one device stands. `total`: architectures to measure, once known; `error`: the last one."""

    device: str
    state: State = "starting"
    done: int = 0
    total: int | None = None
    reused: int = 0
    failures: int = 0
    temperature_c: float | None = None
    error: str | None = None
    report: ProfileReport | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float | None:
        """Architectures a second since the start."""
        seconds = time.monotonic() - self.began
        return self.done / seconds if self.done and seconds > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until everything is measured at this rate."""
        if self.rate is None or self.total is None or self.state != "measuring":
            return None
        return (self.total - self.done) / self.rate


class Fleet:
    """Measures the same architectures on several devices, each in a thread of its own."""

    def __init__(
        self,
        profiles: Sequence[DeviceProfile],
        source: ArchitectureSource,
        architectures: Sequence[Architecture],
        store: Store,
        *,
        seed: int = 0,
        metrics: Sequence[HardwareMetric] = (),
        retry_before: datetime | None = None,
        backoff_s: Sequence[float] | None = None,
        profile_one: ProfileDevice = profile_device,
    ) -> None:
        """Nothing begins yet.

        Args:
            seed: of the order in which the architectures are measured.
            metrics: what is wanted beside the latency, see `profile_device`.
            retry_before: measure stored failures again that are older than this, see `profile_device`.
            backoff_s: pauses after failures in a row, the last one repeated; by default BACKOFF_S.
            profile_one: measures on one device; `profile_device` or something that behaves like it.
        """
        self._profiles, self._source, self._architectures = profiles, source, architectures
        self._store = store
        self._options = {"seed": seed, "metrics": metrics, "retry_before": retry_before}
        self._backoff_s, self._profile_one = tuple(backoff_s or BACKOFF_S), profile_one
        self._stopping = threading.Event()
        self.statuses = [DeviceStatus(profile.id) for profile in profiles]

    def run(self, on_change: Callable[[list[DeviceStatus]], None] | None = None) -> list[DeviceStatus]:
        """Measure until every device is done or quarantined.

        Args:
            on_change: called several times a second and at the end, for whoever wants to show the statuses.
        """
        # Daemons: after Ctrl-C nobody waits for a board; every row is in the store already.
        threads = [
            threading.Thread(target=self._work, args=pair, name=pair[1].device, daemon=True)
            for pair in zip(self._profiles, self.statuses, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(POLL_S / len(threads))
                if on_change:
                    on_change(self.statuses)
            if on_change:
                on_change(self.statuses)
        finally:
            self._stopping.set()
        return self.statuses

    def _work(self, profile: DeviceProfile, status: DeviceStatus) -> None:
        """One device from start to end. Whatever happens becomes its status and nothing else."""
        while not self._stopping.is_set():
            before = status.done
            try:
                status.report = self._attempt(profile, status)
                status.state = "done"
                return
            except DeviceUnavailableError as error:
                status.error = str(error)
            except ModnasHwError as error:  # wrong input, or no store: trying again would not help
                self._quarantine(status, str(error))
                return
            except Exception as error:
                self._quarantine(status, f"{type(error).__name__}: {error}")
                return
            status.failures = 1 if status.done > before else status.failures + 1
            if status.failures >= MAX_FAILURES:
                self._quarantine(status, f"{status.failures} failures in a row, the last: {status.error}")
                return
            status.state = "waiting"
            self._stopping.wait(self._backoff_s[min(status.failures, len(self._backoff_s)) - 1])

    def _attempt(self, profile: DeviceProfile, status: DeviceStatus) -> ProfileReport:
        done_before = status.done

        def on_start(missing: int, reused: int) -> None:
            status.state, status.total = "measuring", done_before + missing
            status.reused = reused - done_before

        def on_row(row: Measurement, report: ProfileReport) -> None:
            status.done = done_before + report.measured
            status.temperature_c = _temperature(row.record)
            if self._stopping.is_set():
                raise DeviceUnavailableError("interrupted")

        return self._profile_one(
            profile,
            self._source,
            self._architectures,
            self._store,
            **self._options,
            on_start=on_start,
            on_row=on_row,
        )

    @staticmethod
    def _quarantine(status: DeviceStatus, reason: str) -> None:
        status.state, status.error = "quarantined", reason


def _temperature(record: dict[str, Any]) -> float | None:
    value = (record.get("after") or {}).get("temperature_c")
    return float(value) if isinstance(value, (int, float)) else None
