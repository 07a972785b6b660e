"""An external power meter whose readings something else appends to a CSV file.

The first line names the columns. `time` is in Unix seconds or ISO 8601 with its zone. The reading is
`power_w`, or `voltage_v` and `current_a`. Other columns are passed over.
"""

from __future__ import annotations

import csv
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, Sequence

from modnas_agent.sensors.base import Sample, Sensor, SensorError

#: Read of a log when it is opened: enough rows to tell the meter's rate, however long the log is.
TAIL_BYTES = 1 << 16
POLL_S = 0.5


class Meter(Sensor):
    """The rows that are appended from now on.

    Args:
        path: the log, on the board.
        clock_offset_s: what must be added to the meter's time to get this board's time.
    """

    def __init__(
        self, path: str, clock_offset_s: float = 0.0, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.name = f"csv:{Path(path).name}"
        self._path = Path(path)
        self._offset_s = clock_offset_s
        self._wall_clock = wall_clock
        self._position = 0
        self._partial = b""
        self._last_s = -math.inf
        self._columns = self._header()
        self.period_s = self._open_at_end()

    @property
    def poll_s(self) -> float:
        return max(POLL_S, self.period_s / 2.0)

    def poll(self) -> Sequence[Sample]:
        to_monotonic_s = time.monotonic() - self._wall_clock() + self._offset_s
        samples = []
        for stamp_s, power_w in map(self._row, self._new_lines()):
            if stamp_s < self._last_s:
                raise SensorError(f"{self._path}: its time goes back by {self._last_s - stamp_s:.3f} s")
            if stamp_s > self._last_s:
                samples.append(Sample(stamp_s + to_monotonic_s, power_w))
            self._last_s = stamp_s
        return samples

    def _header(self) -> dict[str, int]:
        try:
            with self._path.open("rb") as file:
                line = file.readline(1 << 12)
        except OSError as error:
            raise SensorError(f"the meter's log {self._path} cannot be read: {error.strerror}") from error
        self._position = len(line)
        names = [name.strip().lower() for name in _cells(line)]
        columns = {name: index for index, name in enumerate(names)}
        if "time" not in columns or not ("power_w" in columns or {"voltage_v", "current_a"} <= set(columns)):
            raise SensorError(
                f"{self._path}: the first line must name the columns time and power_w "
                f"(or voltage_v and current_a), it has {', '.join(names)[:100]}"
            )
        return columns

    def _open_at_end(self) -> float:
        """Pass over what is there, and tell the median time between its last rows."""
        start = self._position
        self._position = max(start, self._size() - TAIL_BYTES)
        first = 1 if self._position > start else 0  # a line that may be cut
        lines = self._new_lines()[first:]
        stamps = sorted(self._row(line)[0] for line in lines)
        steps = sorted(later - earlier for earlier, later in zip(stamps, stamps[1:]) if later > earlier)
        if not steps:
            raise SensorError(f"the meter's log {self._path} has not two rows yet: start the meter first")
        self._last_s = stamps[-1]
        return steps[len(steps) // 2]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError as error:
            raise SensorError(f"the meter's log {self._path} is gone: {error.strerror}") from error

    def _new_lines(self) -> list[bytes]:
        if self._size() < self._position:
            raise SensorError(f"the meter's log {self._path} became shorter")
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line for line in lines if line.strip()]

    def _row(self, line: bytes) -> tuple[float, float]:
        cells = _cells(line)
        try:
            stamp_s = _seconds(cells[self._columns["time"]])
            if "power_w" in self._columns:
                power_w = float(cells[self._columns["power_w"]])
            else:
                volts, amperes = (cells[self._columns[name]] for name in ("voltage_v", "current_a"))
                power_w = float(volts) * float(amperes)
        except (ValueError, IndexError) as error:
            raise SensorError(
                f"{self._path}: not a reading: {line[:80].decode('utf-8', 'replace')!r}"
            ) from error
        if not (math.isfinite(stamp_s) and math.isfinite(power_w)):
            raise SensorError(f"{self._path}: not finite: {line[:80].decode('utf-8', 'replace')!r}")
        return stamp_s, power_w


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8-sig", "replace").strip()]), [])


def _seconds(text: str) -> float:
    """Unix seconds; a time of day without its zone could be anyone's and is refused."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.timestamp()
