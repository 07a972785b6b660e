"""What a call of `profile` did, and what can be told of its rows by looking at each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.measure.drift import Block
from harness.measure.energy_source import EnergySource
from harness.measure.failures import Failures
from harness.store import Measurement
from harness.store.metrics import ENERGY, HardwareMetric, energy_failure, read


@dataclass
class ProfileReport:
    """What a call of `profile` did.

    `rows`: newest row of every architecture, in the order asked for. They are in the store, and read from it
    whenever they are looked at. `measured`: architectures measured now;
    `repeated`: measurements of them that were taken again (see `blocks`). `failed_reused`: failures that were
    found in the store. `export_s`: time spent waiting for
    files; `window_s`: time inside the device's measurement windows. `metrics`: those asked for.
    `anchor_ms`: the anchor's latency after the last measurement, where that was asked for.
    """

    device: str
    metrics: tuple[HardwareMetric, ...] = ()
    rows: Sequence[Measurement] = ()
    measured: int = 0
    repeated: int = 0
    reused: int = 0
    failed: int = 0
    failed_reused: int = 0
    seconds: float = 0.0
    export_s: float = 0.0
    window_s: float = 0.0
    blocks: list[Block] = field(default_factory=list)
    anchor_ms: float | None = None
    energy: EnergySource | None = None

    def figures(self) -> RowFigures:
        """What is told of the rows, all of which are read for it once."""
        return RowFigures(self.rows, self.metrics, self.energy)

    @property
    def energy_note(self) -> str | None:
        """One line on the energies: their sensor, or why there are none; None when nobody asked."""
        return None if self.energy is None else self.figures().energy_note

    @property
    def notes(self) -> list[str]:
        """A line on energy where it was asked for, and on every other metric that some networks lack."""
        return self.figures().notes

    @property
    def max_abs_diff(self) -> float | None:
        """Largest difference between an output on the device and PyTorch's, over all rows that have one."""
        return self.figures().max_abs_diff


class RowFigures:
    """Counts over rows, which may be too many to be in memory at once.

    Attributes:
        failures: those among the rows.
        max_abs_diff: see `ProfileReport`.
        tuned, untuned: networks whose compiler tunes them.
        warned: rows with warnings.
    """

    def __init__(
        self,
        rows: Sequence[Measurement],
        metrics: Sequence[HardwareMetric] = (),
        energy: EnergySource | None = None,
    ) -> None:
        """Look at every row once, for the metrics that were asked for."""
        self._metrics, self._energy = metrics, energy
        self._rows = self._energies = 0
        self._energy_failure: str | None = None
        # How many successes lack a metric, and why the first of them does.
        self._lacking = dict.fromkeys((metric.name for metric in metrics), 0)
        self._reasons: dict[str, str | None] = {}
        self.failures = Failures()
        self.max_abs_diff: float | None = None
        self.tuned = self.untuned = self.warned = 0
        for row in rows:
            self._count(row)

    def _count(self, row: Measurement) -> None:
        self._rows += 1
        self._energies += row.energy_mj is not None
        self._energy_failure = self._energy_failure or energy_failure(row)
        self.failures.count(row)
        if row.max_abs_diff is not None:
            self.max_abs_diff = max(row.max_abs_diff, self.max_abs_diff or 0.0)
        if "tuned" in (build := row.record.get("build", {})):
            self.tuned += bool(build["tuned"])
            self.untuned += not build["tuned"]
        self.warned += bool(row.record.get("warnings"))
        for metric in self._metrics if row.status == "ok" else ():
            if (found := read(metric, row)).value is None:
                self._lacking[metric.name] += 1
                self._reasons.setdefault(metric.name, found.reason)

    @property
    def energy_note(self) -> str | None:
        """See `ProfileReport`."""
        if self._energy is None:
            return None
        if self._energies:
            by = f" with {self._energy.sensor}" if self._energy.sensor else ""
            note = f"energy of {self._energies} of {self._rows}{by}, net of idle power"
        else:
            note = "energy is absent"
        reason = self._energy.reason or self._energy_failure
        return f"{note}: {reason}" if reason and self._energies < self._rows else note

    @property
    def notes(self) -> list[str]:
        """See `ProfileReport`."""
        notes = [self.energy_note] if self.energy_note else []
        succeeded = self._rows - self.failures.failed
        for name, count in self._lacking.items():
            if count and name != ENERGY.name:
                notes.append(f"{name} is absent for {count} of {succeeded} networks: {self._reasons[name]}")
        return notes
